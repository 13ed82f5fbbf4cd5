package server

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"
	"rollcall/server/store/storetest"

	"google.golang.org/grpc/codes"
)

// heldFor is since when and how long something held on a CI, as was answered then.
type heldFor struct {
	first, last int // steps; first 0: never
}

// When something was first seen where is what filters would have selected all along.
func TestFirstSeenIsWhatFiltersSelectedThen(t *testing.T) {
	r := start(t)
	rng := rand.New(rand.NewPCG(storetest.Seed(t), 41))
	var machines []*machine
	for i := range 4 {
		m := r.machine(800 + uint64(i))
		m.report(t, true)
		machines = append(machines, m)
	}
	filters := []string{
		"pkg(package-0003) = 2.1-1", "pkg(package-0003) >= 2.2-1 and not pkg(package-0004) = 2.2-1", "fact(pkg/package-000*/version) = 2.2-1",
		"name = *-1", "not pkg(package-0004)", "file(/etc/d01/file-0001.conf)", "count(pkg/*/version) = 40 and status = in-production",
	}
	const steps = 14
	bounds := []int64{time.Now().UnixMilli()}
	held := map[string]map[string]*heldFor{}
	for _, f := range filters {
		held[f] = map[string]*heldFor{}
	}
	note := func(step int) {
		for _, f := range filters {
			reply, err := r.kari.List(t.Context(), &rollcallv1.ListRequest{Filter: f})
			if err != nil {
				t.Fatalf("%s: %v", f, err)
			}
			for _, item := range reply.GetItems() {
				h := held[f][item.GetId()]
				if h == nil {
					h = &heldFor{first: step}
					held[f][item.GetId()] = h
				}
				h.last = step
			}
		}
		time.Sleep(3 * time.Millisecond) // answers are in milliseconds
		bounds = append(bounds, time.Now().UnixMilli())
		time.Sleep(3 * time.Millisecond)
	}
	note(1)
	for step := 2; step <= steps; step++ {
		m := machines[rng.IntN(len(machines))]
		switch rng.IntN(4) {
		case 0:
			fields := map[string]string{"name": fmt.Sprintf("%s-%d", m.Name, rng.IntN(2))}
			if _, err := r.kari.Set(t.Context(), &rollcallv1.SetRequest{Ci: m.ci, Fields: fields, Reason: fmt.Sprint(step)}); err != nil {
				t.Fatal(err)
			}
		default:
			m.Upgrade(3+rng.IntN(2), rng.IntN(4))
			m.report(t, false)
		}
		note(step)
	}
	for _, f := range filters {
		reply, err := r.kari.First(t.Context(), &rollcallv1.FirstRequest{Condition: f})
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		wantSightings(t, f, reply, held[f], bounds)
		r.wantHalved(f)
	}
}

// wantSightings compares an answer with what was selected at each step.
func wantSightings(t *testing.T, f string, reply *rollcallv1.FirstReply, held map[string]*heldFor, bounds []int64) {
	t.Helper()
	gone := uint32(0)
	for _, h := range held {
		if h.last < len(bounds)-1 {
			gone++
		}
	}
	if int(reply.GetMachines()) != len(held) || len(reply.GetSightings()) != len(held) || reply.GetGone() != gone || reply.GetLooked() != 4 || len(reply.GetNotes()) > 0 {
		t.Fatalf("%s: %v, want %d CIs, %d of them no more", f, reply, len(held), gone)
	}
	if !slices.IsSortedFunc(reply.GetSightings(), func(a, b *rollcallv1.Sighting) int { return int(a.GetRecordedMs() - b.GetRecordedMs()) }) {
		t.Errorf("%s: not in the order in which it spread: %v", f, reply.GetSightings())
	}
	counted := uint32(0)
	for _, at := range reply.GetTimes() {
		counted += at.GetMachines()
	}
	if counted != reply.GetMachines() {
		t.Errorf("%s: %d CIs are counted by time, want %d", f, counted, reply.GetMachines())
	}
	for _, s := range reply.GetSightings() {
		h := held[s.GetCi()]
		if h == nil {
			t.Errorf("%s: %s was never selected", f, s.GetName())
			continue
		}
		if at := s.GetRecordedMs(); at > bounds[h.first] || h.first > 1 && at < bounds[h.first-1] {
			t.Errorf("%s: %s since %d, want within step %d: %d to %d", f, s.GetName(), at, h.first, bounds[h.first-1], bounds[h.first])
		}
		if at := s.GetGoneMs(); h.last < len(bounds)-1 && (at < bounds[h.last] || at > bounds[h.last+1]) || h.last == len(bounds)-1 && at != 0 {
			t.Errorf("%s: %s no more since %d, want after step %d", f, s.GetName(), at, h.last)
		}
	}
}

