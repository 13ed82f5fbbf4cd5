package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/seal"
	"rollcall/server/api"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/etckeeper"
	"rollcall/server/evidence"
	"rollcall/server/store"
)

// A history of before: what etckeeper kept of a machine's /etc becomes the first
// revisions of a CI, at the times of its commits. Nobody signed it: the CI's trust
// class is cmdb.Unsigned until its agent takes it over, and each of these revisions
// says where it is from.

// PastBy is who the revisions of an imported history are by.
const PastBy = "rollcall-server etckeeper"

// largePast is from which size in bytes on a set is stored before its transaction.
const largePast = 64 << 10

// Past says which CI a history is of.
type Past struct {
	Name, Site, Class string // Class may be empty
}

// PastReport is what became of a history.
type PastReport struct {
	CI        string    `json:"ci"`
	Commits   int       `json:"commits"`
	Revisions int       `json:"revisions"` // recorded now
	Before    int       `json:"before"`    // recorded by an import before
	Withheld  int       `json:"withheld"`  // secrets in the last state, of which only fingerprints are kept
	Oldest    time.Time `json:"oldest"`
	Newest    time.Time `json:"newest"`
	Rebuilt   bool      `json:"mirror_made_anew"`
}

// ErrPast says that a CI cannot take a history of before.
var ErrPast = errors.New("a history of before comes first or not at all")

// pastImport is an import under way.
type pastImport struct {
	*Server
	what Past
	id   string
	sum  hash.Hash // of the export
	ci   cmdb.CI   // as recorded so far
	have uint64    // revisions of an import before
	n    uint64    // of the present state
	last fact.Set
	rev  cmdb.Revision
	rep  PastReport
}

// ImportEtckeeper takes the history in that "git fast-export HEAD" wrote of a
// machine's /etc. The server must not run. The CI must be new, or hold nothing but an
// earlier import of the same history, which is gone on with: after an interruption, or
// when there are more commits. Else the error wraps ErrPast.
func ImportEtckeeper(ctx context.Context, cfg Config, what Past, in io.Reader) (rep PastReport, err error) {
	if err := cmdb.CheckName(what.Name); err != nil {
		return rep, err
	}
	s, err := New(ctx, cfg, "", slog.New(slog.DiscardHandler))
	if err != nil {
		return rep, err
	}
	defer func() { err = errors.Join(err, s.engine.Close()) }()
	id := sha256.Sum256([]byte("rollcall etckeeper ci v1\x00" + cfg.Tenant + "\x00" + what.Name))
	p := &pastImport{Server: s, what: what, id: "ci" + hex.EncodeToString(id[:10]), sum: sha256.New()}
	if err := p.begin(ctx); err != nil {
		return rep, err
	}
	// The same history gives the same fingerprints, so that an import can go on.
	key := sha256.Sum256(append([]byte("rollcall etckeeper fingerprints v1\x00"+p.id+"\x00"), s.key.Seed()...))
	err = etckeeper.Read(io.TeeReader(in, p.sum), key[:seal.FingerprintKeySize], func(st etckeeper.State) error { return p.state(ctx, st) })
	if err == nil && p.n < p.have {
		err = fmt.Errorf("%w: the export holds less than what was imported of CI %s", ErrPast, what.Name)
	}
	if err == nil && p.rep.Commits == 0 {
		err = fmt.Errorf("%w: it holds no commit", etckeeper.ErrStream)
	}
	if err != nil {
		return p.rep, fmt.Errorf("import of %s: %w", what.Name, err)
	}
	for _, f := range p.last {
		if v, err := fact.ParseFile(f.Value); err == nil && v.Kind == fact.KindKeyed {
			p.rep.Withheld++
		}
	}
	return p.rep, p.finish(ctx)
}

