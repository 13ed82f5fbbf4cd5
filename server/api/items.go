package api

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/query"
	"rollcall/server/store"
)

const (
	defaultList = 1000
	maxList     = 100_000
	maxReason   = 500 // bytes
)

// List gives the CIs that a filter selects.
func (s *Service) List(ctx context.Context, req *rollcallv1.ListRequest) (*rollcallv1.ListReply, error) {
	limit := int(req.GetLimit())
	if limit == 0 {
		limit = defaultList
	}
	limit = min(limit, maxList)
	reply := &rollcallv1.ListReply{}
	err := s.view(ctx, func(_ store.Reader, items cmdb.View) error {
		sel, err := s.find(ctx, items, req.GetFilter(), when(req.GetAtMs()))
		if err != nil {
			return err
		}
		reply.Notes = sel.notes()
		if req.GetExplain() {
			reply.Steps = sel.explain()
		}
		for _, c := range sel.found {
			if req.GetAfter() != "" && compareNames(c.name, req.GetAfter()) <= 0 {
				continue
			}
			if len(reply.Items) == limit {
				reply.More = true
				break
			}
			sub, err := sel.read(c)
			if err != nil {
				return err
			}
			if sub == nil {
				continue
			}
			sum, err := s.summary(sub)
			if err != nil {
				return err
			}
			reply.Items = append(reply.Items, sum)
		}
		return nil
	})
	return reply, err
}

// serials are the serial numbers of a machine, the one on its label first.
var serials = []string{"id/serial/product", "id/serial/chassis", "id/serial/*"}

// summary is one row of a list.
func (s *Service) summary(sub *subject) (*rollcallv1.ItemSummary, error) {
	ci := sub.ci
	sum := &rollcallv1.ItemSummary{
		Id: ci.ID, Name: ci.Name, Class: ci.Class, Site: ci.Site, Status: string(ci.Status),
		Presence: sub.presence(), LastSeenMs: millis(sub.seen()),
		ChangedMs: millis(ci.Changed), CreatedMs: millis(ci.Created), Revision: ci.Rev, Cloned: ci.Cloned, Trust: ci.TrustClass(),
	}
	for _, f := range []struct {
		section  string
		patterns []string
		to       *string
	}{{"os", []string{"os/debian"}, &sum.Os}, {"hw", []string{"hw/system/product"}, &sum.Model}, {"id", serials, &sum.Serial}} {
		var err error
		if *f.to, err = sub.first(f.section, f.patterns...); err != nil {
			return nil, err
		}
	}
	return sum, nil
}

// Get gives one CI with its facts.
func (s *Service) Get(ctx context.Context, req *rollcallv1.GetRequest) (*rollcallv1.GetReply, error) {
	reply := &rollcallv1.GetReply{}
	err := s.view(ctx, func(r store.Reader, items cmdb.View) error {
		sub, err := s.subjectAt(r, items, req.GetCi(), when(req.GetAtMs()))
		if err != nil {
			return err
		}
		if reply.Item, err = s.summary(sub); err != nil {
			return err
		}
		if reply.Fields, err = items.FieldsAsOf(sub.head, sub.ci.Rev); err != nil {
			return err
		}
		for _, section := range slices.Sorted(maps.Keys(sub.ci.State)) {
			if !wanted(section, req.GetSections()) {
				continue
			}
			set, err := items.Set(sub.ci.State, section)
			if err != nil {
				return err
			}
			reply.Sets = append(reply.Sets, set.Encode())
		}
		if req.GetAtMs() == 0 {
			if err := s.addObservations(items, sub, reply); err != nil {
				return err
			}
		}
		return s.addLast(r, items, sub.ci.ID, reply)
	})
	return reply, err
}

func wanted(section string, asked []string) bool {
	if len(asked) == 0 {
		return section != "etc" && section != "pkg" && section != "apt"
	}
	return slices.Contains(asked, section) || slices.Contains(asked, "*")
}

