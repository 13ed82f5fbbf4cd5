package sitesummary

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/store"
)

// taken is what became of an upload.
type taken struct {
	outcome Outcome
	ci      string
}

// errMoved tells that the CI was changed between reading and writing it.
var errMoved = errors.New("the CI was changed meanwhile")

// largeSet is from which size on a set is stored before its transaction.
const largeSet = 64 << 10

// record stores the facts of an upload as the present state of its CI.
func (s *Service) record(ctx context.Context, up *sheet, from netip.Addr, owners []string) (got taken, err error) {
	for range 3 {
		if got, err = s.recordOnce(ctx, up, from, owners); !errors.Is(err, errMoved) {
			break
		}
	}
	return got, err
}

func (s *Service) recordOnce(ctx context.Context, up *sheet, from netip.Addr, owners []string) (taken, error) {
	p, err := s.prepare(ctx, up, owners)
	if err != nil || p.kept {
		return taken{outcome: Kept}, err
	}
	for _, set := range p.sets {
		if err := set.Pack(); err != nil {
			return taken{}, err
		}
		if set.Size() > largeSet {
			if err := s.Sets.PutLarge(ctx, s.Writer, s.Tenant, set); err != nil {
				return taken{}, err
			}
		}
	}
	var got taken
	var stored []cmdb.Prepared
	_, err = s.Writer.Do(ctx, store.Op{Touch: []string{p.ci.ID}, Fn: func(tx store.Tx) (err error) {
		got, stored, err = s.write(tx, p, up, from)
		return err
	}})
	if err != nil {
		return taken{}, err
	}
	if p.entry.First.IsZero() {
		s.known.Add(1)
	}
	for _, set := range stored {
		s.Sets.Keep(set)
	}
	return got, nil
}

// plan is an upload whose sets have been worked out, outside of any lane.
type plan struct {
	kept  bool // by an agent
	entry Entry
	was   string  // CI that the entry named; empty: there was no entry
	ci    cmdb.CI // as it was read; Rev 0: there is none yet
	state fact.State
	sets  []cmdb.Prepared
}

// prepare finds the CI of an upload and works out its sets.
func (s *Service) prepare(ctx context.Context, up *sheet, owners []string) (p plan, err error) {
	err = s.Engine.View(ctx, func(r store.Reader) error {
		p = plan{}
		items := cmdb.At(r, s.Tenant, s.Sets, cmdb.Everywhere)
		if err := s.find(r, items, up.mac, owners, &p); err != nil || p.kept {
			return err
		}
		if err := s.admit(r, p); err != nil {
			return err
		}
		return s.derive(items, up, &p)
	})
	return p, err
}

