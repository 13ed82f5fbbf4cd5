package cmdb_test

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/store/storetest"
)

func (b *base) merge(other, into string) error {
	b.now = b.now.Add(time.Second)
	return b.try(func(w cmdb.Writer) error {
		o, err := w.Resolve(other)
		if err != nil {
			return err
		}
		i, err := w.Resolve(into)
		if err == nil {
			_, _, err = w.Merge(b.now, o, i, "operator kari", "side by side")
		}
		return err
	})
}

func (b *base) split(scope cmdb.Scope, other string) error {
	b.now = b.now.Add(time.Second)
	return b.write(scope, func(w cmdb.Writer) error {
		o, err := w.Resolve(other)
		if err == nil {
			_, _, err = w.Split(b.now, o, "operator kari", "")
		}
		return err
	})
}

func TestAMergeIsUndoneBySplit(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		b.sites("elm", "oak")
		b.found(1, "pc07", "elm")
		b.found(2, "pc07-2", "oak")
		b.observe(id(1), map[string]fact.Set{"id": {{Path: "id/uuid", Value: "x"}}})
		if err := b.declare("pc07", "owner", "kari", "status", "under-repair"); err != nil {
			t.Fatal(err)
		}
		before, stood := b.head("pc07"), b.head("pc07-2")
		if err := b.merge("pc07", "pc07-2"); err != nil {
			t.Fatal(err)
		}
		gone, stays := b.head("pc07"), b.head("pc07-2")
		if gone.Into() != stays.ID || len(gone.State) > 0 || gone.Fields["owner"] != "kari" || strings.Join(stays.Parts(), " ") != gone.ID {
			t.Errorf("merged: %+v into %+v", gone, stays)
		}
		b.see(func(v cmdb.View) error {
			then, err := v.AsOf(gone, b.now.Add(-time.Millisecond))
			if err != nil || !maps.Equal(then.State, before.State) {
				t.Errorf("a moment before it had %v, %v, want %v", then.State, err, before.State)
			}
			return nil
		})
		if err := b.split(cmdb.Within("elm"), "pc07"); !errors.Is(err, cmdb.ErrScope) {
			t.Errorf("split with a right at one site: %v, want ErrScope", err)
		}
		if err := b.split(cmdb.Within("elm", "oak"), "pc07"); err != nil {
			t.Fatal(err)
		}
		if got := b.head("pc07"); !got.Same(before) {
			t.Errorf("after a split it is %+v, want %+v", got, before)
		}
		if got := b.head("pc07-2"); !got.Same(stood) {
			t.Errorf("after a split the other is %+v, want %+v", got, stood)
		}
	})
}

func TestWhatCannotBeMerged(t *testing.T) {
	b := newBase(t, storetest.Weak(storetest.Seed(t)))
	for n, name := range []string{"a", "b", "c"} {
		b.found(n+1, name, "")
	}
	if err := b.merge("a", "a"); !errors.Is(err, cmdb.ErrInvalid) {
		t.Errorf("with itself: %v, want ErrInvalid", err)
	}
	if err := b.merge("a", "b"); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"what is merged into a third":     b.merge("a", "c"),
		"a third into what is merged":     b.merge("c", "a"),
		"what others were merged into":    b.merge("b", "c"),
		"a field of one that is merged":   b.declare("a", "owner", "kari"),
		"the field that merging sets":     b.declare("c", "merged-into", id(1)),
		"the list of what was merged":     b.declare("c", "merged", id(1)),
		"the status that merging gives":   b.declare("c", "status", "merged"),
		"one that is no part of another":  b.split(cmdb.Everywhere, "c"),
		"a place for a key in what is it": b.try(func(w cmdb.Writer) error { return w.CheckPlace(id(1), "", "") }),
	} {
		if !errors.Is(err, cmdb.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", what, err)
		}
	}
	if err := b.merge("c", "b"); err != nil {
		t.Errorf("a second one into the same: %v", err)
	}
	if got := len(b.head("b").Parts()); got != 2 {
		t.Errorf("%d are merged into it, want 2", got)
	}
}
