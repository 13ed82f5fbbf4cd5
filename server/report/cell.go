package report

import (
	"slices"
	"strings"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/query"
)

// field is a column of what is declared or derived about the CI.
func field(name string) Column {
	kind := Text
	if name == "seen" || name == "changed" || name == "created" {
		kind = Time
	}
	return Column{Key: name, Kind: kind, Field: name, read: func(_ *run, l *line) (string, error) {
		return fieldOf(l, name), nil
	}}
}

func fieldOf(l *line, name string) string {
	if l.m == nil {
		return ""
	}
	values, _ := l.m.Field(name)
	return strings.Join(values, " ")
}

// facts is a column of the first of these paths that the machine has; of a pattern
// all values, each once.
func facts(key string, kind Kind, paths ...string) Column {
	return Column{Key: key, Kind: kind, Facts: paths, read: func(_ *run, l *line) (string, error) {
		for _, p := range paths {
			found, err := factsOf(l.m, p)
			if err != nil {
				return "", err
			}
			var values []string
			for _, f := range found {
				if !slices.Contains(values, f.Value) {
					values = append(values, f.Value)
				}
			}
			if len(values) > 0 {
				return strings.Join(values, " "), nil
			}
		}
		return "", nil
	}}
}

// class is the class that people gave the CI, or else that the machine seems to be.
func class() Column {
	seems := facts("class", Text, "id/class")
	return Column{Key: "class", Kind: Text, Field: "class", Facts: seems.Facts, read: func(r *run, l *line) (string, error) {
		if c := fieldOf(l, "class"); c != "" || l.m == nil {
			return c, nil
		}
		return seems.read(r, l)
	}}
}

// factsOf gives the facts of a machine whose paths are as a pattern says.
func factsOf(m Machine, pattern string) ([]fact.Fact, error) {
	if m == nil {
		return nil, nil
	}
	stem, _, isPattern := strings.Cut(pattern, "*")
	set, err := m.FactsUnder(stem)
	if err != nil {
		return nil, err
	}
	if !isPattern {
		if v, ok := set.Get(pattern); ok {
			return []fact.Fact{{Path: pattern, Value: v}}, nil
		}
		return nil, nil
	}
	var out []fact.Fact
	for _, f := range set.Below(stem) {
		if within(pattern, f.Path) {
			out = append(out, f)
		}
	}
	return out, nil
}

// part is a column of one component of the fact's path, counted from 0.
func part(key string, n int) Column {
	return Column{Key: key, Kind: Text, read: func(_ *run, l *line) (string, error) {
		if n < len(l.path) {
			return l.path[n], nil
		}
		return "", nil
	}}
}

// value is a column of the fact's value.
func value(key string, kind Kind) Column {
	return Column{Key: key, Kind: kind, read: func(_ *run, l *line) (string, error) { return l.value, nil }}
}

// word is a column of what follows NAME= in the fact's value.
func word(key string, kind Kind, name string) Column {
	return Column{Key: key, Kind: kind, read: func(_ *run, l *line) (string, error) { return wordOf(l.value, name), nil }}
}

func wordOf(value, name string) string {
	for w := range strings.FieldsSeq(value) {
		if v, ok := strings.CutPrefix(w, name+"="); ok {
			return v
		}
	}
	return ""
}

// beside is a column of the fact whose path is the first n components of that of
// the line's fact and then last. The pattern is that of the line's fact.
func beside(key string, kind Kind, pattern string, n int, last string) Column {
	path := strings.Join(strings.Split(pattern, "/")[:n], "/") + "/" + last
	return Column{Key: key, Kind: kind, Facts: []string{path}, read: func(_ *run, l *line) (string, error) {
		if n > len(l.path) {
			return "", nil
		}
		path := make([]string, n, n+1)
		for i, c := range l.path[:n] {
			path[i] = escaped(c)
		}
		wanted := strings.Join(append(path, last), "/")
		set, err := l.m.FactsUnder(wanted)
		v, _ := set.Get(wanted)
		return v, err
	}}
}

// made is a column that whoever makes the lines fills in.
func made(key string, kind Kind) Column {
	return Column{Key: key, Kind: kind, read: func(_ *run, l *line) (string, error) { return l.made[key], nil }}
}

// name is the column of the CI's name as it was.
func name() Column {
	return Column{Key: "name", Kind: Text, Field: "name", read: func(_ *run, l *line) (string, error) { return l.ci.Name, nil }}
}

// site is the column of where the CI stood.
func site() Column {
	return Column{Key: "site", Kind: Text, Field: "site", read: func(_ *run, l *line) (string, error) { return l.ci.Site, nil }}
}

func timeCell(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// eachMachine makes a line of each selected CI.
func eachMachine(r *run, each func(*line) error) error {
	found, err := r.selected()
	if err != nil {
		return err
	}
	for _, m := range found {
		_, then := m.Heads()
		if err := each(&line{m: m, ci: then}); err != nil {
			return err
		}
	}
	return nil
}

// eachMachineThat makes lines of those of which keep holds.
func eachMachineThat(keep func(r *run, l *line) (bool, error)) func(*run, func(*line) error) error {
	return func(r *run, each func(*line) error) error {
		return eachMachine(r, func(l *line) error {
			ok, err := keep(r, l)
			if err != nil || !ok {
				return err
			}
			return each(l)
		})
	}
}

// eachFact makes a line of each fact whose path is as the pattern says, of all
// selected CIs, if keep holds of it.
func eachFact(pattern string, keep func(r *run, l *line) bool) func(*run, func(*line) error) error {
	return func(r *run, each func(*line) error) error {
		return eachMachine(r, func(whole *line) error {
			found, err := factsOf(whole.m, pattern)
			if err != nil {
				return err
			}
			for _, f := range found {
				l := &line{m: whole.m, ci: whole.ci, path: components(f.Path), value: f.Value}
				if keep != nil && !keep(r, l) {
					continue
				}
				if err := each(l); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// components gives the parts of a path as they were before they were escaped; one
// that cannot be read stays as it is.
func components(path string) []string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if plain, err := fact.Unescape(p); err == nil {
			parts[i] = fact.Escape(plain)
		}
	}
	return parts
}

// escaped writes a component of a path as it stands in facts.
func escaped(component string) string { return strings.ReplaceAll(component, "/", "%2F") }

// matches tells whether all of s is what a pattern says, in any case.
func matches(pattern, s string) bool {
	return query.Glob(strings.ToLower(pattern), strings.ToLower(s))
}
