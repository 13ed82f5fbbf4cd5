package report

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ParamKind says what the values of a parameter are.
type ParamKind string

// The kinds of parameters.
const (
	AsNumber ParamKind = "number" // whole, of at most six digits
	AsSize   ParamKind = "size"   // 512M, 8G, 1.5T
	AsDate   ParamKind = "date"   // 2026-11-20, RFC 3339, or an age: 7d, 12h, 2w
	AsText   ParamKind = "text"   // "*" and "?" as in filters
	AsChoice ParamKind = "choice" // one of Allowed
	AsClock  ParamKind = "clock"  // 07:30
	AsZone   ParamKind = "zone"   // of the time zone database: Europe/Oslo
)

// Param is what can be chosen about a report.
type Param struct {
	Name     string
	Kind     ParamKind
	Default  string   // empty: it must be given, unless it is Optional
	Allowed  []string // of a choice
	Optional bool
}

const maxParam = 200 // bytes of a value

var (
	sizeForm  = regexp.MustCompile(`^[0-9]{1,12}(\.[0-9]{1,3})?([KMGTP](i?B)?)?$`)
	clockForm = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`)
	ageForm   = regexp.MustCompile(`^([0-9]{1,5})(h|d|w|m|y)$`)
)

// settings checks the parameters that were given and adds the defaults of the
// others. The error wraps ErrParam and says what to write.
func (d Definition) settings(given map[string]string, now time.Time) (map[string]string, error) {
	out := map[string]string{}
	for _, p := range d.Params {
		value, ok := given[p.Name]
		if !ok || value == "" {
			value = p.Default
		}
		if value == "" && !p.Optional {
			return nil, fmt.Errorf("report %s needs %s=%s: %w without it", d.Name, p.Name, strings.ToUpper(string(p.Kind)), ErrParam)
		}
		if value != "" {
			if err := p.check(value, now); err != nil {
				return nil, fmt.Errorf("report %s: %s=%.80q: %w: %s", d.Name, p.Name, value, ErrParam, err)
			}
		}
		out[p.Name] = value
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if _, ok := out[name]; !ok {
			return nil, fmt.Errorf("report %s has no parameter %.40q: %w: it has %s", d.Name, name, ErrParam, d.paramNames())
		}
	}
	return out, nil
}

func (d Definition) paramNames() string {
	if len(d.Params) == 0 {
		return "none"
	}
	names := make([]string, len(d.Params))
	for i, p := range d.Params {
		names[i] = p.Name
	}
	return strings.Join(names, ", ")
}

func (p Param) check(value string, now time.Time) error {
	if len(value) > maxParam {
		return fmt.Errorf("more than %d bytes", maxParam)
	}
	switch p.Kind {
	case AsNumber:
		if n, err := strconv.ParseUint(value, 10, 32); err != nil || n > 999_999 {
			return fmt.Errorf("want a whole number, such as %s", p.example("30"))
		}
	case AsSize:
		if !sizeForm.MatchString(value) {
			return fmt.Errorf("want a size, such as 512M or %s", p.example("8G"))
		}
	case AsDate:
		t, err := dateOf(value, now)
		if err != nil {
			return err
		}
		if t.Year() < 1970 {
			return fmt.Errorf("that is before 1970")
		}
	case AsClock:
		if !clockForm.MatchString(value) {
			return fmt.Errorf("want a time of day, such as 07:30")
		}
	case AsZone:
		if _, err := time.LoadLocation(value); err != nil {
			return fmt.Errorf("want a time zone, such as Europe/Oslo")
		}
	case AsChoice:
		if !slices.Contains(p.Allowed, value) {
			return fmt.Errorf("want one of %s", strings.Join(p.Allowed, ", "))
		}
	case AsText:
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("want text without control characters")
		}
	}
	return nil
}

func (p Param) example(or string) string {
	if p.Default != "" {
		return p.Default
	}
	return or
}

// dateOf reads a date, a time or an age. A date alone is its beginning, in UTC.
func dateOf(s string, now time.Time) (time.Time, error) {
	if m := ageForm.FindStringSubmatch(s); m != nil {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			return time.Time{}, err
		}
		switch m[2] {
		case "h":
			return now.Add(-time.Duration(n) * time.Hour), nil
		case "m":
			return now.AddDate(0, -n, 0), nil
		case "y":
			return now.AddDate(-n, 0, 0), nil
		case "w":
			n *= 7
		}
		return now.AddDate(0, 0, -n), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339, "2006-01-02T15:04", "2006-01"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("want a date or an age, such as 2026-11-20, 7d or 3m (months)")
}

var placeholder = regexp.MustCompile(`\{([a-z-]+)\}`)

// filled puts parameters into the template of a filter: numbers as they are,
// everything else as one quoted word, so that no value can end it.
func (d Definition) filled(settings map[string]string) string {
	return placeholder.ReplaceAllStringFunc(d.Filter, func(name string) string {
		name = strings.Trim(name, "{}")
		for _, p := range d.Params {
			if p.Name == name && p.Kind == AsNumber {
				return settings[name]
			}
		}
		return quoted(settings[name])
	})
}

// quoted writes a word of the filter language.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// both joins two filters, of which either may be empty.
func both(a, b string) string {
	a, b = strings.TrimSpace(a), strings.TrimSpace(b)
	if a == "" || b == "" {
		return a + b
	}
	return "(" + a + ") and (" + b + ")"
}
