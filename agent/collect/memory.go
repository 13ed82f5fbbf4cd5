package collect

import (
	"maps"
	"path"
	"strings"

	"rollcall/internal/fact"
)

// Memory is what one run leaves for the next, so that event-like facts count
// only when two runs agree and bucketed values keep to their bucket. It is plain
// data: the agent keeps it on disk as JSON. The zero Memory stands before the
// first run, which takes everything as it is.
type Memory struct {
	Ran     bool              `json:"ran"`
	Shown   map[string]string `json:"shown,omitempty"`   // event-like facts that are reported
	Pending map[string]string `json:"pending,omitempty"` // seen once with this value; "" = missed once
	Buckets map[string]string `json:"buckets,omitempty"` // rounded values that are reported
}

// classify applies the table of classes to the facts of one run. It returns the
// facts that count, the volatile ones as measurements, and the new memory. Facts
// of a collector whose run was not complete are not missed.
func classify(found []fact.Fact, status []Status, old Memory) (facts, measured []fact.Fact, m Memory) {
	table := bySection(rules())
	m = Memory{Ran: true, Buckets: map[string]string{}}
	events := map[string]string{}
	for _, f := range found {
		r := lookUp(table, f.Path)
		if r.round != nil {
			f.Value = r.round(f.Value, old.Buckets[f.Path])
			m.Buckets[f.Path] = f.Value
		}
		switch r.class {
		case stable, bucketed:
			facts = append(facts, f)
		case eventLike, lasting:
			events[f.Path] = f.Value
		case volatile:
			measured = append(measured, fact.Fact{Path: "m/" + f.Path, Value: f.Value})
		}
	}
	open := waits(table, found, incomplete(status))
	keepBuckets(m.Buckets, old.Buckets, open)
	m.Shown, m.Pending = settle(events, old, open)
	for p, value := range m.Shown {
		facts = append(facts, fact.Fact{Path: p, Value: value})
	}
	return facts, measured, m
}

// settle decides which event-like facts count after a run that saw now.
func settle(now map[string]string, old Memory, open func(path string) bool) (shown, pending map[string]string) {
	shown, pending = map[string]string{}, map[string]string{}
	if !old.Ran {
		maps.Copy(shown, now)
		return shown, pending
	}
	for path, value := range now {
		before, known := old.Shown[path]
		waiting, twice := old.Pending[path]
		switch {
		case known && before == value:
			shown[path] = value
		case twice && waiting == value:
			shown[path] = value
		default:
			pending[path] = value
			if known {
				shown[path] = before
			}
		}
	}
	for path, before := range old.Shown {
		if _, seen := now[path]; seen {
			continue
		}
		waiting, missed := old.Pending[path]
		switch {
		case open(path):
			shown[path] = before
		case missed && waiting == "": // missed for the second time: gone
		default:
			shown[path], pending[path] = before, ""
		}
	}
	return shown, pending
}

// waits returns a test for paths that count on although this run missed them:
// those of an incomplete run, and lasting ones that still have a sibling.
func waits(table ruleTable, found []fact.Fact, open func(path string) bool) func(path string) bool {
	parents := map[string]bool{}
	for _, f := range found {
		parents[path.Dir(f.Path)] = true
	}
	return func(p string) bool {
		return open(p) || lookUp(table, p).class == lasting && parents[path.Dir(p)]
	}
}

// keepBuckets carries over the buckets of facts that an incomplete run missed.
func keepBuckets(now, old map[string]string, open func(path string) bool) {
	for path, value := range old {
		if _, seen := now[path]; !seen && open(path) {
			now[path] = value
		}
	}
}

// incomplete returns a test for paths that a collector whose run was not
// complete should have made.
func incomplete(status []Status) func(path string) bool {
	var prefixes []string
	for _, s := range status {
		if !s.State.Complete() {
			prefixes = append(prefixes, s.Owns...)
		}
	}
	return func(path string) bool {
		for _, p := range prefixes {
			if strings.HasPrefix(path, p) {
				return true
			}
		}
		return false
	}
}

// ruleTable holds the rules by the section of their patterns, which no pattern
// leaves open: packages and files are most of all facts and have none.
type ruleTable map[string][]rule

func bySection(rules []rule) ruleTable {
	table := ruleTable{}
	for _, r := range rules {
		section := fact.SectionOf(r.pattern)
		table[section] = append(table[section], r)
	}
	return table
}

func lookUp(table ruleTable, path string) rule {
	for _, r := range table[fact.SectionOf(path)] {
		if matches(r.pattern, path) {
			return r
		}
	}
	return rule{}
}
