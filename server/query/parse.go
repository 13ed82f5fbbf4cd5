package query

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"rollcall/internal/fact"
)

// Limits of a filter. They bound the time of parsing and of one evaluation.
const (
	MaxSource = 4096 // bytes
	MaxNodes  = 200  // comparisons and operators
	MaxDepth  = 32   // brackets and nots inside each other
	maxValues = 100  // values of one "in"
	maxGlob   = 256  // bytes of a value or path with * or ?
)

// Names gives what filters can name: filters and baselines that were saved.
// Errors that are no *SyntaxError end the parsing as they are.
type Names interface {
	// Filter returns the text of a saved filter, false if there is none.
	Filter(name string) (text string, ok bool, err error)
	// Baseline returns the facts of a baseline, false if there is none.
	Baseline(name string) (facts fact.Set, ok bool, err error)
}

// Parse reads a filter. The error is a *SyntaxError, or one of names, which may be
// nil where nothing can be named. An empty filter is an error; "all machines" is
// for the caller to offer.
//
//	filter = any [ "as" "of" TIME ]
//	any    = all { "or" all }     all = factor { "and" factor }
//	factor = "not" factor | "(" filter ")" | saved | "differs" "from" NAME [ "in" ( PATH | "(" PATH { "," PATH } ")" ) ]
//	       | subject [ op value | ["not"] "in" "(" value { "," value } ")" ]
//	       | RELATION ( "=" | "!=" ) CI | RELATION ["not"] "in" "(" CI { "," CI } ")"
//	subject = FIELD | FUNCTION "(" argument ")"
//	saved   = "@"NAME [ "(" PARAMETER "=" value { "," PARAMETER "=" value } ")" ]
func Parse(src string, names Names) (Expr, error) {
	p := &parser{names: names, nodes: new(int), filled: new(int)}
	return p.source(src)
}

// source reads a whole text.
func (p *parser) source(src string) (Expr, error) {
	if len(src) > MaxSource {
		return nil, syntax(src[:MaxSource], MaxSource, fmt.Sprintf("the filter is longer than %d bytes", MaxSource), "split the question, or save a part of it")
	}
	tokens, serr := lex(src)
	if serr != nil {
		return nil, serr
	}
	p.src, p.tokens = src, tokens
	if serr := p.fill(); serr != nil {
		return nil, serr
	}
	e := p.filter(p.depth)
	if p.err == nil && p.peek().kind != tokenEnd {
		p.unexpected(`"and" or "or"`)
	}
	if p.err != nil {
		return nil, p.err
	}
	return e, nil
}

// parser reads by recursive descent. After the first error it only returns.
type parser struct {
	src    string
	tokens []token
	at     int
	nodes  *int // of this filter and of the saved ones in it
	filled *int // bytes of these
	err    error

	names    Names
	saved    []string          // the saved filters that this one stands in
	depth    int               // and the brackets around it
	given    map[string]string // of the parameters of a saved filter
	used     map[string]bool   // those that it has
	template bool              // a filter that is to be saved: its parameters have no values yet
	open     map[string]bool   // values that are such parameters
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != tokenEnd {
		p.at++
	}
	return t
}

// syntax makes an error at a byte offset.
func (p *parser) syntax(offset int, msg, hint string) *SyntaxError {
	e := syntax(p.src, offset, msg, hint)
	if n := len(p.saved); n > 0 {
		e.Saved = p.saved[n-1]
	}
	return e
}

func (p *parser) fail(t token, msg, hint string) {
	if p.err == nil {
		p.err = p.syntax(t.pos, msg, hint)
	}
}

// node counts one node and tells whether there may be more.
func (p *parser) node(t token) bool {
	*p.nodes++
	if *p.nodes > MaxNodes {
		p.fail(t, fmt.Sprintf("more than %d conditions", MaxNodes), `use "in (a, b, …)" for lists`)
	}
	return p.err == nil
}

// filter reads conditions and the time that they are all asked about.
func (p *parser) filter(depth int) Expr {
	e := p.or(depth)
	if p.err != nil || !p.peek().is("as") || !p.tokens[p.at+1].is("of") {
		return e
	}
	p.at += 2
	v := p.next()
	if v.kind != tokenWord && v.kind != tokenQuoted {
		p.fail(v, `expected a time after "as of", found `+v.show(), "write as of 2026-11-20, or as of 7d for a week ago")
		return e
	}
	if p.open[v.text] {
		return AsOf{e, v.text}
	}
	if _, _, err := parseWhen(v.text); err != nil {
		p.fail(v, fmt.Sprintf("%s is neither an age nor a date", v.show()), "write as of 2026-11-20, or as of 7d for a week ago")
	}
	return AsOf{e, v.text}
}

func (p *parser) or(depth int) Expr {
	parts := p.list("or", func() Expr { return p.and(depth) })
	if len(parts) == 1 {
		return parts[0]
	}
	return Or{parts}
}

func (p *parser) and(depth int) Expr {
	parts := p.list("and", func() Expr { return p.factor(depth) })
	if len(parts) == 1 {
		return parts[0]
	}
	return And{parts}
}

func (p *parser) list(word string, part func() Expr) []Expr {
	parts := []Expr{part()}
	for p.err == nil && p.peek().is(word) {
		if !p.node(p.next()) {
			break
		}
		parts = append(parts, part())
	}
	return parts
}

