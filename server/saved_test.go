package server

import (
	"slices"
	"strings"
	"testing"
	"time"

	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"

	"google.golang.org/grpc/codes"
)

func (r *running) saveFilter(t *testing.T, by *operator, name, site, text string) error {
	t.Helper()
	_, err := rollcallv1.NewSavedClient(by.conn).SaveFilter(t.Context(), &rollcallv1.SaveFilterRequest{
		Filter: &rollcallv1.SavedFilter{Name: name, Site: site, Text: text, About: "a test"},
	})
	return err
}

func (r *running) setBaseline(t *testing.T, by *operator, name, site, filter string) error {
	t.Helper()
	_, err := rollcallv1.NewSavedClient(by.conn).SetBaseline(t.Context(), &rollcallv1.SetBaselineRequest{
		Name: name, Site: site, Filter: filter, Reason: "a test", Paths: []string{"etc", "pkg"},
	})
	return err
}

// sees lists the saved filters and baselines of an operator.
func (r *running) sees(t *testing.T, by *operator) string {
	t.Helper()
	c := rollcallv1.NewSavedClient(by.conn)
	filters, err := c.Filters(t.Context(), &rollcallv1.FiltersRequest{})
	if err != nil {
		t.Fatal(err)
	}
	baselines, err := c.Baselines(t.Context(), &rollcallv1.BaselinesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range filters.GetFilters() {
		names = append(names, "@"+f.GetName())
	}
	for _, b := range baselines.GetBaselines() {
		names = append(names, b.GetName())
	}
	return strings.Join(names, " ")
}

// What is saved for a place is for the people of that place, of its parts, and of
// what it lies in; whoever holds all of it may change it.
func TestWhatIsSavedIsForThePeopleOfItsSite(t *testing.T) {
	w := newWorld(t)
	w.site("elm/own-place/room1")
	room := w.operator("room", auth.Grant{Role: auth.Worker, Site: "elm/own-place/room1"})
	own := w.operator("own", auth.Grant{Role: auth.Worker, Site: "elm/own-place"})
	elm := w.operator("elm", auth.Grant{Role: auth.Worker, Site: "elm"})
	for _, err := range []error{
		w.saveFilter(t, w.kari, "all", "", "class = *"),
		w.saveFilter(t, own, "own", "elm/own-place", "site = elm/own-place"),
		w.setBaseline(t, elm, "other", "elm/other-place", "site = elm/*"),
		w.setBaseline(t, room, "room", "elm/own-place/room1", "ci = "+w.own.ci),
	} {
		if err != nil && !strings.Contains(err.Error(), "selects no machine") {
			t.Error(err)
		}
	}
	for name, tt := range map[string]struct {
		by   *operator
		want string
	}{
		"the room":         {room, "@all @own"},
		"the place":        {own, "@all @own"},
		"the municipality": {elm, "@all @own other"},
		"everybody":        {w.kari, "@all @own other"},
	} {
		if got := w.sees(t, tt.by); got != tt.want {
			t.Errorf("%s sees %q, want %q", name, got, tt.want)
		}
	}
	for name, err := range map[string]error{
		"a place above":        w.saveFilter(t, room, "more", "elm/own-place", "name = x"),
		"everywhere":           w.saveFilter(t, elm, "more", "", "name = x"),
		"what others saved":    w.saveFilter(t, room, "own", "elm/own-place/room1", "name = x"),
		"another place's":      w.setBaseline(t, own, "other", "elm/own-place", "name = *"),
		"the next place":       w.setBaseline(t, own, "more", "elm/other-place", "name = *"),
		"removing what is all": errOf(rollcallv1.NewSavedClient(elm.conn).RemoveFilter(t.Context(), &rollcallv1.RemoveFilterRequest{Name: "all"})),
	} {
		wantCode(t, name, err, codes.PermissionDenied)
	}
	c := rollcallv1.NewSavedClient(own.conn)
	wantCode(t, "removing what is not seen", errOf(c.RemoveBaseline(t.Context(), &rollcallv1.RemoveBaselineRequest{Name: "other"})), codes.NotFound)
	wantCode(t, "looking at what is not seen", errOf(c.Deviations(t.Context(), &rollcallv1.DeviationsRequest{Name: "other"})), codes.NotFound)
	wantCode(t, "asking with what is not seen", errOf(own.List(t.Context(), &rollcallv1.ListRequest{Filter: "differs from other"})), codes.InvalidArgument)
}

// A saved filter is asked about the CIs of the one who asks.
func TestASavedFilterSelectsWithinTheScopeOfTheOneWhoAsks(t *testing.T) {
	w := newWorld(t)
	if err := w.saveFilter(t, w.kari, "all", "", "site = $where"); err != nil {
		t.Fatal(err)
	}
	own := w.operator("own", auth.Grant{Role: auth.Viewer, Site: "elm/own-place"})
	for by, want := range map[*operator]int{own: 1, w.kari: 2} {
		reply, err := by.List(t.Context(), &rollcallv1.ListRequest{Filter: "@all(where = elm/*)"})
		if err != nil || len(reply.GetItems()) != want {
			t.Errorf("it selects %d CIs, %v, want %d", len(reply.GetItems()), err, want)
		}
	}
	wantCode(t, "a changing that may not be", w.saveFilter(t, own, "all", "", "name = x"), codes.PermissionDenied)
}

func TestABaselineIsCheckedWhereverItIsUsed(t *testing.T) {
	r := start(t)
	var ms []*machine
	for n := range uint64(3) {
		m := r.machine(1 + n)
		m.keep(t, map[string]string{"motd": "welcome\n", "hosts": "127.0.0.1 localhost\n"})
		ms = append(ms, m)
	}
	if err := r.setBaseline(t, r.kari, "client", "", "class = * or name = *"); err != nil {
		t.Fatal(err)
	}
	names := func(filter string) string {
		t.Helper()
		reply, err := r.kari.List(t.Context(), &rollcallv1.ListRequest{Filter: filter})
		if err != nil {
			t.Fatalf("%s: %v", filter, err)
		}
		var out []string
		for _, i := range reply.GetItems() {
			out = append(out, i.GetId())
		}
		return strings.Join(out, " ")
	}
	if got := names("differs from client"); got != "" {
		t.Errorf("at once %q differ", got)
	}
	before := " as of " + time.Now().UTC().Format("2006-01-02T15:04:05.999999999Z")
	time.Sleep(20 * time.Millisecond)
	ms[1].keep(t, map[string]string{"motd": "changed\n", "hosts": "127.0.0.1 localhost\n", "more": "is no difference\n"})
	if got := names("differs from client"); got != ms[1].ci {
		t.Errorf("%q differ, want %s", got, ms[1].ci)
	}
	if got := names("differs from client" + before); got != "" {
		t.Errorf("as of before %q differ", got)
	}
	dev, err := rollcallv1.NewSavedClient(r.kari.conn).Deviations(t.Context(), &rollcallv1.DeviationsRequest{Name: "client"})
	if err != nil || dev.GetMachines() != 3 || dev.GetDiffering() != 1 || len(dev.GetRows()) != 1 || dev.GetRows()[0].GetPath() != "etc/motd" || len(dev.GetRows()[0].GetNames()) != 1 {
		t.Errorf("deviations: %v, %v", dev, err)
	}
	// A comparison takes both groups as they were at times of their own.
	_, err = r.kari.Compare(t.Context(), &rollcallv1.CompareRequest{Broken: "differs from client", Working: "not differs from client and ci != " + ms[1].ci + before})
	if err != nil {
		t.Errorf("a comparison with the past: %v", err)
	}
	for filter, want := range map[string]string{
		"differs from none":  "there is no baseline",
		"@none":              "there is no saved filter",
		"name = x as of now": "neither an age nor a date",
	} {
		err := errOf(r.kari.List(t.Context(), &rollcallv1.ListRequest{Filter: filter}))
		wantCode(t, filter, err, codes.InvalidArgument)
		if err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", filter, err, want)
		}
	}
}

