package cmdb

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/store"
)

// Merged is the status of a CI that turned out to be another one: that one is in
// its place, and lists and questions leave it out. Only Merge gives it and only
// Split takes it away.
const Merged Status = "merged"

// Fields by which two CIs that were merged name each other. Merge and Split alone
// set them.
const (
	// IntoField names, on the CI that was merged, the one that it is.
	IntoField = "merged-into"
	// PartsField names, on the one that stays, those that were merged into it.
	PartsField = "merged"
)

// maxParts is how many CIs may be merged into one.
const maxParts = 50

// Into returns the id of the CI that this one was merged into; empty: it is its
// own.
func (c CI) Into() string {
	if c.Status != Merged {
		return ""
	}
	return c.Fields[IntoField]
}

// Parts returns the ids of the CIs that were merged into this one.
func (c CI) Parts() []string { return strings.Fields(c.Fields[PartsField]) }

// Apart returns ErrInvalid if the CI was merged into another, or others into it:
// what ends it would leave them behind.
func (c CI) Apart() error {
	switch {
	case c.Into() != "":
		return fmt.Errorf("CI %s: %w: it was merged into CI %s: split it first", c.Name, ErrInvalid, c.Into())
	case len(c.Parts()) > 0:
		return fmt.Errorf("CI %s: %w: CI %s was merged into it: split that first", c.Name, ErrInvalid, c.Parts()[0])
	}
	return nil
}

// Merge says that other is the same thing as into, which stays. Both get a
// revision. Other keeps its name, its history and what people declared, and has no
// facts any more: they are in its history, and Split brings them back. Into takes
// nothing over. That no key speaks for other is for the caller to check.
func (w Writer) Merge(now time.Time, other, into CI, by, reason string) (gone, stays Revision, err error) {
	switch {
	case other.ID == into.ID:
		return gone, stays, fmt.Errorf("merge CI %s: %w: it is the same CI", other.Name, ErrInvalid)
	case into.Into() != "":
		return gone, stays, fmt.Errorf("merge into CI %s: %w", into.Name, into.Apart())
	case other.Apart() != nil:
		return gone, stays, fmt.Errorf("merge CI %s: %w", other.Name, other.Apart())
	case len(into.Parts()) >= maxParts:
		return gone, stays, fmt.Errorf("merge into CI %s: %w: %d CIs were merged into it, and more cannot be", into.Name, ErrInvalid, maxParts)
	}
	next := other
	next.Status, next.State, next.Fields = Merged, nil, with(other.Fields, IntoField, into.ID)
	if _, gone, err = w.Record(now, other, next, Revision{By: by, Reason: because("it is "+into.Name, reason)}); err != nil {
		return gone, stays, err
	}
	stay := into
	stay.Fields = with(into.Fields, PartsField, strings.Join(append(into.Parts(), other.ID), " "))
	_, stays, err = w.Record(now, into, stay, Revision{By: by, Reason: because(other.Name+" is merged into it", reason)})
	return gone, stays, err
}

// Split undoes Merge: other is a CI of its own again, with the facts and the status
// that it had. Both get a revision; what happened to into meanwhile stays with it.
func (w Writer) Split(now time.Time, other CI, by, reason string) (back, stays Revision, err error) {
	if other.Into() == "" {
		return back, stays, fmt.Errorf("split CI %s: %w: it is merged into no other", other.Name, ErrInvalid)
	}
	into, err := w.CI(other.Into())
	if errors.Is(err, ErrNotFound) {
		return back, stays, fmt.Errorf("split CI %s from CI %s: %w: it takes the right at both sites", other.Name, other.Into(), ErrScope)
	}
	if err != nil {
		return back, stays, err
	}
	was, err := w.beforeMerge(other)
	if err != nil {
		return back, stays, err
	}
	next := other
	next.Status, next.State, next.Fields = Status(was.Fields["status"].Old), was.Prev, with(other.Fields, IntoField, "")
	if next.Status == "" { // what was before it is not kept
		next.Status = InProduction
	}
	if _, back, err = w.Record(now, other, next, Revision{By: by, Reason: because("it is not "+into.Name, reason)}); err != nil {
		return back, stays, err
	}
	parts := slices.DeleteFunc(into.Parts(), func(id string) bool { return id == other.ID })
	stay := into
	stay.Fields = with(into.Fields, PartsField, strings.Join(parts, " "))
	_, stays, err = w.Record(now, into, stay, Revision{By: by, Reason: because(other.Name+" is split from it", reason)})
	return back, stays, err
}

// beforeMerge returns the revision by which a CI was merged.
func (w Writer) beforeMerge(ci CI) (r Revision, err error) {
	for n := ci.Rev; n >= ci.From(); n-- {
		r = Revision{}
		found, err := store.GetJSON(w.tx, revisionKey(w.tenant, ci.ID, n), &r)
		if err != nil {
			return r, err
		}
		if found && r.Fields[IntoField].New != "" {
			return r, nil
		}
	}
	return r, fmt.Errorf("split CI %s: the revision that merged it: %w", ci.Name, ErrNotFound)
}

func because(what, reason string) string {
	if reason != "" {
		what += ": " + reason
	}
	return fact.Value(what)
}

// with returns a copy of fields with one set, or removed if the value is empty.
func with(fields map[string]string, name, value string) map[string]string {
	out := maps.Clone(fields)
	if out == nil {
		out = map[string]string{}
	}
	if out[name] = value; value == "" {
		delete(out, name)
	}
	return out
}
