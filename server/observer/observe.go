package observer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/store"
)

// maxClients is how many machines of one observer are looked at, as many as an agent
// tells of.
const maxClients = 4096

// seenMAC is where an observed CI has the address of its card.
const seenMAC = "net/seen/mac"

// client is one machine that an observer tells of.
type client struct{ mac, by, name, boot string }

// clientsOf reads what an observer tells, in the order of its facts.
func clientsOf(set fact.Set) (all []client) {
	for _, f := range set {
		parts := strings.Split(f.Path, "/")
		if len(parts) != 3 {
			continue
		}
		if len(all) == 0 || all[len(all)-1].mac != parts[1] {
			if len(all) == maxClients {
				break
			}
			all = append(all, client{mac: parts[1]})
		}
		switch c := &all[len(all)-1]; parts[2] {
		case "by":
			c.by = fact.Cut(f.Value, 40)
		case "name":
			c.name = f.Value
		case "boot":
			c.boot = f.Value
		}
	}
	return all
}

// observe makes or changes the CIs that follow from what one CI tells, and notes what
// became of one that others tell of.
func (s *Service) observe(ctx context.Context, id string, anew bool) error {
	var ci cmdb.CI
	var clients []client
	var known []cmdb.CI
	err := s.view(ctx, func(v cmdb.View) (err error) {
		clients, known = nil, nil
		if ci, err = v.CI(id); errors.Is(err, cmdb.ErrNotFound) {
			ci, err = cmdb.CI{ID: id}, nil
		}
		if err != nil || !observes(ci) || !anew && s.unchanged(ci) {
			return err
		}
		set, err := v.Set(ci.State, section)
		if err != nil {
			return err
		}
		clients = clientsOf(set)
		for _, c := range clients {
			one, err := v.CI(idOf(cmdb.RepoOf(ci.Site), c.mac))
			if err != nil && !errors.Is(err, cmdb.ErrNotFound) {
				return err
			}
			known = append(known, one)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case !observes(ci) || len(clients) == 0 && !s.unchanged(ci):
		s.mu.Lock()
		delete(s.watch, id)
		s.mu.Unlock()
		return s.standing(ctx, ci)
	case len(clients) == 0:
		return nil
	}
	o := &observer{set: ci.State[section], school: cmdb.RepoOf(ci.Site), ids: make([]string, len(clients)), last: make([]time.Time, len(clients))}
	for _, c := range clients {
		o.macs, o.by = append(o.macs, c.mac), append(o.by, c.by)
	}
	return s.observed(ctx, ci, o, clients, known)
}

// unchanged tells whether what a CI says of clients was gone through.
func (s *Service) unchanged(ci cmdb.CI) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.watch[ci.ID]
	return o != nil && o.set == ci.State[section] && o.school == cmdb.RepoOf(ci.Site)
}

// observed makes or changes the CIs of one observer.
func (s *Service) observed(ctx context.Context, ci cmdb.CI, o *observer, clients []client, known []cmdb.CI) error {
	left := 0
	for i, c := range clients {
		of, err := s.client(ctx, ci, c, known[i])
		if errors.Is(err, errTooMany) {
			left++
			continue
		}
		if err != nil {
			return fmt.Errorf("%s, seen by CI %s: %w", c.mac, ci.Name, err)
		}
		if o.ids[i] = of; of != "" {
			s.vouched[of] = true
		}
	}
	if left > 0 {
		s.Log.Warn("machines that a boot server sees get no CI", "observer", ci.Name, "machines", left, "observed_clients", s.Most)
	}
	s.keep(ci.ID, o)
	return nil
}

// standing notes what became of a CI that observers tell of: one that was merged, or
// that its agent took over, is heard of by itself.
func (s *Service) standing(ctx context.Context, ci cmdb.CI) error {
	observed := ci.TrustClass() == cmdb.Observed
	if !observed && !s.vouched[ci.ID] {
		return nil
	}
	mac := ""
	if observed && mayBeAnother(ci) {
		err := s.view(ctx, func(v cmdb.View) error {
			set, err := v.Set(ci.State, "net")
			mac, _ = set.Get(seenMAC)
			return err
		})
		if err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.watch {
		if i := slices.Index(o.ids, ci.ID); i >= 0 && mac == "" {
			o.ids[i] = ""
		}
		if i, ok := slices.BinarySearch(o.macs, mac); ok && idOf(o.school, mac) == ci.ID {
			o.ids[i] = ci.ID
		}
	}
	s.vouched[ci.ID] = mac != ""
	return nil
}

// keep makes an observer the one that is watched, and takes what it measured.
func (s *Service) keep(id string, o *observer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if was := s.watch[id]; was != nil && was != o {
		for i, mac := range o.macs {
			if j, ok := slices.BinarySearch(was.macs, mac); ok {
				o.last[i] = was.last[j]
			}
		}
	}
	if s.watch == nil {
		s.watch = map[string]*observer{}
	}
	s.watch[id] = o
	s.apply(o, s.heard[id])
}

// errTooMany tells that an observer has made as many CIs as it may.
var errTooMany = errors.New("too many machines from one observer")

// errMoved tells that the CI was changed between reading and writing it.
var errMoved = errors.New("the CI was changed meanwhile")

// client makes or changes the CI of one machine, and returns its id if nobody but
// observers tells of it.
func (s *Service) client(ctx context.Context, by cmdb.CI, c client, ci cmdb.CI) (id string, err error) {
	if card(c.mac) == "" {
		return "", nil
	}
	id = idOf(cmdb.RepoOf(by.Site), c.mac)
	switch {
	case ci.Rev > 0 && (ci.TrustClass() != cmdb.Observed || !mayBeAnother(ci)):
		return "", nil
	case ci.Rev == 0:
		covered, err := s.covered(ctx, cmdb.RepoOf(by.Site), c.mac)
		if err != nil || covered {
			return "", err
		}
		ci.ID = id
	}
	facts, err := s.facts(ctx, by, c, ci)
	if err != nil {
		return "", err
	}
	for range 3 {
		if err = s.Beside(func() error { return s.record(ctx, by, c, ci.ID, facts) }); !errors.Is(err, errMoved) {
			break
		}
	}
	return id, err
}

// covered tells whether a machine with a card is known at a school in another way: by
// its agent, as a seat, by an upload, or as something that is plugged into one.
func (s *Service) covered(ctx context.Context, school, mac string) (bool, error) {
	ids, err := s.Index.WithMAC(ctx, s.Now(), mac)
	if err != nil || len(ids) == 0 {
		return false, err
	}
	covered := false
	err = s.view(ctx, func(v cmdb.View) error {
		covered = false
		for _, id := range ids {
			ci, err := v.CI(id)
			if err != nil && !errors.Is(err, cmdb.ErrNotFound) {
				return err
			}
			covered = covered || err == nil && ci.TrustClass() != cmdb.Observed && cmdb.RepoOf(ci.Site) == school
		}
		return nil
	})
	return covered, err
}

// facts gives what is known of the machine after an observer has told of it. Where
// several tell, the name is that of the first.
func (s *Service) facts(ctx context.Context, by cmdb.CI, c client, ci cmdb.CI) (facts []fact.Fact, err error) {
	path := "observed/" + by.ID
	name, alone := "", true
	err = s.view(ctx, func(v cmdb.View) error {
		facts, name, alone = nil, "", true
		seen, err := v.Set(ci.State, "observed")
		if err != nil {
			return err
		}
		for _, f := range seen {
			if f.Path != path {
				facts, alone = append(facts, f), false
			}
		}
		id, err := v.Set(ci.State, "id")
		name, _ = id.Get("id/hostname")
		return err
	})
	if c.name != "" && (name == "" || alone) {
		name = c.name
	}
	facts = append(facts, fact.Fact{Path: path, Value: cmp.Or(c.by, "leases")}, fact.Fact{Path: seenMAC, Value: c.mac})
	if name != "" {
		facts = append(facts, fact.Fact{Path: "id/hostname", Value: name})
	}
	return facts, err
}

// record stores facts as the present state of an observed CI, unless they are it.
func (s *Service) record(ctx context.Context, by cmdb.CI, c client, id string, facts []fact.Fact) error {
	var was cmdb.CI
	var next cmdb.Derived
	err := s.Engine.View(ctx, func(r store.Reader) (err error) {
		v := cmdb.At(r, s.Tenant, s.Sets, cmdb.Everywhere)
		if was, err = v.CI(id); errors.Is(err, cmdb.ErrNotFound) {
			was, err = cmdb.CI{ID: id}, nil
		}
		if err == nil {
			next, err = v.Derive(was.State, facts)
		}
		return err
	})
	if err != nil || was.Rev > 0 && maps.Equal(next.State, was.State) {
		return err
	}
	for _, set := range next.Sets {
		if err := set.Pack(); err != nil {
			return err
		}
	}
	var stored []cmdb.Prepared
	_, err = s.Writer.Do(ctx, store.Op{Touch: []string{id}, Fn: func(tx store.Tx) (err error) {
		stored, err = s.write(tx, by, c, was, next)
		return err
	}})
	if err != nil {
		return err
	}
	for _, set := range stored {
		s.Sets.Keep(set)
	}
	if was.Rev == 0 {
		s.open[id] = true
		s.rematch = true // its agent may have reported just now
	}
	return nil
}

// write is the transaction of one observed CI.
func (s *Service) write(tx store.Tx, by cmdb.CI, c client, was cmdb.CI, next cmdb.Derived) ([]cmdb.Prepared, error) {
	items := cmdb.In(tx, s.Tenant, cmdb.Everywhere)
	ci, err := items.CI(was.ID)
	if errors.Is(err, cmdb.ErrNotFound) {
		ci, err = cmdb.CI{}, nil
	}
	switch {
	case err != nil:
		return nil, err
	case ci.Rev != was.Rev:
		return nil, errMoved
	case ci.Rev > 0 && (ci.TrustClass() != cmdb.Observed || !mayBeAnother(ci)): // just now
		return nil, nil
	}
	head := ci
	if ci.Rev == 0 {
		if head, err = s.found(tx, items, by, c, was.ID); err != nil {
			return nil, err
		}
	}
	stored, err := items.PutSets(s.Sets, next.Sets)
	if err != nil {
		return nil, err
	}
	head.State = next.State
	_, _, err = items.Record(s.Now(), ci, head, cmdb.Revision{By: "observer " + by.Name, Reason: fact.Value("seen by " + by.Name + ": " + c.by)})
	return stored, err
}

// found makes the head of a new observed CI, at the site of the observer.
func (s *Service) found(tx store.Tx, items cmdb.Writer, by cmdb.CI, c client, id string) (cmdb.CI, error) {
	var o Observer
	if _, err := store.GetJSON(tx, observerKey(s.Tenant, by.ID), &o); err != nil {
		return cmdb.CI{}, err
	}
	if o.Made >= s.Most {
		return cmdb.CI{}, errTooMany
	}
	o.Made++
	if err := store.PutJSON(tx, observerKey(s.Tenant, by.ID), o); err != nil {
		return cmdb.CI{}, err
	}
	class := ""
	if c.boot == "network" {
		class = "thin-client" // as far as can be seen; people may know better
	}
	head, err := items.New(id, cmp.Or(c.name, "mac-"+strings.ReplaceAll(c.mac, ":", "")), class, by.Site)
	head.Trust = cmdb.Observed
	return head, err
}
