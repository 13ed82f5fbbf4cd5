package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/fact"
	"rollcall/internal/sim"
	"rollcall/server/cmdb"
	"rollcall/server/store"
	"rollcall/server/store/bolt"
)

// TestAFilledStoreAnswersAllQuestions fills a folder, looks that every machine is
// in it as the fleet has it, and lets the command find the same folder again.
func TestAFilledStoreAnswersAllQuestions(t *testing.T) {
	server := serverFile(t)
	short, err := os.MkdirTemp("/tmp", "rcb") // a socket's path in it must not be long
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(short)
	folder, file := filepath.Join(short, "f"), filepath.Join(short, "run.json")
	args := []string{"questions", "--machines", "60", "--past", "40", "--days", "3", "--data", folder, "--server-program", server, "--each", "1ms"}
	run := func(more ...string) (string, int) {
		var out, trouble bytes.Buffer
		a := &app{out: &out, err: &trouble}
		code := a.run(t.Context(), append(args[:len(args):len(args)], more...))
		return out.String() + trouble.String(), code
	}
	if text, code := run("--fill-only"); code != 0 {
		t.Fatalf("exit status %d\n%s", code, text)
	}
	asStored(t, folder)
	text, code := run("--json", file)
	if code != 0 || strings.Contains(text, "machines written") {
		t.Fatalf("exit status %d; written again?\n%s", code, text)
	}
	var r asked
	b, err := os.ReadFile(file)
	if err = errors.Join(err, json.Unmarshal(b, &r)); err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, q := range r.Questions {
		if q.Problem != "" || q.Count < 1 || q.MedianMS <= 0 {
			t.Errorf("%s: %+v", q.Name, q)
		}
		found[q.Name] = q.Found
	}
	for name, least := range map[string]int{"filter: has": 10, "compare: class and class": 1, "report inventory": 60} {
		if found[name] < least {
			t.Errorf("%s finds %d, want %d or more", name, found[name], least)
		}
	}
	if s := r.Server; s.RSS == 0 || s.IndexSize == 0 || s.Heap == 0 || s.Made == 0 || s.Index < s.Answers || r.Fleet.Revisions < 100 {
		t.Errorf("server %+v, fleet %+v", s, r.Fleet)
	}
	if text, code := run("--seed", "2"); code != 2 || !strings.Contains(text, "it holds 60 machines, seed 1") {
		t.Errorf("another fleet in the same folder: exit status %d\n%s", code, text)
	}
}

// asStored compares the store with the fleet, machine by machine.
func asStored(t *testing.T, folder string) {
	t.Helper()
	q := inquiry{machines: 60, past: 40, days: 3, seed: 1}
	fleet, err := sim.New(sim.Options{Machines: q.machines, Seed: q.seed, Day: q.recorded()[0]})
	if err != nil {
		t.Fatal(err)
	}
	for _, day := range q.recorded()[1:] {
		fleet.Advance(day, func(int) {})
	}
	engine, err := bolt.Open(filepath.Join(folder, "data", "rollcall.db"), bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	sets, err := cmdb.NewSets()
	if err != nil {
		t.Fatal(err)
	}
	f := filler{seed: q.seed}
	if err := engine.View(t.Context(), func(r store.Reader) error {
		v := cmdb.At(r, fillTenant, sets, cmdb.Everywhere)
		for i := range fleet.Len() {
			ci, err := v.CI(f.ciOf(i))
			if err != nil {
				return err
			}
			want := fact.State{}
			for name, set := range fleet.Sets(i) {
				want[name] = set.Digest()
				if got, err := v.Set(ci.State, name); err != nil || len(got) != len(set) {
					t.Errorf("machine %d, section %s: %d facts, %v; want %d", i, name, len(got), err, len(set))
				}
			}
			if !maps.Equal(ci.State, want) || ci.Name != fleet.Member(i).Name {
				t.Errorf("machine %d, %s: sections %v", i, ci.Name, slices.Sorted(maps.Keys(ci.State)))
			}
		}
		prefix := cmdb.MirrorPrefix(fillTenant)
		for p := range r.Scan(store.Record, prefix, store.PrefixEnd(prefix), 1) {
			t.Errorf("%q waits for the mirror", p.K)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