// find reads the CI of an upload: the one of its uploads before, or of another one
// with its card. Whoever has its card and signs what it says keeps its CI.
func (s *Service) find(r store.Reader, items cmdb.View, mac string, owners []string, p *plan) error {
	found, err := store.GetJSON(r, entryKey(s.Tenant, entryID(mac)), &p.entry)
	if err != nil {
		return err
	}
	if p.was = p.entry.CI; !found {
		p.entry = Entry{ID: entryID(mac), CI: cmdb.NewID()}
	}
	p.ci, err = items.CI(p.entry.CI)
	if into := p.ci.Into(); err == nil && into != "" {
		p.entry.CI = into
		p.ci, err = items.CI(into)
	}
	if errors.Is(err, cmdb.ErrNotFound) {
		p.ci, err = cmdb.CI{ID: p.entry.CI}, nil
	}
	if err != nil {
		return err
	}
	for _, id := range owners {
		ci, err := items.CI(id)
		if errors.Is(err, cmdb.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		p.kept = p.kept || ci.TrustClass() != cmdb.Unsigned && ci.TrustClass() != cmdb.Observed
	}
	p.kept = p.kept || p.ci.Rev > 0 && p.ci.TrustClass() != cmdb.Unsigned
	return nil
}

// admit refuses machines that were disposed of, and new ones beyond the bound.
func (s *Service) admit(r store.Reader, p plan) error {
	if p.ci.Status == cmdb.Disposed {
		return ErrDisposed
	}
	if !p.entry.First.IsZero() {
		return nil
	}
	if s.known.Load() < 0 {
		all, err := Entries(r, s.Tenant)
		if err != nil {
			return err
		}
		s.known.Store(int64(len(all)))
	}
	if most := s.most(); s.known.Load() >= int64(most) {
		return fmt.Errorf("%w: %d machines have come in this way, see sitesummary_machines", ErrTooMany, most)
	}
	return nil
}

func (s *Service) most() int {
	if s.Most == 0 {
		return mostMachines
	}
	return s.Most
}

// derive works out the sets of the CI's next state.
func (s *Service) derive(items cmdb.View, up *sheet, p *plan) error {
	var before fact.Set
	if !p.entry.First.IsZero() {
		var err error
		if before, err = fact.DecodeSet(p.entry.Events); err != nil && len(p.entry.Events) > 0 {
			return fmt.Errorf("entry %s: %w", p.entry.ID, err)
		}
		before = append(fact.Set{}, before...) // not nil: there was an upload
	}
	now := fact.Split(up.facts)
	sections := maps.Clone(now)
	for section := range p.ci.State {
		sections[section] = now[section]
	}
	var next []fact.Fact
	for section := range sections {
		shown, err := items.Set(p.ci.State, section)
		if err != nil {
			return err
		}
		next = append(next, settle(sections[section], shown, before)...)
	}
	derived, err := items.Derive(p.ci.State, next)
	if errors.Is(err, cmdb.ErrInvalid) {
		err = fmt.Errorf("%w: %w", ErrUpload, err)
	}
	p.state, p.sets = derived.State, derived.Sets
	return err
}

// maxEvents bounds the event-like facts that are remembered, in bytes.
const maxEvents = 40 << 10

// events gives the event-like facts of an upload.
func events(up *sheet) []byte {
	facts := slices.Clone(up.facts)
	set := fact.NewSet(slices.DeleteFunc(facts, func(f fact.Fact) bool { return !isEventLike(f.Path) }))
	for len(set) > 0 {
		if b := set.Encode(); len(b) <= maxEvents {
			return b
		}
		set = set[:len(set)/2]
	}
	return nil
}

// write is the transaction of one upload: sets, revision and entry together.
func (s *Service) write(tx store.Tx, p plan, up *sheet, from netip.Addr) (got taken, stored []cmdb.Prepared, err error) {
	items := cmdb.In(tx, s.Tenant, cmdb.Everywhere)
	ci, err := items.CI(p.ci.ID)
	if errors.Is(err, cmdb.ErrNotFound) {
		ci, err = cmdb.CI{}, nil
	}
	if err != nil {
		return got, nil, err
	}
	var known Entry
	found, err := store.GetJSON(tx, entryKey(s.Tenant, p.entry.ID), &known)
	if err != nil {
		return got, nil, err
	}
	if ci.Rev != p.ci.Rev || found && known.CI != p.was {
		return got, nil, errMoved
	}
	if ci.Rev > 0 && ci.TrustClass() != cmdb.Unsigned { // its agent was admitted just now
		return taken{outcome: Kept}, nil, nil
	}
	if stored, err = items.PutSets(s.Sets, p.sets); err != nil {
		return got, nil, err
	}
	if got, err = s.revise(items, ci, p, up, from); err != nil {
		return got, nil, err
	}
	entry := p.entry
	entry.Last, entry.Events = s.Now().UTC(), events(up)
	if entry.First.IsZero() {
		entry.First = entry.Last
	}
	return got, stored, store.PutJSON(tx, entryKey(s.Tenant, entry.ID), entry)
}

// revise records the revision, unless the upload says what is known already.
func (s *Service) revise(items cmdb.Writer, ci cmdb.CI, p plan, up *sheet, from netip.Addr) (got taken, err error) {
	got = taken{outcome: Unchanged, ci: p.ci.ID}
	next := ci
	if ci.Rev == 0 {
		if next, err = items.New(p.ci.ID, up.get("id/hostname"), "", s.Site); err != nil {
			return got, err
		}
		next.Trust = cmdb.Unsigned
	}
	next.State = p.state
	// Nobody makes himself a server without a signature and two people.
	if class := up.get("id/class"); next.Class == "" && class != "server" && cmdb.CheckClass(class) == nil {
		next.Class = class
	}
	if ci.Rev == 0 || !next.Same(ci) {
		by := "sitesummary " + from.String()
		if _, _, err = items.Record(s.Now(), ci, next, cmdb.Revision{By: by, Reason: "uploaded by its sitesummary-client, unsigned"}); err != nil {
			return got, err
		}
		got.outcome = Recorded
	}
	last := cmdb.Last{Collectors: up.said, Measurements: fact.NewSet(up.measured).Encode()}
	return got, items.PutLast(p.ci.ID, last)
}
