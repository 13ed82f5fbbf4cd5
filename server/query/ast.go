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
)

// Expr is a question about one machine: an And, Or, Not or Term. Its printed form
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

func (e And) String() string { return joined(e.Parts, " and ") }
func (e Or) String() string  { return joined(e.Parts, " or ") }

// joined brackets parts that bind less tightly or equally: "a and (b and c)"
// stays apart from "a and b and c".
func joined(parts []Expr, word string) string {
	texts := make([]string, len(parts))
	for i, p := range parts {
		texts[i] = p.String()
		_, isOr := p.(Or)
		_, isAnd := p.(And)
		if isOr || isAnd {
			texts[i] = "(" + texts[i] + ")"
		}
	}
	return strings.Join(texts, word)
}

func (e Not) String() string {
	switch e.Part.(type) {
	case And, Or:
		return "not (" + e.Part.String() + ")"
	}
	return "not " + e.Part.String()
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
