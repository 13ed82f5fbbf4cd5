package query

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/fact"
)

// saved are filters and baselines by name.
type saved struct {
	filters   map[string]string
	baselines map[string]fact.Set
	fail      error
}

func (s saved) Filter(name string) (string, bool, error) {
	text, ok := s.filters[name]
	return text, ok, s.fail
}

func (s saved) Baseline(name string) (fact.Set, bool, error) {
	facts, ok := s.baselines[name]
	return facts, ok, s.fail
}

var names = saved{
	filters: map[string]string{
		"old-cups": "pkg(cups) < 2.4.2-3+deb12u8", "room": "site = $where or name = pc07", "both": "@old-cups and @room(where = $where)",
		"before": "pkg(cups) < $version as of $when", "loop": "name = a or @pool", "pool": "@loop", "broken": "naem = x", "pkg": "pkg($name)",
		"late": "changed(etc/cups) < $age", "wide": strings.Repeat("name = a or ", 60) + "name = a", "widest": "@wide or @wide or @wide or @wide", "plain": `name = "$x"`, "many": "name in (" + strings.Repeat("$x, ", 7) + "$x)",
	},
	baselines: map[string]fact.Set{
		"client": {{Path: "etc/motd", Value: "link:/run/motd 0777 root:root"}, {Path: "os/id", Value: "debian"}, {Path: "pkg/cups/version", Value: "2.4.2-3+deb12u8"}},
	},
}

func TestSavedFiltersAndBaselinesAreUsedByName(t *testing.T) {
	for filter, want := range map[string]bool{
		"@old-cups":                          true,
		"not @old-cups":                      false,
		"@OLD-CUPS and class = workstation":  true,
		"@room(where = nowhere)":             true, // by the other half of it
		"@room(where = x) and name = pc08":   false,
		"@both(where = elm/*)":               true,
		"@pkg(name = cups) and @pkg(name=a)": false,
		"@late(age = 4d)":                    true,
		"@late(age = 2d)":                    false,
		"@plain":                             false,
		"differs from client":                true,
		"differs from client in os":          false,
		"differs from client in (os, etc)":   false,
		"differs from client in pkg/cups":    true,
		"not differs from CLIENT in etc":     true,
		// As of a time.
		"site = elm/south as of 7d":                                              true,
		"site = elm/south":                                                       false,
		"site = elm/south as of 2026-11-01":                                      true,
		"name = pc07 as of 2020-01-01":                                           false, // it did not exist
		"not name = pc07 as of 2020-01-01":                                       false, // and fits nothing then
		"not (name = pc07 as of 2020-01-01)":                                     true,
		"class = server or site = elm/south as of 7d":                            true, // all of it
		"site = elm/north/* and (site = elm/south as of 7d)":                     true,
		"@before(version = 2.4.2-3+deb12u5, when = 7d)":                          true,
		"@before(version = 2.4.2-3+deb12u4, when = 2026-11-19)":                  false,
		"changed(etc/cups) < 7d as of 5d":                                        true, // an age counts back from then
		"changed(etc/cups) < 4d as of 5d":                                        false,
		"differs from client as of 7d and name = x":                              false,
		"name = pc07 and not (differs from client in (etc, os) as of 1d)":        false,
		"(pkg(cups) = 2.4.2-3+deb12u4 as of 1d) and pkg(cups) > 2.4.2-3+deb12u4": true,
	} {
		e, err := Parse(filter, names)
		if strings.Contains(filter, "7d and name") {
			if err == nil {
				t.Errorf("%s is taken: a time stands at the end", filter)
			}
			continue
		}
		if err != nil {
			t.Errorf("Parse(%s): %v", filter, err)
			continue
		}
		if got, err := Match(e, pc07(), now); err != nil || got != want {
			t.Errorf("%s = %v, %v, want %v", filter, got, err, want)
		}
		again, err := Parse(e.String(), names)
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Errorf("%s is printed as %s, which parses to %#v, %v", filter, e, again, err)
		}
	}
}

