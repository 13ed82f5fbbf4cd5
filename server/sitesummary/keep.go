package sitesummary

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/store"
)

// Keeper keeps a Folder in step with the CIs: whatever an agent reports is written
// as sitesummary-client would have sent it, and what was disposed of, erased or not
// heard of for long is taken away. All fields must be set.
type Keeper struct {
	Folder   *Folder
	Engine   store.Engine
	Tenant   string
	Sets     *cmdb.Sets
	Presence *cmdb.Presence
	Log      *slog.Logger
	Now      func() time.Time

	mu    sync.Mutex
	dirty map[string]bool // CIs to look at; nil: all
	wake  chan struct{}
}

const (
	// silentFor is after how long without a word an entry goes: sitesummary's own
	// maintenance does the same after so many days.
	silentFor = 120 * 24 * time.Hour
	// agesEvery is how often the ages of entries are set.
	agesEvery = time.Hour
	// nagiosFiles are the files of a machine that sitesummary-client sends as they are.
	nagiosDir = "etc/nagios/"
	maxNagios = 256 << 10 // bytes of one of them
)

var nagiosFiles = map[string]string{
	nagiosDir + "nrpe.cfg": "nagios/nrpe.cfg", nagiosDir + "nrpe_local.cfg": "nagios/nrpe_local.cfg",
	nagiosDir + "nrpe.d/sitesummary-nrpe.cfg": "nagios/sitesummary-nrpe.cfg",
}

// Open reads the folder. It comes before uploads and before Run.
func (k *Keeper) Open() error {
	k.wake = make(chan struct{}, 1)
	return k.Folder.open()
}

// Run follows the feed until ctx ends. What cannot be written is logged and tried
// again when the CI changes, or at the next start.
func (k *Keeper) Run(ctx context.Context, feed *store.ChangeFeed) error {
	var wg sync.WaitGroup
	wg.Go(func() { k.work(ctx) })
	defer wg.Wait()
	// Writers wait for whoever follows: only note what is to be done.
	return feed.Follow(ctx, func(dirty []string) error {
		k.note(dirty)
		return nil
	})
}

func (k *Keeper) note(dirty []string) {
	k.mu.Lock()
	if len(dirty) == 0 {
		k.dirty = nil
	} else if k.dirty != nil {
		for _, id := range dirty {
			k.dirty[id] = true
		}
	}
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default: // it is awake
	}
}

func (k *Keeper) work(ctx context.Context) {
	ages := time.NewTicker(agesEvery)
	defer ages.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ages.C:
			k.setAges()
		case <-k.wake:
			k.mu.Lock()
			dirty := k.dirty
			k.dirty = map[string]bool{}
			k.mu.Unlock()
			if dirty == nil {
				k.renewAll(ctx)
			}
			for id := range dirty {
				k.renew(ctx, id)
			}
		}
		if ctx.Err() != nil {
			return
		}
	}
}

func (k *Keeper) renewAll(ctx context.Context) {
	ids := map[string]bool{}
	for _, id := range k.Folder.all() {
		ids[id] = true
	}
	err := k.view(ctx, func(v cmdb.View) error {
		for ci, err := range v.All() {
			if ids[ci.ID] = true; err != nil {
				k.Log.Error("sitesummary entry", "ci", ci.ID, "err", err)
			}
		}
		return ctx.Err()
	})
	if err != nil && ctx.Err() == nil {
		k.Log.Error("sitesummary entries", "err", err)
	}
	for id := range maps.Keys(ids) {
		if ctx.Err() != nil {
			return
		}
		k.renew(ctx, id)
	}
}

func (k *Keeper) view(ctx context.Context, fn func(cmdb.View) error) error {
	return k.Engine.View(ctx, func(r store.Reader) error { return fn(cmdb.At(r, k.Tenant, k.Sets, cmdb.Everywhere)) })
}

