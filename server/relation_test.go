package server

import (
	"slices"
	"strings"
	"testing"

	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"

	"google.golang.org/grpc/codes"
)

// A filter finds the CI that another one was merged into, and only as long as it is,
// and says no word of a CI at a site that is not the asker's.
func TestAFilterFollowsWhatWasMerged(t *testing.T) {
	r := start(t)
	if _, err := r.kari.SetSite(t.Context(), &rollcallv1.SetSiteRequest{Site: &rollcallv1.Site{Path: "elm"}}); err != nil {
		t.Fatal(err)
	}
	goes, stays, other := r.machine(1), r.machine(2), r.machine(3)
	for _, m := range []*machine{goes, stays, other} {
		m.report(t, true)
	}
	if _, err := r.kari.Set(t.Context(), &rollcallv1.SetRequest{Ci: other.ci, Fields: map[string]string{"site": "elm"}}); err != nil {
		t.Fatal(err)
	}
	r.endKey(goes)
	ask := func(filter string) (names []string) {
		t.Helper()
		reply, err := r.kari.List(t.Context(), &rollcallv1.ListRequest{Filter: filter})
		if err != nil {
			t.Fatalf("%s: %v", filter, err)
		}
		for _, item := range reply.GetItems() {
			names = append(names, item.GetName())
		}
		return names
	}
	if got := ask("merged = " + goes.Name); got != nil {
		t.Errorf("before anything is merged: %v", got)
	}
	if _, err := r.kari.Merge(t.Context(), &rollcallv1.MergeRequest{Ci: goes.ci, Into: stays.ci, Anyway: true}); err != nil {
		t.Fatal(err)
	}
	for filter, want := range map[string][]string{
		"merged = " + goes.Name: {stays.Name}, "merged = " + goes.ci: {stays.Name}, "merged = *": {stays.Name}, "merged = " + stays.Name: nil,
		"related = " + goes.Name: {stays.Name}, "merged != " + goes.Name + " and class = *": nil, "image = *": nil,
		"not merged = " + goes.Name: {other.Name}, "image = " + goes.Name: nil,
	} {
		if got := ask(filter); !slices.Equal(got, want) {
			t.Errorf("%s selects %v, want %v", filter, got, want)
		}
	}
	if _, err := r.kari.Split(t.Context(), &rollcallv1.SplitRequest{Ci: goes.ci}); err != nil {
		t.Fatal(err)
	}
	if got := ask("merged = " + goes.Name); got != nil {
		t.Errorf("after the split: %v", got)
	}
	elm := r.operator("elm", auth.Grant{Role: auth.Viewer, Site: "elm"})
	_, err := elm.List(t.Context(), &rollcallv1.ListRequest{Filter: "image = " + goes.Name})
	wantCode(t, "a CI elsewhere", err, codes.InvalidArgument)
	_, none := elm.List(t.Context(), &rollcallv1.ListRequest{Filter: "image = " + strings.Repeat("x", len(goes.Name))})
	if err != nil && none != nil && strings.ReplaceAll(err.Error(), goes.Name, "") != strings.ReplaceAll(none.Error(), strings.Repeat("x", len(goes.Name)), "") {
		t.Errorf("a CI elsewhere is told from none: %v, %v", err, none)
	}
}