// wantHalved asks a server that may not read every revision: what it says of the CIs
// on which the condition holds is true, and what it leaves out is said.
func (r *running) wantHalved(f string) {
	r.t.Helper()
	now, err := r.kari.List(r.t.Context(), &rollcallv1.ListRequest{Filter: f})
	if err != nil {
		r.t.Fatal(err)
	}
	having := len(now.GetItems())
	defer func() { r.srv.service.MostTraced = 0 }()
	for r.srv.service.MostTraced = 40; r.srv.service.MostTraced > 0; r.srv.service.MostTraced -= 3 {
		reply, err := r.kari.First(r.t.Context(), &rollcallv1.FirstRequest{Condition: f})
		if err != nil {
			wantCode(r.t, f, err, codes.InvalidArgument)
			if !strings.Contains(err.Error(), "--where") {
				r.t.Errorf("%s: %v, want a word about what to do", f, err)
			}
			continue
		}
		if reply.GetLooked() == 4 && !reply.GetHalved() {
			continue
		}
		if int(reply.GetMachines()) != having || reply.GetGone() != 0 || int(reply.GetRevisions()) > r.srv.service.MostTraced {
			r.t.Errorf("%s: %v, want the %d CIs on which it holds, with %d revisions at most", f, reply, having, r.srv.service.MostTraced)
		}
		if having < 4 && !slices.ContainsFunc(reply.GetNotes(), func(n string) bool { return strings.Contains(n, "lost it are missing") }) ||
			reply.GetHalved() != slices.ContainsFunc(reply.GetNotes(), func(n string) bool { return strings.Contains(n, "a later time may be shown") }) {
			r.t.Errorf("%s: halved %t, notes %q", f, reply.GetHalved(), reply.GetNotes())
		}
		for _, s := range reply.GetSightings() {
			if got := r.selects(f, s.GetCi(), s.GetRecordedMs()+1); !got {
				r.t.Errorf("%s: does not hold on %s after revision %d", f, s.GetName(), s.GetRevision())
			}
			if s.GetRevision() > 1 && !s.GetFirstReport() && r.selects(f, s.GetCi(), s.GetRecordedMs()-1) {
				r.t.Errorf("%s: holds on %s before revision %d", f, s.GetName(), s.GetRevision())
			}
		}
	}
}

func (r *running) selects(filter, ci string, at int64) bool {
	r.t.Helper()
	reply, err := r.kari.List(r.t.Context(), &rollcallv1.ListRequest{Filter: "ci = " + ci + " and (" + filter + ")", AtMs: at})
	if err != nil {
		r.t.Fatal(err)
	}
	return len(reply.GetItems()) == 1
}

// The answer keeps within the sites of whoever asks and within --where and --at, shows
// what made it so, and refuses what is not kept for every time.
func TestFirstSeenKeepsWithinWhatIsAskedAndAllowed(t *testing.T) {
	r := start(t)
	for _, site := range []string{"elm", "oak"} {
		if _, err := r.kari.SetSite(t.Context(), &rollcallv1.SetSiteRequest{Site: &rollcallv1.Site{Path: site}}); err != nil {
			t.Fatal(err)
		}
	}
	var ms []*machine
	for i, site := range []string{"oak", "elm", "elm"} {
		m := r.machine(uint64(i + 1))
		m.report(t, true)
		if _, err := r.kari.Set(t.Context(), &rollcallv1.SetRequest{Ci: m.ci, Fields: map[string]string{"site": site}}); err != nil {
			t.Fatal(err)
		}
		ms = append(ms, m)
	}
	old, _ := ms[0].Facts["pkg"].Get("pkg/package-0007/version")
	for _, m := range ms[:2] {
		m.Upgrade(7, 8)
		m.report(t, false)
		time.Sleep(2 * time.Millisecond)
	}
	const cond = "pkg(package-0007) = 2.8-1"
	elm := r.operator("elm", auth.Grant{Role: auth.Viewer, Site: "elm"})
	for _, tt := range []struct {
		who  *operator
		req  *rollcallv1.FirstRequest
		want []string
	}{
		{r.kari, &rollcallv1.FirstRequest{Condition: cond}, []string{"sim-00001", "sim-00002"}},
		{elm, &rollcallv1.FirstRequest{Condition: cond}, []string{"sim-00002"}},
		{r.kari, &rollcallv1.FirstRequest{Condition: cond, Filter: "site = oak"}, []string{"sim-00001"}},
		{r.kari, &rollcallv1.FirstRequest{Condition: cond, Limit: 1}, []string{"sim-00001"}},
		{r.kari, &rollcallv1.FirstRequest{Condition: cond, AtMs: time.Now().Add(-time.Hour).UnixMilli()}, nil},
	} {
		reply, err := tt.who.First(t.Context(), tt.req)
		if err != nil {
			t.Fatalf("%v: %v", tt.req, err)
		}
		var got []string
		for _, s := range reply.GetSightings() {
			got = append(got, s.GetName())
			if f := s.GetFacts(); len(f) != 1 || f[0].GetPath() != "pkg/package-0007/version" || f[0].GetOld() != old || f[0].GetNew() != "2.8-1" || s.GetFirstReport() {
				t.Errorf("%v: shown by %v", tt.req, s)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%v: seen on %v, want %v", tt.req, got, tt.want)
		}
		if tt.who == elm && (reply.GetMachines() != 1 || reply.GetAsked() != 2 || len(reply.GetSites()) != 1 || reply.GetSites()[0].GetSite() != "elm") {
			t.Errorf("what the operator of elm is told: %v", reply)
		}
	}
	for _, c := range []string{"presence = silent", "changed(etc) < 7d", "pkg(cups) as of 7d", "field(rack) = B4", "owner = kari", "name = a and seen > 1d", "pkg("} {
		_, err := r.kari.First(t.Context(), &rollcallv1.FirstRequest{Condition: c})
		wantCode(t, c, err, codes.InvalidArgument)
	}
}