func (s *Service) addLast(r store.Reader, items cmdb.View, ci string, reply *rollcallv1.GetReply) error {
	last, err := items.Last(ci)
	if err != nil {
		return err
	}
	reply.AgentVersion, reply.Measurements = last.AgentVersion, last.Measurements
	for _, c := range last.Collectors {
		reply.Collectors = append(reply.Collectors, &rollcallv1.CollectorStatus{
			Name: c.Name, Status: rollcallv1.CollectorStatus_Status(c.Status), Detail: c.Detail, TookMs: c.TookMS,
		})
	}
	key, ok, err := enrol.At(r, s.Tenant).KeyOf(ci)
	if err == nil && ok {
		reply.KeyId, reply.KeyWords = key.ID, wordsOf(key)
	}
	return err
}

// Set changes what people decide about a CI, as one revision.
func (s *Service) Set(ctx context.Context, req *rollcallv1.SetRequest) (*rollcallv1.SetReply, error) {
	who := callerOf(ctx).operator
	var id string
	var rev uint64
	err := s.act(ctx, func(tx store.Tx) (evidence.Entry, error) {
		w := s.items(ctx, tx)
		old, err := w.Resolve(req.GetCi())
		if err != nil {
			return evidence.Entry{}, err
		}
		next, err := w.Declare(old, req.GetFields())
		if err != nil {
			return evidence.Entry{}, err
		}
		id, rev = old.ID, old.Rev
		if next.Same(old) {
			return nothing, nil
		}
		if next.Class == "server" && old.Class != "server" {
			where := old.Site
			if next.Site != where {
				where = "" // a move as well: somebody who may on both sides
			}
			err := s.twoPeople(ctx, twice{
				site: where, what: fmt.Sprintf("make %s, which is %s, a server", old.Name, cmp.Or(old.Class, "of no class")),
				req: &rollcallv1.SetRequest{Ci: old.ID, Fields: req.GetFields(), Reason: req.GetReason()},
			})
			if err != nil {
				return evidence.Entry{}, err
			}
		}
		next, r, err := w.Record(s.Now(), old, next, cmdb.Revision{By: "operator " + who.Name, Reason: fact.Cut(req.GetReason(), maxReason)})
		if err != nil {
			return evidence.Entry{}, err
		}
		rev = next.Rev
		return declared(next, r)
	})
	if err != nil {
		return nil, err
	}
	reply := &rollcallv1.SetReply{Revision: rev}
	err = s.view(ctx, func(r store.Reader, items cmdb.View) error {
		sub, err := s.subjectAt(r, items, id, time.Time{})
		if err == nil {
			reply.Item, err = s.summary(sub)
		}
		return err
	})
	return reply, err
}

// sourceAt is subjectAt for a restore. What a machine only claims to be is no
// source: whoever boots in its place could have put anything there.
func (s *Service) sourceAt(r store.Reader, items cmdb.View, name string, at time.Time) (*subject, error) {
	sub, err := s.subjectAt(r, items, name, at)
	switch {
	case err != nil:
	case sub.ci.TrustClass() == enrol.T0:
		err = fmt.Errorf("CI %s, trust class T0, is no source of a restore: %w: its /etc comes from its boot image", sub.ci.Name, enrol.ErrTrust)
	case sub.ci.TrustClass() == cmdb.Observed:
		err = fmt.Errorf("CI %s is no source of a restore: %w: only boot servers tell of it", sub.ci.Name, enrol.ErrTrust)
	case sub.ci.TrustClass() == cmdb.Unsigned:
		err = fmt.Errorf("CI %s is no source of a restore: %w: nobody signs for it", sub.ci.Name, enrol.ErrTrust)
	}
	return sub, err
}

