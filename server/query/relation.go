package query

import "fmt"

// Related is a Names that knows CIs and what they name themselves. Without it, no
// filter can ask for relations.
type Related interface {
	// Relations returns the id of the CI with an id or name, and the ids of the CIs that
	// it names itself: the image that it booted, and the one that it was merged into;
	// false if there is none.
	Relations(idOrName string) (id string, names []string, ok bool, err error)
}

// RelationInfo describes one relation that a filter can ask for.
type RelationInfo struct{ Name, Help string }

// Relations returns all relations in the order in which help shows them. A filter
// that asks for one is read as conditions on facts, on declared fields and on ci.
func Relations() []RelationInfo {
	return []RelationInfo{
		{"image", "the CIs that booted an image: its seats"},
		{"merged", "the CI that another one was merged into"},
		{"related", "both, and what the CI names itself: its image, the CI that it was merged into"},
	}
}

func relationNames() (names []string) {
	for _, r := range Relations() {
		names = append(names, r.Name)
	}
	return names
}

// relation reads what follows the name of a relation: "= CI", "in (CI, CI)" or "= *".
func (p *parser) relation(name token, kind string) Expr {
	e := Term{Name: kind}
	from := p.at
	p.comparison(&e)
	if p.err != nil {
		return e
	}
	if e.Op != Equal && e.Op != NotEqual && e.Op != Like {
		p.fail(name, fmt.Sprintf("%s has no order", kind), fmt.Sprintf("write %s = CI, %s != CI or %s in (CI, CI)", kind, kind, kind))
		return e
	}
	var parts []Expr
	at := from
	for _, v := range e.Values {
		for p.tokens[at].text != v || p.tokens[at].kind != tokenWord && p.tokens[at].kind != tokenQuoted {
			at++ // to where the value stands
		}
		parts = append(parts, p.related(p.tokens[at], kind)...)
		at++
	}
	if p.err != nil {
		return e
	}
	var all Expr = Or{parts}
	if len(parts) == 1 {
		all = parts[0]
	}
	if e.Op == NotEqual {
		all = Not{all}
	}
	return all
}

// related gives the conditions that stand for one CI in a relation; any of them is
// enough.
func (p *parser) related(v token, kind string) []Expr {
	image := Term{Target: OnFact, Name: "id/image", Op: Equal, Values: []string{v.text}}
	merged := Term{Target: OnOther, Name: "merged"}
	switch known, _ := p.names.(Related); {
	case v.text == "*" && kind == "image":
		image.Op, image.Values = None, nil
		return []Expr{image}
	case v.text == "*" && kind == "merged":
		return []Expr{merged}
	case p.open[v.text]: // whoever uses the saved filter names the CI
		return []Expr{image}
	case IsGlob(v.text):
		p.fail(v, fmt.Sprintf("%s needs the name or id of one CI, found %s", kind, v.show()), fmt.Sprintf("write %s in (CI, CI) for several", kind))
	case known == nil:
		p.fail(v, kind+" cannot be asked here", "")
	default:
		id, names, ok, err := known.Relations(v.text)
		if p.err = err; err != nil {
			return nil
		}
		if !ok {
			p.fail(v, fmt.Sprintf("there is no CI %s", v.show()), "write the name or id of one: rollcall ci list shows them")
			return nil
		}
		image.Values = []string{id}
		merged.Op, merged.Values = Equal, []string{"*" + id + "*"} // it holds several
		switch kind {
		case "image":
			return p.counted(v, image)
		case "merged":
			return p.counted(v, merged)
		}
		parts := []Expr{image, merged}
		for _, n := range names {
			parts = append(parts, Term{Name: "ci", Op: Equal, Values: []string{n}})
		}
		return p.counted(v, parts...)
	}
	return nil
}

// counted counts conditions that stand for one that was written.
func (p *parser) counted(v token, parts ...Expr) []Expr {
	for range parts {
		p.node(v)
	}
	return parts
}
