package query

import (
	"iter"
	"slices"
	"strings"
	"time"

	"rollcall/internal/fact"
)

// What an index needs to answer a term: which facts it looks at, and whether one
// fact is enough for it.

// Terms yields the terms of a filter, but not those that are asked about another
// time.
func Terms(e Expr) iter.Seq[Term] {
	return func(yield func(Term) bool) { eachTerm(e, yield) }
}

func eachTerm(e Expr, yield func(Term) bool) bool {
	var parts []Expr
	switch e := e.(type) {
	case Term:
		return yield(e)
	case And:
		parts = e.Parts
	case Or:
		parts = e.Parts
	case Not:
		parts = []Expr{e.Part}
	}
	for _, p := range parts {
		if !eachTerm(p, yield) {
			return false
		}
	}
	return true
}

// Turned returns the term without a negation, and whether there was one: "!=" and
// "not in" are the exact opposites of "=" and "in".
func (e Term) Turned() (Term, bool) {
	if e.Op != NotEqual {
		return e, false
	}
	e.Op = Equal
	return e, true
}

// Paths returns globs of the paths of the facts that the term looks at. Those of
// a field count only where the Subject does not know the field itself.
func (e Term) Paths() []string {
	switch e.Target {
	case OnField:
		info, _ := fieldNamed(e.Name)
		return info.Facts
	case OnPackage:
		return []string{"pkg/" + e.Name + "/version"}
	case OnFile:
		return []string{fact.Escape(strings.TrimPrefix(e.Name, "/"))}
	case OnFact, OnCount:
		return []string{e.Name}
	case OnChanged, OnOther:
	}
	return nil
}

// FactHolds tells whether a fact at a path that fits one of Paths makes the term
// true. The term is one that Turned returned.
func (e Term) FactHolds(pattern string, f fact.Fact, now time.Time) bool {
	if e.Op == None {
		return true
	}
	value := f.Value
	if slices.Contains(named, pattern) {
		value = f.Path[strings.LastIndexByte(f.Path, '/')+1:]
	}
	return e.Holds(value, now)
}

// Holds tells whether one value makes the term true. The term is one that Turned
// returned.
func (e Term) Holds(value string, now time.Time) bool {
	if e.Op == None {
		return true
	}
	values := []string{value}
	if e.Target == OnFile {
		values = fileWords(values, false)
	}
	return e.holds(values, now)
}

// Literals returns the values that the term compares for equality as text, if that
// is all it does: a fact can make it true only if its value is one of them but for
// case and the marks of a MAC address.
func (e Term) Literals() ([]string, bool) {
	text := e.Target == OnFact || e.Target == OnOther || e.Target == OnField && e.kind() == Text && e.Name != "ip"
	if e.Op != Equal && e.Op != Like || !text || slices.ContainsFunc(e.Values, IsGlob) {
		return nil, false
	}
	return e.Values, true
}

// ByPath tells whether the value of a fact at a path that fits the pattern stands
// in its path.
func ByPath(pattern string) bool { return slices.Contains(named, pattern) }

// Cost is what comparing the term with n bytes of values in all takes, in bytes
// that a pattern is compared with.
func (e Term) Cost(n int) int {
	cost := n
	for _, want := range e.Values {
		if IsGlob(want) {
			cost += len(want) * n
		}
	}
	return cost
}
