package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/mirror"
	"rollcall/server/store"
)

// mirrorSource shows the store to the mirror.
type mirrorSource struct {
	engine store.Engine
	tenant string
	sets   *cmdb.Sets
}

func (m mirrorSource) view(ctx context.Context, fn func(cmdb.View) error) error {
	return m.engine.View(ctx, func(r store.Reader) error { return fn(cmdb.At(r, m.tenant, m.sets, cmdb.Everywhere)) })
}

// Revision implements mirror.Source.
func (m mirrorSource) Revision(ctx context.Context, ci string, n uint64) (rev mirror.Rev, err error) {
	err = m.view(ctx, func(v cmdb.View) error {
		r, err := v.Revision(ci, n)
		if err != nil {
			return err
		}
		head, err := v.CI(ci)
		rev = mirrorRev(r)
		rev.Claim = head.TrustClass() == enrol.T0 // a CI is of this class from its first key on, or never
		return err
	})
	return rev, err
}

// Revisions implements mirror.Source: stamps are sorted first, then each
// revision is read by itself, so that years of history need little memory.
func (m mirrorSource) Revisions(ctx context.Context) iter.Seq2[mirror.Rev, error] {
	return func(yield func(mirror.Rev, error) bool) {
		var order []cmdb.Place
		err := m.view(ctx, func(v cmdb.View) (err error) {
			order, err = v.Places()
			return err
		})
		if err != nil {
			yield(mirror.Rev{}, err)
			return
		}
		slices.SortFunc(order, func(a, b cmdb.Place) int { return cmp.Compare(a.Stamp, b.Stamp) })
		for _, p := range order {
			rev, err := m.Revision(ctx, p.CI, p.N)
			if !yield(rev, err) || err != nil {
				return
			}
		}
	}
}

// Set implements mirror.Source.
func (m mirrorSource) Set(ctx context.Context, d fact.Digest) (f mirror.Facts, err error) {
	err = m.view(ctx, func(v cmdb.View) error {
		whole, delta, err := v.Patched(d)
		f = mirror.Facts{Whole: delta.Base, Base: whole, Put: delta.Put, Drop: delta.Drop}
		return err
	})
	return f, err
}

// Content implements mirror.Source.
func (m mirrorSource) Content(ctx context.Context, d fact.Digest) (b []byte, err error) {
	err = m.view(ctx, func(v cmdb.View) (err error) {
		b, err = v.Content(d)
		return err
	})
	return b, err
}

// Pristine implements mirror.Source.
func (m mirrorSource) Pristine(ctx context.Context, repo, md5 string, at int64) (b []byte, ok bool, err error) {
	err = m.view(ctx, func(v cmdb.View) (err error) {
		b, ok, err = v.Pristine(md5, at, func(site string) bool { return cmdb.RepoOf(site) == repo })
		return err
	})
	return b, ok, err
}

func mirrorRev(r cmdb.Revision) mirror.Rev {
	out := mirror.Rev{
		CI: r.CI, N: r.N, Stamp: r.Stamp, Name: r.Name, Class: r.Class, Site: r.Site, By: r.By, Reason: r.Reason, Report: r.Report,
		Repo: r.Repo, Folder: r.Folder, PrevRepo: r.PrevRepo, PrevFolder: r.PrevFolder, State: r.State, Prev: r.Prev,
	}
	// While it is merged nothing else is recorded of it.
	out.Into, out.Left = r.Fields[cmdb.IntoField].New, r.Fields[cmdb.IntoField].Old
	for _, name := range slices.Sorted(maps.Keys(r.Fields)) {
		out.Fields = append(out.Fields, mirror.Field{Name: name, Old: r.Fields[name].Old, New: r.Fields[name].New})
	}
	for _, e := range r.Events {
		out.Events = append(out.Events, fmt.Sprintf("%s: %s", e.Kind, e.Text))
	}
	return out
}

// mirrorHooks are what a running server tells its mirror.
type mirrorHooks struct {
	wake <-chan struct{}
	hold func() error
	busy func() bool
}

func newMirror(cfg Config, e store.Engine, writes store.Updater, sets *cmdb.Sets, hooks mirrorHooks, log *slog.Logger) *mirror.Mirror {
	return mirror.New(mirror.Config{
		Store: e, Writes: writes, Source: mirrorSource{e, cfg.Tenant, sets}, Tenant: cfg.Tenant,
		Dir: cfg.mirrorDir(), Now: time.Now, Log: log, Wake: hooks.wake, Hold: hooks.hold, Busy: hooks.busy,
	})
}

// backlog shows the mirror to the API.
type backlog struct{ m *mirror.Mirror }

// Backlog implements api.Backlog.
func (b backlog) Backlog(ctx context.Context) (uint64, error) {
	n, err := b.m.Backlog(ctx)
	return uint64(n), errors.Join(err, b.m.Trouble())
}
