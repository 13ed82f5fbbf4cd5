package query

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"rollcall/internal/fact"
)

// Bounds of saved filters.
const (
	maxSaved  = 8             // how deep they may stand in each other
	maxFilled = 4 * MaxSource // bytes of all of them in one filter, with the values that are given
)

// Template checks a filter that is to be saved. Words that begin with "$" are its
// parameters, which it returns in order: whoever uses the filter gives their
// values. The error is as of Parse.
func Template(src string, names Names) ([]string, error) {
	p := &parser{names: names, nodes: new(int), filled: new(int), template: true, open: map[string]bool{}}
	_, err := p.source(src)
	if err != nil {
		return nil, err
	}
	var params []string
	for _, word := range slices.Sorted(maps.Keys(p.open)) {
		params = append(params, word[1:])
	}
	return params, nil
}

// CheckName returns an error unless s can name a saved filter or a baseline: 1 to
// 40 letters in lower case, digits, hyphens and dots.
func CheckName(s string) error {
	if s == "" || len(s) > 40 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" || s[0] == '-' {
		return fmt.Errorf("name %.80q: want 1 to 40 letters in lower case, digits, hyphens and dots", s)
	}
	return nil
}

// fill puts values in the places of parameters. A value is a whole token, so that
// it can be nothing but a value.
func (p *parser) fill() *SyntaxError {
	if !p.template && len(p.saved) == 0 {
		return nil // a filter that was not saved has none: "$" is a letter
	}
	p.used = map[string]bool{}
	*p.filled += len(p.src)
	for i, t := range p.tokens {
		if t.kind != tokenWord || len(t.text) < 2 || t.text[0] != '$' {
			continue
		}
		name := strings.ToLower(t.text[1:])
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			return p.syntax(t.pos, fmt.Sprintf("%s is no parameter", t.show()), `a parameter is "$" and letters or digits; quote what is meant as it stands`)
		}
		value, ok := p.given[name]
		switch {
		case p.template:
			p.tokens[i].text = "$" + name
			p.open["$"+name] = true
		case !ok:
			return p.syntax(t.pos, fmt.Sprintf("no value for %s", t.show()), fmt.Sprintf("write @%s(%s = …)", p.saved[len(p.saved)-1], name))
		default:
			p.tokens[i] = token{tokenQuoted, value, t.pos}
			p.used[name] = true
			*p.filled += len(value)
		}
	}
	if *p.filled > maxFilled {
		return p.syntax(0, fmt.Sprintf("the saved filters and the values in them are longer than %d bytes in all", maxFilled), "give shorter values, or split the question")
	}
	return nil
}

// savedFilter reads "@name" or "@name(parameter = value, …)" and what was saved
// under the name.
func (p *parser) savedFilter(depth int) Expr {
	at := p.next()
	name := strings.ToLower(at.text[1:])
	values := map[string]string{}
	if p.peek().kind == tokenOpen {
		p.next()
		p.parameters(values)
	}
	if p.err != nil {
		return Not{}
	}
	var text string
	ok := false
	if p.names != nil && CheckName(name) == nil {
		if text, ok, p.err = p.names.Filter(name); p.err != nil {
			return Not{}
		}
	}
	switch {
	case !ok:
		p.fail(at, fmt.Sprintf("there is no saved filter %s", at.show()), "rollcall filter list shows those that are saved")
	case slices.Contains(p.saved, name) || len(p.saved) == maxSaved:
		p.fail(at, "saved filters stand in each other without end, or too deep: "+strings.Join(append(p.saved, name), ", "), "")
	default:
		return p.inside(at, name, text, values, depth)
	}
	return Not{}
}

// inside reads a saved filter as if it stood here in brackets.
func (p *parser) inside(at token, name, text string, values map[string]string, depth int) Expr {
	inner := &parser{names: p.names, nodes: p.nodes, filled: p.filled, saved: append(slices.Clone(p.saved), name), given: values, open: p.open, depth: depth + 1}
	e, err := inner.source(text)
	if err != nil {
		p.err = err
		return Not{}
	}
	for _, param := range slices.Sorted(maps.Keys(values)) {
		if !inner.used[param] {
			p.fail(at, fmt.Sprintf("the saved filter %s has no parameter %q", at.show(), param), "rollcall filter list shows their parameters")
		}
	}
	return e
}

// parameters reads "a = x, b = y)".
func (p *parser) parameters(values map[string]string) {
	for p.err == nil {
		name, op, value := p.next(), p.next(), p.next()
		if name.kind != tokenWord || op.text != "=" || value.kind != tokenWord && value.kind != tokenQuoted {
			p.fail(name, "expected a parameter and its value, found "+name.show(), "write @name(parameter = value, …)")
			return
		}
		values[strings.ToLower(strings.TrimPrefix(name.text, "$"))] = value.text
		switch t := p.next(); t.kind {
		case tokenClose:
			return
		case tokenComma:
		default:
			p.fail(t, `expected "," or ")", found `+t.show(), "")
		}
	}
}

// differs reads what follows "differs from".
func (p *parser) differs() Expr {
	at := p.next()
	if at.kind != tokenWord && at.kind != tokenQuoted {
		p.fail(at, `expected the name of a baseline after "differs from", found `+at.show(), "rollcall baseline list shows them")
		return Not{}
	}
	e := Differs{Baseline: strings.ToLower(at.text)}
	if p.peek().is("in") {
		p.next()
		p.places(&e)
	}
	if p.err != nil || p.open[at.text] {
		return e
	}
	var ok bool
	if p.names != nil && CheckName(e.Baseline) == nil {
		if e.Facts, ok, p.err = p.names.Baseline(e.Baseline); p.err != nil {
			return e
		}
	}
	if !ok {
		p.fail(at, fmt.Sprintf("there is no baseline %s", at.show()), "rollcall baseline list shows those that there are")
		return e
	}
	e.Facts = slices.DeleteFunc(slices.Clone(e.Facts), func(f fact.Fact) bool { return !fact.UnderAny(f.Path, e.Paths) })
	if len(e.Facts) == 0 {
		p.fail(at, fmt.Sprintf("the baseline %s holds nothing there", at.show()), "rollcall baseline show "+e.Baseline+" tells what it holds")
	}
	return e
}

// places reads the paths that follow "in".
func (p *parser) places(e *Differs) {
	if p.peek().kind != tokenOpen {
		e.Paths = []string{p.place()}
		return
	}
	p.next()
	for p.err == nil {
		e.Paths = append(e.Paths, p.place())
		t := p.next()
		if t.kind == tokenClose {
			return
		}
		if t.kind != tokenComma || len(e.Paths) > maxValues {
			p.fail(t, `expected "," or ")", found `+t.show(), fmt.Sprintf("at most %d paths", maxValues))
		}
	}
}

// place reads the beginning of a fact's path.
func (p *parser) place() string {
	t := p.next()
	path := strings.Trim(t.text, "/")
	if t.kind != tokenWord && t.kind != tokenQuoted || !fact.ValidSection(fact.SectionOf(path)) {
		p.fail(t, fmt.Sprintf("%s is no path of a fact", t.show()), "paths begin with their section: etc/cups, pkg/cups, hw")
	}
	return path
}