// The bounds of what can be saved.
func TestWhatIsSavedIsBounded(t *testing.T) {
	r := start(t)
	r.machine(1).report(t, true)
	c := rollcallv1.NewSavedClient(r.kari.conn)
	for name, req := range map[string]*rollcallv1.SetBaselineRequest{
		"no name":        {Filter: "name = *", Reason: "x"},
		"a bad name":     {Name: "a/b", Filter: "name = *", Reason: "x"},
		"no machines":    {Name: "a", Reason: "x"},
		"no reason":      {Name: "a", Filter: "name = *"},
		"a large share":  {Name: "a", Filter: "name = *", Reason: "x", Share: 101},
		"a bad path":     {Name: "a", Filter: "name = *", Reason: "x", Paths: []string{"../etc"}},
		"too many paths": {Name: "a", Filter: "name = *", Reason: "x", Paths: slices.Repeat([]string{"etc"}, 101)},
		"nothing there":  {Name: "a", Filter: "name = *", Reason: "x", Paths: []string{"nowhere"}},
		"fingerprints":   {Name: "a", Filter: "name = *", Reason: "x", Paths: []string{"etc"}}, // each machine has its own
		"a bad site":     {Name: "a", Filter: "name = *", Reason: "x", Site: "no/where"},
		"a bad filter":   {Name: "a", Filter: "naem = *", Reason: "x"},
	} {
		wantCode(t, name, errOf(c.SetBaseline(t.Context(), req)), codes.InvalidArgument)
	}
	wantCode(t, "a long filter", r.saveFilter(t, r.kari, "long", "", "name = "+strings.Repeat("x", 5000)), codes.InvalidArgument)
	wantCode(t, "one that names itself", r.saveFilter(t, r.kari, "self", "", "@self"), codes.InvalidArgument)
	wantCode(t, "a site that is not there", r.saveFilter(t, r.kari, "a", "no/where", "name = x"), codes.InvalidArgument)
	if err := r.saveFilter(t, r.kari, "a", "", "name = x"); err != nil {
		t.Error(err)
	}
	if err := r.saveFilter(t, r.kari, "b", "", "@a"); err != nil {
		t.Error(err)
	}
	if err := r.saveFilter(t, r.kari, "a", "", "@b"); err == nil {
		t.Error("two filters stand in each other")
	}
}
