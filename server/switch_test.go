package server

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"rollcall/internal/identity"
	"rollcall/server/proof"
)

func TestWhoTrustsTheServersOldKeyVerifiesAfterASwitch(t *testing.T) {
	r := start(t)
	m := r.machine(1)
	m.keep(t, map[string]string{"motd": "hello"})
	first := identity.Public(r.srv.key)
	for range 2 {
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := NextKey(r.cfg); err != nil {
			t.Fatal(err)
		}
		if _, err := SwitchKey(t.Context(), r.cfg); err != nil {
			t.Fatal(err)
		}
		r = startOn(t, r.cfg)
	}
	f := r.prove(m.ci, time.Now())
	if len(f.Switches) != 2 || identity.Public(r.srv.key).Equal(first) {
		t.Fatalf("%d changes of the key in the file, want 2", len(f.Switches))
	}
	for name, key := range map[string][]byte{"the first": first, "the present": identity.Public(r.srv.key)} {
		res := proof.Verify(f, proof.Trust{Server: key})
		if err := res.Err(); err != nil {
			t.Errorf("by %s key: %v", name, err)
		}
	}
	thief := mustKey(t)
	forged, err := json.Marshal(proof.SwitchEntry(thief, identity.Public(r.srv.key)))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		trust []byte
		bend  func(f *proof.File)
		want  string
	}{
		"a key that it never had":    {identity.Public(thief), func(*proof.File) {}, "never had the key"},
		"no change is told":          {first, func(f *proof.File) { f.Switches = nil }, "does not vouch"},
		"the last change is missing": {first, func(f *proof.File) { f.Switches = f.Switches[:1] }, "does not vouch"},
		"the first one is missing":   {first, func(f *proof.File) { f.Switches = f.Switches[1:] }, "never had the key"},
		"in another order":           {first, func(f *proof.File) { f.Switches[0], f.Switches[1] = f.Switches[1], f.Switches[0] }, "ends another key"},
		"signed by somebody else": {first, func(f *proof.File) {
			f.Switches[0].Content = []byte(strings.Replace(string(f.Switches[0].Content), `"statement":"`, `"statement":"00`, 1))
		}, "log key"},
		"a thief's own, not in the log": {identity.Public(thief), func(f *proof.File) { f.Switches = []proof.Leaf{{Content: forged}} }, "not of the server"},
		"its leaf is another":           {first, func(f *proof.File) { f.Switches[1].Leaf = f.Switches[0].Leaf }, "server's keys"},
	} {
		g := r.prove(m.ci, time.Now())
		tt.bend(&g)
		if err := proof.Verify(g, proof.Trust{Server: tt.trust}).Err(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}