// Manifest gives the facts that a restore needs.
func (s *Service) Manifest(ctx context.Context, req *rollcallv1.ManifestRequest) (*rollcallv1.ManifestReply, error) {
	reply := &rollcallv1.ManifestReply{}
	err := s.view(ctx, func(r store.Reader, items cmdb.View) error {
		sub, err := s.sourceAt(r, items, req.GetCi(), when(req.GetAtMs()))
		if err != nil {
			return err
		}
		rev, err := items.Revision(sub.ci.ID, sub.ci.Rev)
		if err != nil {
			return err
		}
		reply.Ci, reply.Name, reply.Revision = sub.ci.ID, sub.ci.Name, sub.ci.Rev
		reply.RecordedMs, reply.Report = millis(rev.At()), rev.Report
		for _, section := range []string{"etc", "conffile"} {
			set, err := items.Set(sub.ci.State, section)
			if err != nil {
				return err
			}
			if len(set) > 0 {
				reply.Sets = append(reply.Sets, set.Encode())
			}
		}
		if len(reply.Sets) == 0 {
			return fmt.Errorf("CI %s at revision %d: %w: it has no /etc, has its agent reported?", sub.ci.Name, sub.ci.Rev, cmdb.ErrNotFound)
		}
		return s.addSigned(r, items, sub.ci, reply)
	})
	return reply, err
}

// subjectAt resolves a CI as it was at a time.
func (s *Service) subjectAt(r store.Reader, items cmdb.View, idOrName string, at time.Time) (*subject, error) {
	ci, err := items.NamedAt(idOrName, at)
	if err != nil {
		return nil, err
	}
	return s.asOf(items, ci, at)
}

func (s *Service) asOf(items cmdb.View, ci cmdb.CI, at time.Time) (*subject, error) {
	sub := &subject{s: s, items: items, head: ci, ci: ci, at: at}
	if !at.IsZero() && at.Before(ci.Changed) {
		rev, err := items.AsOf(ci, at)
		if err != nil {
			return nil, err
		}
		sub.ci = rev.As(ci)
	}
	return sub, nil
}

// Complete gives the words that may follow in a command line.
func (s *Service) Complete(ctx context.Context, req *rollcallv1.CompleteRequest) (*rollcallv1.CompleteReply, error) {
	const most = 200
	var words []string
	prefix := strings.ToLower(req.GetPrefix())
	add := func(w string) {
		if strings.HasPrefix(strings.ToLower(w), prefix) {
			words = append(words, w)
		}
	}
	err := s.view(ctx, func(_ store.Reader, items cmdb.View) error {
		switch req.GetKind() {
		case "ci":
			for ci, err := range items.All() {
				if err != nil {
					return err
				}
				add(ci.Name)
			}
		case "site":
			sites, err := items.Sites()
			for _, site := range sites {
				add(site.Path)
			}
			return err
		case "file":
			return eachFile(items, req.GetCi(), add)
		case "fact":
			return eachFact(items, req.GetCi(), add)
		case "filter":
			all, err := items.Filters()
			for _, f := range all {
				add(f.Name)
			}
			return err
		case "baseline":
			all, err := items.Baselines()
			for _, b := range all {
				add(b.Name)
			}
			return err
		case "field":
			for _, f := range query.Fields() {
				add(f.Name)
			}
		}
		return nil
	})
	slices.Sort(words)
	words = slices.Compact(words)
	return &rollcallv1.CompleteReply{Words: words[:min(most, len(words))]}, err
}

// eachFact gives the paths of all facts of a CI but its files.
func eachFact(items cmdb.View, name string, add func(string)) error {
	ci, err := items.CI(name)
	if errors.Is(err, cmdb.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for section := range ci.State {
		if section == "etc" {
			continue
		}
		set, err := items.Set(ci.State, section)
		if err != nil {
			return err
		}
		for _, f := range set {
			add(f.Path)
		}
	}
	return nil
}

func eachFile(items cmdb.View, name string, add func(string)) error {
	ci, err := items.CI(name)
	if errors.Is(err, cmdb.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	set, err := items.Set(ci.State, "etc")
	for _, f := range set {
		if path, err := fact.Unescape(f.Path); err == nil && !bytes.ContainsAny([]byte(path), "\n\x1b") {
			add("/" + f.Path)
		}
	}
	return err
}