// begin finds out whether the CI may take a history.
func (p *pastImport) begin(ctx context.Context) error {
	p.rep.CI = p.id
	return p.engine.View(ctx, func(r store.Reader) error {
		items := cmdb.At(r, p.cfg.Tenant, p.service.Sets, cmdb.Everywhere)
		ci, err := items.CI(p.what.Name)
		if errors.Is(err, cmdb.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		_, spoken, err := enrol.At(r, p.cfg.Tenant).KeyOf(ci.ID)
		switch {
		case err != nil:
			return err
		case ci.ID != p.id || spoken || ci.TrustClass() != cmdb.Unsigned:
			return fmt.Errorf("CI %s: %w: it has a history of its own, which nothing can be put before; import before its agent enrols, under a name that is free, and let the agent take the CI over", p.what.Name, ErrPast)
		case ci.Site != p.what.Site:
			return fmt.Errorf("CI %s: %w: it was imported at site %q", p.what.Name, ErrPast, ci.Site)
		}
		p.ci, p.have = ci, ci.Rev
		return nil
	})
}

// state records the state after one commit, unless it is that of before.
func (p *pastImport) state(ctx context.Context, st etckeeper.State) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if p.rep.Commits++; p.rep.Commits == 1 {
		p.rep.Oldest = st.At
	}
	p.rep.Newest = st.At
	delta := fact.Diff(p.last, st.Facts)
	if delta.Empty() {
		return nil
	}
	p.last, p.n = st.Facts, p.n+1
	if p.n <= p.have {
		p.rep.Before++
		return p.compare(ctx, delta.Result)
	}
	var contents []cmdb.Content
	for _, c := range st.New {
		contents = append(contents, cmdb.Content{Digest: c.Digest, Bytes: c.Bytes})
	}
	if err := cmdb.PutContents(ctx, p.engine, p.cfg.Tenant, p.what.Site, time.Now(), contents); err != nil {
		return err
	}
	return p.record(ctx, st, delta)
}

// compare makes sure that a revision of an import before is of this history.
func (p *pastImport) compare(ctx context.Context, set fact.Digest) error {
	return p.engine.View(ctx, func(r store.Reader) error {
		rev, err := cmdb.At(r, p.cfg.Tenant, p.service.Sets, cmdb.Everywhere).Revision(p.id, p.n)
		if err == nil && (rev.By != PastBy || rev.State["etc"] != set) {
			err = fmt.Errorf("revision %d of CI %s: %w: it is of another history", p.n, p.what.Name, ErrPast)
		}
		p.rev = rev
		return err
	})
}

func (p *pastImport) record(ctx context.Context, st etckeeper.State, delta fact.Delta) error {
	sets := p.service.Sets
	var set cmdb.Prepared
	err := p.engine.View(ctx, func(r store.Reader) (err error) {
		set, err = sets.Derive(r, p.cfg.Tenant, delta.Encode())
		return err
	})
	if err == nil {
		err = set.Pack()
	}
	if err == nil && set.Size() > largePast {
		err = sets.PutLarge(ctx, p.engine, p.cfg.Tenant, set)
	}
	if err != nil {
		return err
	}
	at := st.At
	if now := time.Now().Add(-time.Second); at.After(now) {
		at = now // its clock was ahead
	}
	var isNew bool
	var head cmdb.CI
	err = p.engine.Update(ctx, func(tx store.Tx) (err error) {
		items := cmdb.In(tx, p.cfg.Tenant, cmdb.Everywhere)
		old, next := p.ci, p.ci
		if old.Rev == 0 {
			if next, err = items.New(p.id, p.what.Name, p.what.Class, p.what.Site); err != nil {
				return err
			}
			next.Trust = cmdb.Unsigned
		}
		if isNew, err = sets.Put(tx, p.cfg.Tenant, set); err != nil {
			return err
		}
		next.State = fact.State{"etc": delta.Result}
		head, p.rev, err = items.RecordPast(at, old, next, cmdb.Revision{By: PastBy, Reason: st.Subject, Claimed: st.At.UnixMilli()})
		return err
	})
	if err != nil {
		return err
	}
	p.ci = head
	if isNew {
		sets.Keep(set)
	}
	p.rep.Revisions++
	return nil
}

// finish writes down in the log what was taken in, and makes the mirror anew: commits
// of other machines may be newer than these.
func (p *pastImport) finish(ctx context.Context) error {
	sum, err := api.SumOf(p.rev)
	if err != nil {
		return err
	}
	err = p.engine.Update(ctx, func(tx store.Tx) error {
		_, err := evidence.In(tx, p.cfg.Tenant).Append(time.Now(), evidence.Entry{
			Kind: evidence.Declare, CI: p.id, By: PastBy, Subject: sum, Detail: map[string]string{
				"revision": strconv.FormatUint(p.rev.N, 10), "reason": "history of etckeeper imported",
				"commits": strconv.Itoa(p.rep.Commits), "recorded": strconv.Itoa(p.rep.Revisions), "export": hex.EncodeToString(p.sum.Sum(nil)),
			},
		})
		return err
	})
	if err != nil {
		return err
	}
	if _, err := os.Stat(p.cfg.mirrorDir()); errors.Is(err, fs.ErrNotExist) {
		return nil // it is made from the store when the server starts
	} else if err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	p.rep.Rebuilt = true
	return rebuild(ctx, p.cfg, newMirror(p.cfg, p.engine, p.engine, p.service.Sets, mirrorHooks{}, p.log))
}
