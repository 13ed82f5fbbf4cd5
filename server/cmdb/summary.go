package cmdb

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Summary says in one line what a revision did: "cups 2.4.2-3+deb12u5 →
// 2.4.2-3+deb12u8; changed /etc/cups/cupsd.conf". changes are its fact changes,
// by path, of everything or only below a path that was asked about.
func Summary(r Revision, changes []FactChange, below string) string {
	if len(r.Prev) == 0 && len(r.State) > 0 && below == "" {
		return fmt.Sprintf("first report: %d facts", len(changes))
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(r.Fields)) {
		parts = append(parts, fieldWords(name, r.Fields[name]))
	}
	parts = append(parts, packageWords(changes)...)
	parts = append(parts, fileWords(changes)...)
	parts = append(parts, otherWords(changes)...)
	if len(parts) == 0 {
		return r.Reason
	}
	const most = 6
	if len(parts) > most {
		parts = append(parts[:most], fmt.Sprintf("and %d more", len(parts)-most))
	}
	return strings.Join(parts, "; ")
}

func fieldWords(name string, c Change) string {
	switch {
	case c.Old == "":
		return fmt.Sprintf("%s set to %s", name, c.New)
	case c.New == "":
		return name + " removed"
	}
	return fmt.Sprintf("%s %s → %s", name, c.Old, c.New)
}

func packageWords(changes []FactChange) []string {
	var parts []string
	for _, c := range changes {
		name, ok := strings.CutPrefix(c.Path, "pkg/")
		if !ok {
			continue
		}
		if name, ok = strings.CutSuffix(name, "/version"); !ok {
			continue
		}
		switch {
		case c.Old == "":
			parts = append(parts, fmt.Sprintf("installed %s %s", name, c.New))
		case c.New == "":
			parts = append(parts, "removed "+name)
		default:
			parts = append(parts, fmt.Sprintf("%s %s → %s", name, c.Old, c.New))
		}
	}
	return parts
}

func fileWords(changes []FactChange) []string {
	var parts []string
	for _, c := range changes {
		if !strings.HasPrefix(c.Path, "etc/") {
			continue
		}
		verb := "changed"
		if c.Old == "" {
			verb = "new"
		} else if c.New == "" {
			verb = "removed"
		}
		parts = append(parts, verb+" /"+c.Path)
	}
	return parts
}

// otherWords counts the rest by what it is about: "hw/dimm: 1 removed".
func otherWords(changes []FactChange) []string {
	type tally struct{ added, removed, changed int }
	about := map[string]*tally{}
	for _, c := range changes {
		section, rest, _ := strings.Cut(c.Path, "/")
		switch section {
		case "pkg", "etc", "conffile", "apt":
			continue
		}
		topic := section
		if part, _, ok := strings.Cut(rest, "/"); ok {
			topic += "/" + part
		}
		t := about[topic]
		if t == nil {
			t = &tally{}
			about[topic] = t
		}
		switch {
		case c.Old == "":
			t.added++
		case c.New == "":
			t.removed++
		default:
			t.changed++
		}
	}
	var parts []string
	for _, topic := range slices.Sorted(maps.Keys(about)) {
		t := about[topic]
		var words []string
		for _, w := range []struct {
			n    int
			verb string
		}{{t.added, "new"}, {t.changed, "changed"}, {t.removed, "gone"}} {
			if w.n > 0 {
				words = append(words, fmt.Sprintf("%d %s", w.n, w.verb))
			}
		}
		parts = append(parts, topic+": "+strings.Join(words, ", "))
	}
	return parts
}
