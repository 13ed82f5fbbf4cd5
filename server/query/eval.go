package query

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/fact"
)

// Subject is what a filter is asked of: one CI at one time.
type Subject interface {
	// Field returns the values of a declared or derived field: status, site, name.
	// Fields of kind Time are in RFC 3339. It returns false for fields that it
	// leaves to the facts named in FieldInfo.
	Field(name string) (values []string, known bool)
	// Facts returns the set of a section, empty if there is none. It is asked at
	// most once for each section and evaluation.
	Facts(section string) (fact.Set, error)
	// Changed returns when any fact whose path is prefix or lies below it last
	// changed; false if there never was one.
	Changed(prefix string) (time.Time, bool, error)
	// AsOf returns the CI as it was at a time; false if it did not exist then.
	AsOf(t time.Time) (Subject, bool, error)
}

// Match tells whether the filter is true of s at the time now. Errors are those
// of s, with the term that needed it.
//
// One evaluation takes a tenth of a second at most, counted in comparisons and not
// by a clock, so that the same question always gets the same answer: what costs
// more is ErrCost.
func Match(e Expr, s Subject, now time.Time) (bool, error) {
	return e.eval(&evaluation{subject: s, now: now, left: maxCost})
}

// ErrCost is returned for a filter that costs too much on one machine.
var ErrCost = errors.New("the filter costs too much: ask for fewer patterns at once, or name paths more exactly")

// maxCost is what one evaluation may cost, in bytes that a pattern is compared
// with: about 100 ms.
const maxCost = 100_000_000

// spend takes from what is left.
func (v *evaluation) spend(cost int) error {
	if v.left -= cost; v.left < 0 {
		return ErrCost
	}
	return nil
}

// evaluation is one question to one subject.
type evaluation struct {
	subject  Subject
	now      time.Time
	sections map[string]fact.Set
	left     int // see maxCost
}

func (v *evaluation) section(name string) (fact.Set, error) {
	if s, ok := v.sections[name]; ok {
		return s, nil
	}
	s, err := v.subject.Facts(name)
	if err != nil {
		return nil, err
	}
	if v.sections == nil {
		v.sections = map[string]fact.Set{}
	}
	v.sections[name] = s
	return s, nil
}

