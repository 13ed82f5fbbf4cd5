package server

import (
	"slices"
	"testing"
	"time"

	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"
)

// A filter that selects nothing because of a mistyped name says so, and tells only
// names that the one who asks may see.
func TestAFilterThatSelectsNothingSuggestsNames(t *testing.T) {
	w := newWorld(t)
	own := w.operator("own", auth.Grant{Role: auth.Viewer, Site: "elm/own-place"})
	far := w.operator("far", auth.Grant{Role: auth.Viewer, Site: "elm"})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) { // the index is made
		if ready, _, _ := w.srv.service.Index.Ready(); ready || time.Now().After(deadline) {
			break
		}
	}
	for _, tt := range []struct {
		by     *operator
		filter string
		want   []string
	}{
		{own, "file(/etc/mtod)", []string{"no CI has file(/etc/mtod); did you mean file(/etc/motd)?"}},
		{own, "file(/etc/mtod) and name = x and fact(etc/hots)", []string{"no CI has file(/etc/mtod); did you mean file(/etc/motd)?", "no CI has fact(etc/hots); did you mean fact(etc/hosts)?"}},
		{own, "not file(/etc/mtod)", nil}, // it selects something
		{own, "file(/etc/motd) = 0777", nil},
		{own, "pkg(nothing-like-it)", []string{"no CI has pkg(nothing-like-it)"}},
		{own, "pkg(a*)", nil},
		{own, "name = x", nil},
	} {
		reply, err := tt.by.List(t.Context(), &rollcallv1.ListRequest{Filter: tt.filter})
		if err != nil || !slices.Equal(reply.GetNotes(), tt.want) {
			t.Errorf("%s: notes %q, %v, want %q", tt.filter, reply.GetNotes(), err, tt.want)
		}
	}
	m := w.machine(21)
	m.keep(t, map[string]string{"secret-project.conf": "x"})
	for by, want := range map[*operator]string{w.kari: "no CI has file(/etc/secret-projekt.conf); did you mean file(/etc/secret-project.conf)?", far: "no CI has file(/etc/secret-projekt.conf)"} {
		reply, err := by.List(t.Context(), &rollcallv1.ListRequest{Filter: "file(/etc/secret-projekt.conf)"})
		if err != nil || !slices.Equal(reply.GetNotes(), []string{want}) {
			t.Errorf("notes %q, %v, want %q", reply.GetNotes(), err, want)
		}
	}
}