func (p *parser) factor(depth int) Expr {
	t := p.peek()
	if depth > MaxDepth {
		p.fail(t, fmt.Sprintf("more than %d brackets inside each other", MaxDepth), "")
	}
	if !p.node(t) {
		return Not{}
	}
	switch {
	case t.is("not"):
		p.next()
		return Not{p.factor(depth + 1)}
	case t.kind == tokenOpen:
		p.next()
		e := p.filter(depth + 1)
		if p.err == nil && p.peek().kind != tokenClose {
			p.fail(p.peek(), `expected ")", found `+p.peek().show(), fmt.Sprintf("it closes the bracket at column %d", syntax(p.src, t.pos, "", "").Pos))
		}
		p.next()
		return e
	case t.is("differs") && p.tokens[p.at+1].is("from"):
		p.at += 2
		return p.differs()
	case t.kind == tokenWord && len(t.text) > 1 && t.text[0] == '@':
		return p.savedFilter(depth)
	case t.kind == tokenWord && !reserved(t.text):
		return p.term()
	}
	p.unexpected("a condition such as site = elm/*")
	return Not{}
}

func (p *parser) unexpected(wanted string) {
	t := p.peek()
	hint := ""
	switch {
	case t.text == "&&" || t.text == "&":
		hint = `write "and"`
	case t.text == "!":
		hint = `write "not"`
	case t.is("as"):
		hint = "write as of 2026-11-20, or as of 7d, at the end"
	case reserved(t.text):
		hint = `to use it as a value, put it in quotes`
	case t.kind == tokenWord && nearest(t.text, []string{"and", "or", "not"}) != "" && len(t.text) < 5:
		hint = fmt.Sprintf("did you mean %q?", nearest(t.text, []string{"and", "or", "not"}))
	}
	p.fail(t, "expected "+wanted+", found "+t.show(), hint)
}

// term reads a subject and what it is compared with.
func (p *parser) term() Expr {
	name := p.next()
	e := Term{Name: strings.ToLower(name.text)}
	if p.peek().kind == tokenOpen {
		p.function(name, &e)
	} else if slices.Contains(relationNames(), e.Name) {
		return p.relation(name, e.Name)
	} else if e.Name == "differs" {
		p.fail(name, `expected "from" after "differs"`, "write differs from BASELINE")
	} else if strings.Contains(name.text, "/") && fact.ValidSection(fact.SectionOf(name.text)) {
		p.fail(name, fmt.Sprintf("%s is the path of a fact, not a field", name.show()), "write fact("+name.text+")")
	} else if _, ok := fieldNamed(e.Name); !ok {
		p.unknown(name, "field", slices.Concat(fieldNames(), functions, relationNames()))
	}
	if p.err != nil {
		return e
	}
	p.comparison(&e)
	if p.err == nil {
		p.check(name, e)
	}
	return e
}

func (p *parser) unknown(t token, what string, names []string) {
	hint := "fields: " + strings.Join(fieldNames(), " ") + "; relations: " + strings.Join(relationNames(), " ") + "; functions: pkg() file() fact() changed() field() count()"
	also := map[string]string{"package": "pkg", "deb": "pkg", "installed": "pkg", "config": "file", "path": "file", "host": "name", "computer": "name", "machine": "name", "product": "model", "manufacturer": "vendor", "ram": "memory", "address": "ip", "room": "site", "school": "site", "type": "class", "id": "ci", "updated": "changed", "lastseen": "seen"}
	if n := cmp.Or(also[strings.ToLower(t.text)], nearest(t.text, names)); n != "" {
		hint = fmt.Sprintf("did you mean %q?", n)
	}
	p.fail(t, fmt.Sprintf("unknown %s %s", what, t.show()), hint)
}

// function reads "(argument)" and brings it into its one form.
func (p *parser) function(name token, e *Term) {
	e.Target = Target(strings.ToLower(name.text))
	switch e.Target {
	case OnPackage, OnFile, OnFact, OnChanged, OnOther, OnCount:
	default:
		p.unknown(name, "function", append(functions, fieldNames()...))
		return
	}
	p.next()
	arg := p.next()
	if arg.kind != tokenWord && arg.kind != tokenQuoted || arg.text == "" {
		p.fail(arg, fmt.Sprintf("%s() needs %s, found %s", e.Target, wants(e.Target), arg.show()), "")
		return
	}
	if t := p.next(); t.kind != tokenClose {
		p.fail(t, `expected ")", found `+t.show(), "put arguments with spaces or special characters in quotes")
		return
	}
	e.Name = arg.text
	if !p.open[arg.text] {
		p.pattern(arg)
		p.argument(arg, e)
	}
}

func wants(s Target) string {
	switch s {
	case OnPackage:
		return "a package name"
	case OnOther:
		return "the name of a field that people have added"
	case OnFile:
		return "a path below /etc"
	case OnChanged:
		return "the beginning of a fact's path, such as etc/cups"
	}
	return "a fact's path, such as net/*/mac"
}

func (p *parser) argument(arg token, e *Term) {
	switch e.Target {
	case OnPackage:
		if strings.ContainsAny(e.Name, "/ ") {
			p.fail(arg, "a package name holds no slash or space", "")
		}
	case OnFile:
		e.Name = "/" + strings.TrimLeft(e.Name, "/")
		if !strings.HasPrefix(e.Name, "/etc/") || e.Name == "/etc/" {
			p.fail(arg, "only files below /etc are known", "write file(/etc/…)")
		}
	case OnFact, OnChanged, OnCount:
		e.Name = strings.Trim(e.Name, "/")
		section := fact.SectionOf(e.Name)
		if !fact.ValidSection(section) || e.Target != OnChanged && section == e.Name {
			p.fail(arg, fmt.Sprintf("%s is no path of a fact", arg.show()), "paths begin with their section: pkg/… etc/… hw/… net/…")
		}
	}
}
