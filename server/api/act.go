package api

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/store"
)

// nothing is the entry of a write that found everything as it should be.
var nothing evidence.Entry

// act runs a write that a person asked for, or a machine that wants to be
// admitted, and appends its entry to the log in the same transaction: what is
// changed is in the log, and what is in the log was changed. Every write of this
// package goes through here; a test holds each method to it. An entry without By
// is the caller's. Which operators, sites, tokens and keys became others is told by
// digests of before and after. fn may run several times, as in store.Op; it returns nothing
// if it wrote nothing. The connections of a key that the entry ends are closed.
func (s *Service) act(ctx context.Context, fn func(tx store.Tx) (evidence.Entry, error)) error {
	var ended string
	err := s.Writer.Update(ctx, func(tx store.Tx) error {
		seen := watching(tx, s.Tenant)
		e, err := fn(seen)
		if err != nil || e.Kind == "" {
			return err
		}
		ended = e.Ends
		e.By = cmp.Or(e.By, "operator "+callerOf(ctx).operator.Name)
		if err := s.decided(ctx, tx, &e); err != nil {
			return err
		}
		if e.Changes, err = seen.changes(""); err != nil {
			return err
		}
		_, err = evidence.In(tx, s.Tenant).Append(s.Now(), e)
		return err
	})
	// Also where it is not known whether it was committed: a machine that may still
	// speak connects again.
	if ended != "" && s.Doors != nil {
		s.Doors.Ended(ended)
	}
	return err
}

// ofToken tells what became of a token; its secret is nowhere.
func ofToken(did string, t enrol.Token) evidence.Entry {
	return evidence.Entry{Kind: evidence.Token, CI: t.CI, Detail: map[string]string{
		"do": did, "token": t.ID, "kind": string(t.KindOf()), "site": t.Site, "class": t.Class, "name": t.Name,
		"expires": t.Expires.UTC().Format(time.RFC3339), "approve": strconv.FormatBool(t.Approve), "uses": strconv.Itoa(max(t.Uses, 1)),
		"nets": strings.Join(t.Nets, " "), "image": t.Image,
	}}
}

// OfKey tells what became of a key. Who takes a CI over that had a key adopts it,
// whatever way it went.
func OfKey(kind evidence.Kind, k enrol.Key) evidence.Entry {
	e := evidence.Entry{Kind: kind, CI: k.CI, Key: k.ID, Subject: k.Public, Detail: map[string]string{
		"state": string(k.State), "hostname": k.Hostname, "token": k.Token, "source": k.Source, "decided": k.By, "reason": k.Reason,
		"site": k.Site, "class": k.Class, "trust": k.TrustClass(),
	}}
	if k.Statement != nil {
		e.Detail["statement"] = hex.EncodeToString(k.Statement)
	}
	for i, v := range k.Votes {
		e.Detail["approval "+strconv.Itoa(i+1)] = v.By
	}
	switch k.State {
	case enrol.Enrolled:
		e.Admits = true
		if k.Replaced != "" {
			e.Ends = k.Replaced
		}
		if k.Replaced != "" && (kind == evidence.Enrol || kind == evidence.Approve) {
			e.Kind = evidence.Adopt
		}
	case enrol.Revoked:
		e.Ends = k.ID
	}
	return e
}

// declared tells about a revision by a person. The revision holds what was and
// what is; the leaf commits to all of it.
func declared(ci cmdb.CI, r cmdb.Revision) (evidence.Entry, error) {
	sum, err := SumOf(r)
	return evidence.Entry{Kind: evidence.Declare, CI: ci.ID, Subject: sum, Detail: map[string]string{
		"revision": strconv.FormatUint(r.N, 10), "fields": strings.Join(slices.Sorted(maps.Keys(r.Fields)), " "), "reason": r.Reason,
	}}, err
}

// SumOf gives the SHA-256 of a record as it is stored.
func SumOf(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("sum of a record: %w", err)
	}
	sum := sha256.Sum256(b)
	return sum[:], nil
}
