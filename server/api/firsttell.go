package api

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/query"
)

// spreadStep is how finely times are counted: every zone's midnight is at one.
const spreadStep = 15 * time.Minute

// maxSpreadSites is how many sites the answer names.
const maxSpreadSites = 5000

// tell makes the answer of what was found.
func (t *trace) tell(items cmdb.View, reply *rollcallv1.FirstReply, limit int) error {
	reply.Machines, reply.Revisions = uint32(len(t.found)), uint64(t.revisions)
	sites, times := map[string]*rollcallv1.SpreadSite{}, map[int64]uint32{}
	for _, s := range t.found {
		if !s.gone.IsZero() {
			reply.Gone++
		}
		if sites[s.site] == nil {
			sites[s.site] = &rollcallv1.SpreadSite{Site: s.site, FirstMs: millis(s.at)}
		}
		sites[s.site].Machines++
		times[millis(s.at.Truncate(spreadStep))]++
	}
	reply.Sites = slices.SortedFunc(maps.Values(sites), func(a, b *rollcallv1.SpreadSite) int {
		return cmp.Or(cmp.Compare(a.GetFirstMs(), b.GetFirstMs()), strings.Compare(a.GetSite(), b.GetSite()))
	})
	reply.Sites = reply.GetSites()[:min(len(reply.GetSites()), maxSpreadSites)]
	for _, from := range slices.Sorted(maps.Keys(times)) {
		reply.Times = append(reply.Times, &rollcallv1.SpreadTime{FromMs: from, Machines: times[from]})
	}
	glance := items.Glance()
	for _, s := range t.found[:min(len(t.found), limit)] {
		told, err := t.sighting(items, glance, s)
		if err != nil {
			return err
		}
		reply.Sightings = append(reply.Sightings, told)
	}
	reply.More, reply.Notes = len(t.found) > limit, t.notes
	return nil
}

// sighting tells of one CI, with the facts that show it.
func (t *trace) sighting(items cmdb.View, glance *cmdb.Glance, s sighting) (*rollcallv1.Sighting, error) {
	r, err := items.Revision(s.ci.ID, s.n)
	if err != nil {
		return nil, err
	}
	out := &rollcallv1.Sighting{
		Ci: s.ci.ID, Name: s.ci.Name, Site: s.site, Revision: s.n, RecordedMs: millis(s.at), GoneMs: millis(s.gone), By: r.By,
		FirstReport: len(r.Prev) == 0 && len(r.State) > 0, Earlier: s.n == s.ci.From() && s.n > 1,
	}
	now, err := items.Was(s.ci, s.n)
	if err != nil {
		return nil, err
	}
	shown, err := query.Showing(t.cond, former{now, glance}, t.until)
	if err != nil {
		return nil, err
	}
	for i, f := range shown {
		if i == maxSightFacts {
			out.MoreFacts = uint32(len(shown) - i)
			break
		}
		change := &rollcallv1.FactChange{Path: f.Path, New: f.Value}
		if !out.GetEarlier() {
			if change.Old, err = valueIn(glance, r.Prev[f.Section()], f.Path); err != nil {
				return nil, err
			}
		}
		out.Facts = append(out.Facts, change)
	}
	return out, nil
}

// valueIn gives what a set has at a path, "" if it has nothing there.
func valueIn(glance *cmdb.Glance, set fact.Digest, path string) (string, error) {
	facts, err := glance.Facts(set, path)
	value, _ := facts.Get(path)
	return value, err
}