func (e And) eval(v *evaluation) (bool, error) {
	for _, p := range e.Parts {
		if ok, err := p.eval(v); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (e Or) eval(v *evaluation) (bool, error) {
	for _, p := range e.Parts {
		if ok, err := p.eval(v); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

func (e Not) eval(v *evaluation) (bool, error) {
	ok, err := e.Part.eval(v)
	return !ok && err == nil, err
}

func (e AsOf) eval(v *evaluation) (bool, error) {
	t := e.Time(v.now)
	s, ok, err := v.subject.AsOf(t)
	if err != nil || !ok {
		return false, err
	}
	then := &evaluation{subject: s, now: t, left: v.left}
	holds, err := e.Part.eval(then)
	v.left = then.left
	return holds, err
}

// Time returns the time that is asked about, at a time now.
func (e AsOf) Time(now time.Time) time.Time {
	at, age, err := parseWhen(e.When) // which the parser has read
	if err == nil && age >= 0 {
		return now.Add(-age)
	}
	return at
}

func (e Differs) eval(v *evaluation) (bool, error) {
	for _, f := range e.Facts {
		s, err := v.section(f.Section())
		if err != nil {
			return false, fmt.Errorf("%s: %w", e, err)
		}
		if value, ok := s.Get(f.Path); !ok || value != f.Value {
			return true, nil
		}
	}
	return false, nil
}

func (e Term) eval(v *evaluation) (bool, error) {
	var values []string
	var err error
	switch e.Target {
	case OnField:
		values, err = v.field(e.Name)
	case OnPackage:
		values, err = v.facts("pkg/" + e.Name + "/version")
	case OnFile:
		values, err = v.facts(fact.Escape(strings.TrimPrefix(e.Name, "/")))
		values = fileWords(values, e.Op == None)
	case OnFact:
		values, err = v.facts(e.Name)
	case OnChanged:
		values, err = v.changed(e.Name)
	case OnOther:
		values, _ = v.subject.Field(e.Name)
	case OnCount:
		values, err = v.facts(e.Name)
		values = []string{strconv.Itoa(len(values))}
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", e, err)
	}
	if e.Op == None {
		return len(values) > 0, nil
	}
	if err := v.spend(e.cost(values)); err != nil {
		return false, fmt.Errorf("%s: %w", e, err)
	}
	return e.holds(values, v.now), nil
}

// field asks the subject and, where it does not know, the facts.
func (v *evaluation) field(name string) ([]string, error) {
	if values, known := v.subject.Field(name); known {
		return values, nil
	}
	info, _ := fieldNamed(name)
	var out []string
	for _, pattern := range info.Facts {
		values, err := v.facts(pattern)
		if err != nil {
			return nil, err
		}
		out = append(out, values...)
	}
	return out, nil
}

// named are paths whose last component, not their value, is what a field means.
var named = []string{"module/*", "user/*", "net/*/addr/*"}

// Narrow is a Subject that gives a few facts more cheaply than a section.
type Narrow interface {
	Subject
	// FactsUnder returns the facts whose paths begin with prefix, which is at least
	// the name of a section. It may be asked often.
	FactsUnder(prefix string) (fact.Set, error)
}

// under returns facts among which are all that match a pattern.
func (v *evaluation) under(pattern string) (fact.Set, error) {
	section := fact.SectionOf(pattern)
	narrow, ok := v.subject.(Narrow)
	if !ok {
		return v.section(section)
	}
	prefix := pattern
	if IsGlob(pattern) {
		prefix = stem(pattern)
	}
	if len(prefix) < len(section) {
		return v.section(section)
	}
	return narrow.FactsUnder(prefix)
}

// facts returns the values of all facts whose paths match.
func (v *evaluation) facts(pattern string) ([]string, error) {
	s, err := v.under(pattern)
	if err != nil {
		return nil, fmt.Errorf("section %s: %w", fact.SectionOf(pattern), err)
	}
	if !IsGlob(pattern) {
		if value, ok := s.Get(pattern); ok {
			return []string{value}, nil
		}
		return nil, nil
	}
	var out []string
	for _, f := range s.Below(stem(pattern)) {
		if err := v.spend(len(pattern) * (1 + len(f.Path))); err != nil {
			return nil, err
		}
		if !Glob(pattern, f.Path) {
			continue
		}
		value := f.Value
		if slices.Contains(named, pattern) {
			value = f.Path[strings.LastIndexByte(f.Path, '/')+1:]
		}
		out = append(out, value)
	}
	return out, nil
}

// fileWords returns what a file may be compared with: its whole value, and each
// word of it: sha256:…, 0640, root:lp, dir, link:….
func fileWords(values []string, bare bool) []string {
	if bare {
		return values
	}
	var out []string
	for _, value := range values {
		out = append(append(out, value), strings.Split(value, " ")...)
	}
	return out
}

func (v *evaluation) changed(prefix string) ([]string, error) {
	t, ok, err := v.subject.Changed(prefix)
	if err != nil || !ok {
		return nil, err
	}
	return []string{t.UTC().Format(time.RFC3339Nano)}, nil
}

// cost bounds what comparing these values takes: a glob at most the product of the
// lengths, anything else a little more than their sum.
func (e Term) cost(values []string) int {
	have, cost := 0, 0
	for _, v := range values {
		have += len(v) + 1
	}
	for _, want := range e.Values {
		if IsGlob(want) {
			cost += len(want) * have
		} else { // versions, sizes and times are read first
			cost += 100*len(values) + len(want)
		}
	}
	return cost
}

// holds tells whether any value compares as asked; "!=" whether none equals.
func (e Term) holds(values []string, now time.Time) bool {
	equal := func(want string) bool {
		low, high, isRange := e.ends(want)
		return slices.ContainsFunc(values, func(got string) bool {
			return isRange && e.within(got, low, high, now) || !isRange && e.equal(got, want)
		})
	}
	switch e.Op {
	case Equal, Like:
		return slices.ContainsFunc(e.Values, equal)
	case NotEqual:
		return !slices.ContainsFunc(e.Values, equal)
	}
	return slices.ContainsFunc(values, func(got string) bool {
		c, ok := e.order(got, e.Values[0], now)
		if !ok {
			return false
		}
		switch e.Op {
		case Less:
			return c < 0
		case LessEqual:
			return c <= 0
		case Greater:
			return c > 0
		}
		return c >= 0
	})
}

// equal compares one value. Names of things are compared without regard to case,
// facts and files exactly.
func (e Term) equal(got, want string) bool {
	switch kind := e.kind(); {
	case e.Target == OnFile || e.Target == OnFact:
		return Glob(want, got)
	case IsGlob(want) && kind != Tree:
		return Glob(strings.ToLower(want), strings.ToLower(got))
	case kind == Tree:
		return inTree(strings.ToLower(strings.Trim(want, "/")), strings.ToLower(got))
	case kind == Version:
		return fact.CompareVersions(got, want) == 0
	case kind == Number:
		c, ok := e.order(got, want, time.Time{})
		return ok && c == 0
	case kind == Size:
		a, errA := parseSize(got)
		b, errB := parseSize(want)
		return errA == nil && errB == nil && a == b
	case e.Name == "mac":
		return bareMAC(got) == bareMAC(want)
	case e.Name == "ip" && !strings.Contains(want, "/"):
		got, _, _ = strings.Cut(strings.ReplaceAll(got, "%2F", "/"), "/") // without the length of the prefix
	}
	return strings.EqualFold(got, want)
}

// bareMAC takes a MAC address in any of its usual spellings to one.
func bareMAC(s string) string {
	return strings.ToLower(strings.NewReplacer(":", "", "-", "", ".", "").Replace(s))
}

// order compares one value with what is asked for. An age is compared as an age:
// "changed < 7d" is less than seven days ago.
func (e Term) order(got, want string, now time.Time) (int, bool) {
	switch e.kind() {
	case Time:
		t, err := time.Parse(time.RFC3339Nano, got)
		at, age, errWant := parseWhen(want)
		if err != nil || errWant != nil {
			return 0, false
		}
		if age >= 0 {
			return cmp.Compare(now.Sub(t), age), true
		}
		return t.Compare(at), true
	case Size:
		a, errA := parseSize(got)
		b, errB := parseSize(want)
		return cmp.Compare(a, b), errA == nil && errB == nil
	case Number:
		a, errA := strconv.ParseFloat(got, 64)
		b, errB := strconv.ParseFloat(want, 64)
		return cmp.Compare(a, b), errA == nil && errB == nil
	case Text, Tree, Version:
	}
	return fact.CompareVersions(got, want), true
}