func TestWhatIsWrongWithASavedFilterSaysWhere(t *testing.T) {
	for filter, want := range map[string]string{
		"@none":                             `filter, column 1: there is no saved filter "@none"`,
		"name = a and @broken":              `saved filter @broken, column 1: unknown field "naem"`,
		"@room":                             "saved filter @room, column 8: no value for \"$where\"\n",
		"@room(place = x)":                  `no value for "$where"`,
		"@old-cups(where = x)":              `filter, column 1: the saved filter "@old-cups" has no parameter "where"`,
		"@room(where = a, far = b)":         `has no parameter "far"`,
		"@room(where)":                      "expected a parameter and its value",
		"@room(where = x y)":                `expected "," or ")"`,
		"@late(age = soon)":                 `saved filter @late, column 21: "soon" is neither an age nor a date`,
		"@pkg(name = 'a/b')":                "a package name holds no slash",
		`@pkg(name = "lib c")`:              "saved filter @pkg, column 5: a package name holds no slash or space",
		"@loop":                             "stand in each other without end, or too deep: loop, pool, loop",
		"@widest":                           "more than 200 conditions",
		"differs from none":                 `there is no baseline "none"`,
		"differs from client in nowhere":    `filter, column 14: the baseline "client" holds nothing there`,
		"differs from client in /":          "is no path of a fact",
		"differs client":                    `expected "from" after "differs"`,
		"differs from":                      `expected the name of a baseline after "differs from", found the end`,
		"differs from client in (os etc)":   `expected "," or ")"`,
		"name = a as of":                    `expected a time after "as of", found the end`,
		"name = a as of yesterday":          `"yesterday" is neither an age nor a date`,
		"name = a as x":                     `expected "and" or "or", found "as"`,
		"name = a as of 7d as of 3d":        `expected "and" or "or", found "as"`,
		"@" + strings.Repeat("x", 300):      "there is no saved filter",
		"differs from 'a/b'":                "there is no baseline",
		"@room(where = x) and @broken":      "saved filter @broken",
		"@room(where = '$where') or naem=x": `filter, column 28: unknown field`,
	} {
		_, err := Parse(filter, names)
		var se *SyntaxError
		if !errors.As(err, &se) || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%.60s) = %v, want %q", filter, err, want)
		}
	}
	for value, long := range map[string]bool{strings.Repeat("x", 3000): true, "x": false} {
		if _, err := Parse("@many(x = "+value+")", names); (err != nil) != long || long && !strings.Contains(err.Error(), "longer than 16384 bytes in all") {
			t.Errorf("a filter of %d bytes, eight times: %v", len(value), err)
		}
	}
	if _, err := Parse("@old-cups or differs from client", nil); err == nil {
		t.Error("names are known where there are none")
	}
	broken := errors.New("the disk is gone")
	for _, filter := range []string{"@x", "differs from x"} {
		if _, err := Parse(filter, saved{fail: broken}); !errors.Is(err, broken) {
			t.Errorf("Parse(%s) = %v, want what went wrong", filter, err)
		}
	}
}

func TestAFilterIsCheckedBeforeItIsSaved(t *testing.T) {
	for filter, want := range map[string]string{
		"pkg(cups) < $version":                      "version",
		"site = $where and changed < $since":        "since where",
		"changed(etc) < $age as of $WHEN":           "age when",
		"@room(where = $where) or memory < $size":   "size where",
		"@late(age = $age)":                         "age",
		"count(net/*/mac) > $n and site in ($a, b)": "a n",
		"name = pc07":                               "",
		"@late(age = $age) and @none":               "error",
		"@late(age = soon) and name = $x":           "error",
		"name = $":                                  "",
		"name = $a-b":                               "error",
		"naem = $x":                                 "error",
		"memory < $size and memory < lots":          "error",
		"pkg($name) and file(/var/$x)":              "error",
	} {
		params, err := Template(filter, names)
		if err != nil && want == "error" {
			continue
		}
		if got := strings.Join(params, " "); err != nil || got != want {
			t.Errorf("Template(%s) = %q, %v, want %q", filter, got, err, want)
		}
	}
}

// A value is a value: nothing in it is read as a part of the filter.
func TestAParameterCannotChangeTheFilter(t *testing.T) {
	e, err := Parse(`@room(where = "elm' or name = * or (site = 'x")`, names)
	if err != nil {
		t.Fatal(err)
	}
	or, ok := e.(Or)
	if !ok || len(or.Parts) != 2 || !slices.Equal(or.Parts[0].(Term).Values, []string{"elm' or name = * or (site = 'x"}) {
		t.Errorf("it reads %s", e)
	}
}

func FuzzTemplate(f *testing.F) {
	for _, s := range names.filters {
		f.Add(s, "elm/*")
	}
	f.Add("pkg($a) and name in ($b, $a) as of $c", "7d")
	f.Fuzz(func(t *testing.T, src, value string) {
		params, err := Template(src, names)
		if err != nil {
			return
		}
		var use strings.Builder
		use.WriteString("@it")
		for i, p := range params {
			use.WriteString(map[bool]string{true: "(", false: ", "}[i == 0] + p + " = " + word(strings.ToValidUTF8(value, "?")))
		}
		if len(params) > 0 {
			use.WriteString(")")
		}
		filters := map[string]string{"it": src}
		maps.Copy(filters, names.filters)
		e, err := Parse(use.String(), saved{filters: filters, baselines: names.baselines})
		var se *SyntaxError
		if err != nil && !errors.As(err, &se) {
			t.Fatalf("Parse(%s) with %q: %v", use.String(), src, err)
		}
		if err == nil && len(e.String()) <= MaxSource {
			if again, err := Parse(e.String(), names); err != nil || !reflect.DeepEqual(again, e) {
				t.Fatalf("%q is printed as %q, which parses to %#v, %v", src, e, again, err)
			}
		}
	})
}
