package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/store"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// defaultNamed is how many machines are named where nobody asks for more.
const defaultNamed = 20

// revocable is a machine whose key may be ended.
type revocable struct {
	key   enrol.Key // the newest
	ci    cmdb.CI
	shown string // id of the key that it had when it was shown
}

// revocables are machines whose keys may be ended, by name, and who cannot be
// looked at.
type revocables struct {
	all   []revocable
	notes []string
}

// Revocable shows which machines RevokeMany would end: those with a key that a
// filter selects, or those of a list that was proposed.
func (s *Service) Revocable(ctx context.Context, req *rollcallv1.RevocableRequest) (*rollcallv1.RevocableReply, error) {
	var found revocables
	err := s.view(ctx, func(r store.Reader, items cmdb.View) (err error) {
		if len(req.GetList()) == 0 {
			found, err = s.fitting(ctx, r, items, req.GetFilter())
			return err
		}
		found.all, err = s.listed(r, items, req.GetList())
		return err
	})
	if err != nil {
		return nil, err
	}
	reply := &rollcallv1.RevocableReply{
		Count: uint32(len(found.all)), Classes: map[string]uint32{}, Sites: map[string]uint32{}, Keys: found.keys().Encode(), Notes: found.notes,
	}
	most := cmp.Or(int(req.GetLimit()), defaultNamed)
	for i, m := range found.all {
		reply.Classes[cmp.Or(m.ci.Class, "no class")]++
		reply.Sites[cmp.Or(m.ci.Site, "no site")]++
		if i < most {
			reply.Machines = append(reply.Machines, s.wireRevocable(m))
		}
	}
	return reply, nil
}

func (s *Service) wireRevocable(m revocable) *rollcallv1.Revocable {
	return &rollcallv1.Revocable{
		Ci: m.ci.ID, Name: m.ci.Name, Class: m.ci.Class, Site: m.ci.Site, KeyId: m.key.ID, State: string(m.key.State),
		Presence: s.Presence.Of(m.ci.ID, s.Now()),
	}
}

// fitting finds the machines with a key that a filter selects.
func (s *Service) fitting(ctx context.Context, r store.Reader, items cmdb.View, filter string) (revocables, error) {
	var found revocables
	if strings.TrimSpace(filter) == "" {
		return found, status.Error(codes.InvalidArgument, "revoke many keys: give a filter; for all, one that all fit, such as created >= 2000-01-01")
	}
	sel, err := s.find(ctx, items, filter, time.Time{})
	if err != nil {
		return found, err
	}
	found.notes = sel.notes()
	keys := enrol.At(r, s.Tenant)
	for _, c := range sel.found {
		sub, err := sel.read(c)
		if err != nil {
			return found, err
		}
		if sub == nil {
			continue
		}
		k, speaks, err := keys.KeyOf(sub.ci.ID)
		if err != nil {
			return found, err
		}
		if speaks {
			found.all = append(found.all, revocable{k, sub.ci, k.ID})
		}
	}
	if n := len(found.all); n > enrol.MaxKeys {
		return found, status.Errorf(codes.InvalidArgument, "revoke many keys: %d machines fit, at most %d at once: ask for one site after another", n, enrol.MaxKeys)
	}
	return found, nil
}

// listed gives the machines of a list that the caller sees, as they are now: by
// the newest key of each, which may have ended.
func (s *Service) listed(r store.Reader, items cmdb.View, digest []byte) ([]revocable, error) {
	if len(digest) != len(fact.Digest{}) {
		return nil, status.Error(codes.InvalidArgument, "a list is named by its SHA-256")
	}
	keys := enrol.At(r, s.Tenant)
	list, err := keys.KeyList(fact.Digest(digest))
	if errors.Is(err, store.ErrNoBlob) {
		return nil, status.Errorf(codes.NotFound, "there is no list %x of keys", digest)
	}
	if err != nil {
		return nil, err
	}
	var all []revocable
	for _, id := range list {
		k, found, err := keys.Newest(id.String())
		if err != nil {
			return nil, err
		}
		ci, err := items.CI(k.CI)
		if errors.Is(err, cmdb.ErrNotFound) || !found {
			continue // gone, or outside of what the caller sees
		}
		if err != nil {
			return nil, err
		}
		all = append(all, revocable{k, ci, id.String()})
	}
	slices.SortFunc(all, func(a, b revocable) int { return compareNames(a.ci.Name, b.ci.Name) })
	return all, nil
}

// keys lists the keys of the machines.
func (f revocables) keys() enrol.KeyList {
	var l enrol.KeyList
	for _, m := range f.all {
		if id, err := identity.ParseKeyID(m.key.ID); err == nil { // it is what the store holds it under
			l = append(l, id)
		}
	}
	return l.Sort()
}

// keep leaves the machines that fit.
func (f *revocables) keep(fits func(revocable) bool) {
	f.all = slices.DeleteFunc(f.all, func(m revocable) bool { return !fits(m) })
}

// above is the smallest site that holds all machines; "" where there is none.
func (f revocables) above() string {
	if len(f.all) == 0 {
		return ""
	}
	site := f.all[0].ci.Site
	for _, m := range f.all {
		for site != "" && !cmdb.InSite(m.ci.Site, site) {
			site = parentOf(site)
		}
	}
	return site
}

// Bounds of the words for a second person, in bytes.
const (
	namedInWords  = 5
	filterInWords = 140
	reasonInWords = 140
)

// words says what would be ended, for who confirms it.
func (f revocables) words(filter, reason string) string {
	classes := map[string]int{}
	var names []string
	for i, m := range f.all {
		classes[cmp.Or(m.ci.Class, "of no class")]++
		if i < namedInWords {
			names = append(names, fact.Cut(m.ci.Name, 24))
		}
	}
	var kinds []string
	for _, class := range slices.Sorted(maps.Keys(classes)) {
		kinds = append(kinds, strconv.Itoa(classes[class])+" "+class)
	}
	if n := len(f.all) - len(names); n > 0 {
		names = append(names, fmt.Sprintf("%d more", n))
	}
	return fmt.Sprintf("end the keys of %d machines (%s) at %s that fit %q: %s; %s", len(f.all), fact.Cut(strings.Join(kinds, ", "), 60),
		cmp.Or(f.above(), "more than one place"), fact.Cut(filter, filterInWords), strings.Join(names, ", "), fact.Cut(reason, reasonInWords))
}
