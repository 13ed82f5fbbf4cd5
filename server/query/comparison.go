package query

import (
	"fmt"
	"strconv"
	"strings"
)

// comparison reads what follows a subject: nothing, an operator and a value, or
// a list.
func (p *parser) comparison(e *Term) {
	t := p.peek()
	switch {
	case t.kind == tokenOp:
		p.operator(p.next(), e)
	case t.is("in"):
		p.next()
		e.Op = Equal
		p.values(e)
	case t.is("not") && p.at+1 < len(p.tokens) && p.tokens[p.at+1].is("in"):
		p.at += 2
		e.Op = NotEqual
		p.values(e)
	case e.Target == OnField:
		p.fail(t, fmt.Sprintf("field %q needs a comparison, found %s", e.Name, t.show()), "for example: "+example(e.Name))
	case e.Target == OnCount:
		p.fail(t, fmt.Sprintf("count() needs a comparison, found %s", t.show()), "for example: count("+e.Name+") > 2")
	case e.Target == OnChanged:
		p.fail(t, fmt.Sprintf("changed() needs a comparison, found %s", t.show()), "for example: changed("+e.Name+") < 7d")
	}
}

// operator reads one value after an operator.
func (p *parser) operator(t token, e *Term) {
	switch t.text {
	case "=", "!=", "<", "<=", ">", ">=", "~":
		e.Op = Op(t.text)
	default:
		usual := map[string]string{"==": "=", "=~": "~", "<>": "!=", "=>": ">=", "=<": "<=", "<<": "<", ">>": ">", "!": "!="}
		p.fail(t, fmt.Sprintf("unknown operator %s", t.show()), fmt.Sprintf("write %q", usual[t.text]))
		return
	}
	v := p.next()
	if v.kind != tokenWord && v.kind != tokenQuoted || v.kind == tokenWord && reserved(v.text) {
		p.fail(v, fmt.Sprintf("expected a value after %q, found %s", t.text, v.show()), "")
		return
	}
	e.Values = []string{v.text}
	p.value(v, *e)
}

// values reads "(a, b, c)".
func (p *parser) values(e *Term) {
	e.Many = true
	if t := p.next(); t.kind != tokenOpen {
		p.fail(t, `expected "(" after "in", found `+t.show(), "write in (a, b, c)")
		return
	}
	for p.err == nil {
		v := p.next()
		if v.kind != tokenWord && v.kind != tokenQuoted {
			p.fail(v, "expected a value, found "+v.show(), "")
			return
		}
		e.Values = append(e.Values, v.text)
		if p.value(v, *e); p.err != nil {
			return
		}
		if len(e.Values) > maxValues {
			p.fail(v, fmt.Sprintf("more than %d values in one list", maxValues), "")
			return
		}
		t := p.next()
		if t.kind == tokenClose {
			return
		}
		if t.kind != tokenComma {
			p.fail(t, `expected "," or ")", found `+t.show(), "")
		}
	}
}

// value checks a value, or both ends of a range, against what it is compared with.
func (p *parser) value(v token, e Term) {
	if p.open[v.text] {
		return // whoever uses the saved filter gives the value
	}
	p.pattern(v)
	low, high, isRange := e.ends(v.text)
	if !isRange {
		p.single(v, v.text, e)
		return
	}
	if low == "" || high == "" || IsGlob(v.text) {
		p.fail(v, fmt.Sprintf("%s is no range", v.show()), "write both ends, without wild cards, as in 4G..8G; or compare with >= or <=")
	} else if p.single(v, low, e); p.err == nil {
		p.single(v, high, e)
	}
	switch {
	case p.err != nil:
	case e.Op != Equal && e.Op != NotEqual:
		p.fail(v, fmt.Sprintf("a range cannot be compared with %q", e.Op), "write = or !=, or in (…)")
	default:
		if c, ok := e.rank(low, high); ok && c > 0 {
			p.fail(v, fmt.Sprintf("nothing lies within %s", v.show()), fmt.Sprintf("the smaller end comes first: %s..%s", high, low))
		}
	}
}

// single checks one value; v is where it stands.
func (p *parser) single(v token, text string, e Term) {
	v.text = text
	switch e.kind() {
	case Time:
		if _, _, err := parseWhen(text); err != nil {
			p.fail(v, fmt.Sprintf("%s is neither an age nor a date", v.show()), "write 7d, 12h, 2w, or 2026-11-20, or 2026-11-20T14:00Z")
		}
	case Size:
		if _, err := parseSize(text); err != nil && !IsGlob(text) {
			p.fail(v, fmt.Sprintf("%s is not a size", v.show()), "write 512M, 8G, 1.5T or a number of bytes")
		}
	case Number:
		if _, err := strconv.ParseUint(text, 10, 32); err != nil {
			p.fail(v, fmt.Sprintf("%s is not a number", v.show()), "write a whole number such as 3")
		}
	case Text, Tree, Version:
	}
}

// pattern refuses globs that would take long to match.
func (p *parser) pattern(v token) {
	if IsGlob(v.text) && len(v.text) > maxGlob {
		p.fail(v, fmt.Sprintf("a pattern of more than %d bytes", maxGlob), "shorten it; * stands for any run of characters")
	}
}

// check refuses comparisons that have no meaning.
func (p *parser) check(name token, e Term) {
	ordering := e.Op == Less || e.Op == LessEqual || e.Op == Greater || e.Op == GreaterEqual
	switch {
	case ordering && e.Target == OnField && (e.kind() == Text || e.kind() == Tree):
		p.fail(name, fmt.Sprintf("field %q has no order", e.Name), fmt.Sprintf(`compare it with "=", "!=", "~" or "in"; ordered fields: %s`, orderedFields()))
	case ordering && e.Target == OnFile:
		p.fail(name, "files have no order", `compare with "=": sha256:…, a mode such as 0640, or user:group; for times use changed(etc/…)`)
	case e.kind() == Time && !ordering && e.Op != None && !e.onlyRanges():
		p.fail(name, "times are compared with < <= > >=", "changed < 7d: less than seven days ago; changed > 2026-11-01: after that day began; changed = 2026-11-01..2026-11-20: between")
	}
}

// kind says how the term's values are compared.
func (e Term) kind() FieldKind {
	switch e.Target {
	case OnPackage:
		return Version
	case OnChanged:
		return Time
	case OnCount:
		return Number
	case OnField:
		f, _ := fieldNamed(e.Name)
		return f.Kind
	}
	return Text
}

func orderedFields() string {
	var names []string
	for _, f := range Fields() {
		if f.Kind != Text && f.Kind != Tree {
			names = append(names, f.Name)
		}
	}
	return strings.Join(names, " ")
}

func example(field string) string {
	f, _ := fieldNamed(field)
	switch f.Kind {
	case Time:
		return field + " < 7d"
	case Size:
		return field + " < 8G"
	case Version:
		return field + " < 6.1.0-30"
	case Tree:
		return field + " = elm/*"
	}
	return field + " = …"
}