// renew writes or removes the entry of one CI.
func (k *Keeper) renew(ctx context.Context, id string) {
	var files map[string][]byte
	var name string
	var heard time.Time
	err := k.view(ctx, func(v cmdb.View) (err error) {
		name, files = "", nil
		ci, err := v.CI(id)
		if errors.Is(err, cmdb.ErrNotFound) {
			return nil
		}
		if err != nil || ci.Status == cmdb.Disposed || ci.Status == cmdb.Merged {
			return err
		}
		// The report that is being recorded counts as a word before presence knows of it.
		if heard = later(k.Presence.Last(id), ci.Changed); k.Now().Sub(heard) > silentFor {
			return nil
		}
		if ci.TrustClass() == cmdb.Unsigned {
			name = "as it came"
			return nil
		}
		e, err := k.read(v, ci)
		if err != nil {
			return err
		}
		if name, files = e.files(); name == "" {
			return nil
		}
		if other := k.Folder.holder(name); other != "" && other != id {
			if stronger, err := k.stronger(v, other, ci); err != nil || stronger {
				name = ""
				return err
			}
		}
		return nil
	})
	switch {
	case err != nil:
	case name == "":
		err = k.Folder.remove(id)
	case files != nil:
		err = k.Folder.put(name, id, cleaned(files), heard)
	}
	if err != nil && ctx.Err() == nil {
		k.Log.Error("sitesummary entry", "ci", id, "err", err)
	}
}

// stronger tells whether another CI that has the same card keeps the entry: one that
// boots from the network or nobody signs for gives way.
func (k *Keeper) stronger(v cmdb.View, other string, ci cmdb.CI) (bool, error) {
	o, err := v.CI(other)
	if errors.Is(err, cmdb.ErrNotFound) {
		return false, nil
	}
	if err != nil || o.Status == cmdb.Disposed || o.Status == cmdb.Merged {
		return false, err
	}
	rank := map[string]int{cmdb.Unsigned: 0, "T0": 1, "T1": 2}
	a, b := rank[o.TrustClass()], rank[ci.TrustClass()]
	return a > b || a == b && o.ID < ci.ID, nil
}

// read gathers what an entry is made of.
func (k *Keeper) read(v cmdb.View, ci cmdb.CI) (entry, error) {
	e := entry{class: ci.Class, facts: map[string]fact.Set{}, contents: map[string][]byte{}}
	for _, section := range []string{"id", "net", "hw", "os", "pkg", "fs"} {
		set, err := v.Set(ci.State, section)
		if err != nil {
			return e, err
		}
		e.facts[section] = set
	}
	last, err := v.Last(ci.ID)
	if err != nil {
		return e, err
	}
	if len(last.Measurements) > 0 {
		if e.measured, err = fact.DecodeSet(last.Measurements); err != nil {
			return e, err
		}
	}
	etc, ok := ci.State["etc"]
	for path, name := range nagiosFiles {
		if !ok {
			break
		}
		text, has, err := v.Value(etc, path)
		if err != nil {
			return e, err
		}
		file, ferr := fact.ParseFile(text)
		if !has || ferr != nil || file.Kind != fact.KindPlain {
			continue // sealed, left out or not there
		}
		b, err := v.Content(file.Digest)
		if errors.Is(err, store.ErrNoBlob) {
			continue // it is a package's default that nobody has uploaded
		}
		if err != nil {
			return e, err
		}
		if len(b) <= maxNagios {
			e.contents[name] = b
		}
	}
	return e, nil
}

// setAges gives each entry the age of the last word of its machine.
func (k *Keeper) setAges() {
	for _, id := range k.Folder.all() {
		last := k.Presence.Last(id)
		if last.IsZero() {
			continue // renew decides
		}
		err := k.Folder.heard(id, last)
		if k.Now().Sub(last) > silentFor {
			err = k.Folder.remove(id)
		}
		if err != nil {
			k.Log.Error("sitesummary entry", "ci", id, "err", err)
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
