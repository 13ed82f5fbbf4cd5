// Package query is the filter language: one language for every list, report,
// rule and scope. It reads, prints and evaluates questions about one machine:
//
//	class = workstation and site = elm/* and pkg(cups) < 2.4.2-3+deb12u8
//	mac = 00:1e:0b:15:36:6b or serial = CZC*
//	not file(/etc/cups/client.conf) and changed(etc/cups) < 7d
//
// It promises bounded time and memory for any input, and errors that point at
// the column. Where facts are missing a comparison is false; "!=" and "not in"
// are the exact opposites of "=" and "in", and so true there. Which machines are
// asked, in which order and with which index, is left to the caller.
package query

import (
	"strings"

	"rollcall/internal/fact"
)

// Expr is a question about one machine: an And, Or, Not, AsOf, Differs or Term.
// Its printed form
// parses to an equal expression.
type Expr interface {
	String() string
	eval(*evaluation) (bool, error)
}

// And is true if all its parts are; it has at least two.
type And struct{ Parts []Expr }

// Or is true if any of its parts is; it has at least two.
type Or struct{ Parts []Expr }

// Not turns its part round.
type Not struct{ Part Expr }

// Op is a comparison.
type Op string

// The comparisons. Like matches a glob: "*" stands for any run of characters,
// "?" for one. None asks for mere presence.
const (
	None         Op = ""
	Equal        Op = "="
	NotEqual     Op = "!="
	Less         Op = "<"
	LessEqual    Op = "<="
	Greater      Op = ">"
	GreaterEqual Op = ">="
	Like         Op = "~"
)

// Term is one comparison: of a declared or derived field, a package's version, a
// file, a raw fact, or a time of change.
type Term struct {
	Target Target   // what is compared
	Name   string   // field name, package, path or prefix
	Op     Op       // Equal or NotEqual with Many
	Values []string // one; several for "in"; none for None
	Many   bool     // written with "in"
}

// Target says what a Term looks at.
type Target string

// The targets of terms.
const (
	OnField   Target = ""        // site = elm/*
	OnPackage Target = "pkg"     // pkg(cups) < 2.4
	OnFile    Target = "file"    // file(/etc/cups/client.conf)
	OnFact    Target = "fact"    // fact(net/*/mac) = …
	OnChanged Target = "changed" // changed(etc/cups) < 7d
	OnOther   Target = "field"   // field(rack) = B4: a field that people have added
	OnCount   Target = "count"   // count(net/*/mac) > 2: how many facts have such a path
)

// AsOf asks its part of the machine as it was at a time. A machine that did not
// exist then does not fit.
type AsOf struct {
	Part Expr
	When string // an age, which counts back from the time of the question, or a moment
}

// Differs is true of a machine that has not every fact of a baseline, or of the
// part of it at or below one of Paths.
type Differs struct {
	Baseline string
	Paths    []string // as in "differs from NAME in (etc/cups, pkg)"; empty: all of it
	Facts    fact.Set // what the baseline holds there
}

func (e And) String() string { return joined(e.Parts, " and ") }
func (e Or) String() string  { return joined(e.Parts, " or ") }

// joined brackets parts that bind less tightly or equally: "a and (b and c)"
// stays apart from "a and b and c".
func joined(parts []Expr, word string) string {
	texts := make([]string, len(parts))
	for i, p := range parts {
		texts[i] = bracketed(p)
	}
	return strings.Join(texts, word)
}

func bracketed(e Expr) string {
	switch e.(type) {
	case And, Or, AsOf:
		return "(" + e.String() + ")"
	}
	return e.String()
}

func (e Not) String() string { return "not " + bracketed(e.Part) }

func (e AsOf) String() string {
	part := e.Part.String()
	if _, again := e.Part.(AsOf); again {
		part = "(" + part + ")"
	}
	return part + " as of " + word(e.When)
}

func (e Differs) String() string {
	s := "differs from " + word(e.Baseline)
	switch len(e.Paths) {
	case 0:
		return s
	case 1:
		return s + " in " + word(e.Paths[0])
	}
	words := make([]string, len(e.Paths))
	for i, p := range e.Paths {
		words[i] = word(p)
	}
	return s + " in (" + strings.Join(words, ", ") + ")"
}

func (e Term) String() string {
	s := e.Name
	if e.Target != OnField {
		s = string(e.Target) + "(" + word(e.Name) + ")"
	}
	switch {
	case e.Many:
		texts := make([]string, len(e.Values))
		for i, v := range e.Values {
			texts[i] = word(v)
		}
		not := ""
		if e.Op == NotEqual {
			not = "not "
		}
		return s + " " + not + "in (" + strings.Join(texts, ", ") + ")"
	case e.Op == None:
		return s
	}
	return s + " " + string(e.Op) + " " + word(e.Values[0])
}

// word writes a value so that it is read as one: quoted where it has to be.
func word(s string) string {
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !bareRune(r) }) < 0 && !reserved(s) {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func reserved(s string) bool {
	switch strings.ToLower(s) {
	case "and", "or", "not", "in":
		return true
	}
	return false
}
