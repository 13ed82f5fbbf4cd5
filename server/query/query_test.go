package query

import (
	"errors"
	"flag"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/fact"
)

var update = flag.Bool("update", false, "write the golden files anew")

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// machine is a Subject made of maps; it counts how often sections are asked for.
type machine struct {
	fields  map[string][]string
	facts   map[string]fact.Set
	changes map[string]time.Time
	asked   map[string]int
	fail    error
	then    *machine // what it was in the last month
}

func (m *machine) Field(name string) ([]string, bool) {
	v, ok := m.fields[name]
	return v, ok
}

func (m *machine) Facts(section string) (fact.Set, error) {
	m.asked[section]++
	return m.facts[section], m.fail
}

func (m *machine) Changed(prefix string) (time.Time, bool, error) {
	t, ok := m.changes[prefix]
	return t, ok, m.fail
}

func (m *machine) AsOf(t time.Time) (Subject, bool, error) {
	return m.then, m.then != nil && !t.Before(now.AddDate(0, -1, 0)), m.fail
}

func pc07() *machine {
	var facts []fact.Fact
	for path, value := range map[string]string{
		"pkg/cups/version": "2.4.2-3+deb12u5", "pkg/nano/state": "deinstall ok config-files", "pkg/linux-image-6.1.0-30-amd64/version": "6.1.124-1",
		"etc/cups/client.conf": "sha256:" + strings.Repeat("ab", 32) + " 0640 root:lp", "etc/motd": "link:/run/motd 0777 root:root",
		"net/enp3s0/mac": "00:1e:0b:15:36:6b", "net/enp3s0/driver": "tg3", "net/wlan0/mac": "10:e7:c6:7b:5b:ea", "net/enp3s0/addr/10.0.2.15%2F24": "static",
		"hw/system/vendor": "Hewlett-Packard", "hw/system/product": "HP ProDesk 600 G1 TWR", "hw/memory/total": "8589934592",
		"os/id": "debian", "os/version": "12", "os/kernel": "6.1.0-9-amd64", "id/serial/product": "CZC1234ABC", "module/tg3": "loaded",
	} {
		facts = append(facts, fact.Fact{Path: path, Value: value})
	}
	then := &machine{
		fields:  map[string][]string{"name": {"pc07"}, "site": {"elm/south"}, "class": {"workstation"}},
		facts:   map[string]fact.Set{"pkg": {{Path: "pkg/cups/version", Value: "2.4.2-3+deb12u4"}}},
		changes: map[string]time.Time{"etc/cups": now.Add(-10 * 24 * time.Hour)},
		asked:   map[string]int{},
	}
	return &machine{
		then: then,
		fields: map[string][]string{
			"name": {"pc07"}, "class": {"workstation"}, "site": {"elm/north/b1/room12"}, "presence": {"live"},
			"changed": {"2026-11-18T10:00:00Z"}, "created": {"2025-08-01T00:00:00Z"}, "rack": {"B4"},
		},
		facts:   fact.Split(facts),
		changes: map[string]time.Time{"etc/cups": now.Add(-3 * 24 * time.Hour)},
		asked:   map[string]int{},
	}
}

// claim is a filter and whether it is true of pc07.
type claim struct {
	filter string
	want   bool
}

func checkClaims(t *testing.T, claims []claim) {
	t.Helper()
	for _, tt := range claims {
		e, err := Parse(tt.filter, nil)
		if err != nil {
			t.Errorf("Parse(%s): %v", tt.filter, err)
			continue
		}
		got, err := Match(e, pc07(), now)
		if err != nil || got != tt.want {
			t.Errorf("%s = %v, %v, want %v", tt.filter, got, err, tt.want)
		}
	}
}

func TestFiltersAreTrueOrFalse(t *testing.T) {
	checkClaims(t, []claim{
		{"name = pc07", true},
		{"name = PC07", true}, // names have no case
		{"name != pc07", false},
		{"name = pc0", false},
		{"name = pc*", true},
		{"name ~ pc0?", true},
		{"name in (pc06, pc07)", true},
		{"name not in (pc06, pc07)", false},
		{"name in (pc1*, pc0*)", true},
		{"memory = 4G..8G", true}, // both ends belong to a range
		{"memory = 9G..16G", false},
		{"memory != 4G..8G", false},
		{"memory in (1G..2G, 8G..9G)", true},
		{"pkg(cups) = 2.4.2-3+deb12u1..2.4.2-3+deb12u10", true}, // as dpkg orders
		{"pkg(cups) = 2.4.2-3+deb12u10..3", false},
		{"pkg(emacs) != 1..2", true},
		{"changed = 2026-11-18..2026-11-19", true},
		{"changed = 1d..3d", true}, // ages
		{"changed = 3d..7d", false},
		{"changed(etc/cups) = 2d..4d", true},
		{"name = a..b", false}, // text has no ranges
		{"count(net/*/mac) = 2", true},
		{"count(net/*/mac) > 2", false},
		{"count(net/*/mac) = 02", true}, // a number, not text
		{"count(net/*/mac) in (1, 2..5)", true},
		{"count(pkg/*/version) = 2", true},
		{"count(usb/*) = 0", true},
		{"count(usb/*) != 0", false},
		{"class = workstation and presence = live", true},
		{"class = server or presence = live", true},
		{"class = server or presence = live and name = x", false}, // and binds tighter
		{"not class = server", true},
		{"not (class = workstation or class = server)", false},
		{"site = elm/*", true},
		{"site = elm/north/b1/room12/*", true}, // a place is in its own subtree
		{"site = elm", false},
		{"site = el/*", false},
		{"site = */north/*", true},
		{"status = disposed", false}, // unknown: a comparison is false
		{"status != disposed", true}, // and its opposite is true
		{"pkg(cups)", true},
		{"pkg(nano)", false}, // only its configuration is left
		{"pkg(emacs)", false},
		{"pkg(cups) < 2.4.2-3+deb12u8", true},
		{"pkg(cups) < 2.4.2-3+deb12u10", true}, // as dpkg orders, not as text
		{"pkg(cups) >= 2.4.2-3+deb12u5", true},
		{"pkg(cups) > 2.4.2-3+deb12u5", false},
		{"pkg(cups) = 2.4.2*", true},
		{"pkg(emacs) < 99", false},
		{"pkg(linux-image-*) > 6.1.100", true},
		{"file(/etc/cups/client.conf)", true},
		{"file(etc/cups/client.conf)", true},
		{"not file(/etc/cups/cupsd.conf)", true},
		{"file(/etc/cups/*)", true},
		{"file(/etc/cups/client.conf) = 0640", true},
		{"file(/etc/cups/client.conf) = root:lp", true},
		{"file(/etc/cups/client.conf) = sha256:abab*", true},
		{"file(/etc/cups/client.conf) = 0644", false},
		{"file(/etc/motd) = link:/run/motd", true},
		{"mac = 00:1e:0b:15:36:6b", true},
		{"mac = 001E.0B15.366B", true},
		{"mac = 10:e7:*", true},
		{"ip = 10.0.2.15", true},
		{"ip = 10.0.2.*", true},
		{"serial = czc*", true},
		{"model = \"HP ProDesk 600 G1 TWR\"", true},
		{"vendor = hewlett*", true},
		{"kernel < 6.1.0-30-amd64", true},
		{"os = debian and release >= 12", true},
		{"memory = 8G", true},
		{"memory < 8GiB", false},
		{"memory >= 4096M", true},
		{"driver = tg3", true},
		{"module = tg3", true},
		{"fact(net/*/driver) = tg3", true},
		{"fact(hw/system/product) ~ *ProDesk*", true},
		{"fact(hw/tpm)", false},
	})
}

func TestFiltersAboutChangesAndFieldsAreTrueOrFalse(t *testing.T) {
	checkClaims(t, []claim{
		{"changed(etc/cups) < 7d", true},
		{"changed(etc/cups) < 2d", false},
		{"changed(etc/cups) >= 2d12h", true},
		{"changed(etc/cups) > 2026-01-01", true},
		{"changed(etc/ssh) < 7d", false}, // never changed
		{"changed < 3d", true},
		{"created < 2026-01-01", true},
		{"field(rack) = b4", true},
		{"field(shelf)", false},
	})
}

func TestPrintedFilterIsTheSameFilter(t *testing.T) {
	for src, want := range map[string]string{
		"NAME=pc07  and\tclass  = server":         "name = pc07 and class = server",
		"a":                                       "",
		"name = a or (name = b or name = c)":      "name = a or (name = b or name = c)",
		"name = a and (name = b or name = c)":     "name = a and (name = b or name = c)",
		"((name = a))":                            "name = a",
		"not not name = a":                        "not not name = a",
		"not (name = a and name = b)":             "not (name = a and name = b)",
		`name = "two words"`:                      `name = "two words"`,
		`name = 'it''s'`:                          "",
		`name = "and"`:                            `name = "and"`,
		`name = "a\"b\\c"`:                        `name = "a\"b\\c"`,
		"name not in ( a,b )":                     "name not in (a, b)",
		"pkg(cups)<2.4.2-3+deb12u8":               "pkg(cups) < 2.4.2-3+deb12u8",
		"file(etc/x)":                             "file(/etc/x)",
		"changed(etc/cups/) < 7d":                 "changed(etc/cups) < 7d",
		`fact("net/*/mac") = 00:11:*`:             "fact(net/*/mac) = 00:11:*",
		"mac in (00:1e:0b:15:36:6b) AND os = x":   "mac in (00:1e:0b:15:36:6b) and os = x",
		"name = blåbær and site = møre/årdal/*":   "name = blåbær and site = møre/årdal/*",
		"not name = a and not pkg(x) or name = b": "(not name = a and not pkg(x)) or name = b",
	} {
		e, err := Parse(src, nil)
		if want == "" {
			if err == nil {
				t.Errorf("Parse(%s) gives no error", src)
			}
			continue
		}
		if err != nil {
			t.Errorf("Parse(%s): %v", src, err)
			continue
		}
		if got := e.String(); got != want {
			t.Errorf("%s is printed as %s, want %s", src, got, want)
		}
		again, err := Parse(e.String(), nil)
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Errorf("%s parses to %#v, %v, want %#v", e, again, err, e)
		}
	}
}

func TestErrorsPointAtTheColumn(t *testing.T) {
	bad := []string{
		"",
		"naem = pc07",
		"name = ",
		"name pc07",
		"name == pc07",
		"name < pc07",
		"site = elm/* and (class = server or class = laptop",
		"site = elm/* adn class = server",
		"site = elm/* && class = server",
		"package(cups) < 2",
		"pkg(cups < 2",
		"pkg() = 2",
		"pkg(a/b)",
		"file(/var/log) = x",
		"fact(mac) = x",
		"changed(etc/cups)",
		"changed(etc/cups) = 7d",
		"changed(etc/cups) < seven",
		"memory = 8G..4G",
		"memory = 8G..",
		"memory < 4G..8G",
		"changed in (1d..2d, 3d)",
		"pkg(cups) = 2.*..3",
		"count(net/*/mac)",
		"count(net/*/mac) > many",
		"count(net)",
		"changed < 7dd",
		"memory < lots",
		"name in a",
		"name in (a b)",
		"name in (a, )",
		`name = "pc07`,
		"name = a | name = b",
		"name = pc07) or name = b",
		"blåbær = 7 and name = x",
		"name = \x1b[31mred",
		"name = a \"\x1b[2J\"",
		"room = b1",
		"name = a and name = \xff",
		"name = a or " + strings.Repeat("(", 60),
		strings.Repeat("name = a or ", 150) + "name = a",
		"name = " + strings.Repeat("x", MaxSource),
		"not",
		"and name = x",
		"name = and",
		"presense = live",
		"name = " + strings.Repeat("*a", 200),
		"file(/etc/motd) > 0644",
	}
	var b strings.Builder
	for _, src := range bad {
		_, err := Parse(src, nil)
		var se *SyntaxError
		if !errors.As(err, &se) {
			t.Errorf("Parse(%.60q) = %v, want a SyntaxError", src, err)
			continue
		}
		b.WriteString(err.Error() + "\n\n")
	}
	const golden = "testdata/errors.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("error texts are not those of %s; look at them, then run go test -update:\n%s", golden, b.String())
	}
}

func TestSectionsAreLoadedLazilyAndOnce(t *testing.T) {
	m := pc07()
	e, err := Parse("class = workstation and (pkg(a) or pkg(b) or mac = x) and name = nobody and file(/etc/motd)", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Match(e, m, now); err != nil {
		t.Fatal(err)
	}
	if want := map[string]int{"pkg": 1, "net": 1}; !maps.Equal(m.asked, want) {
		t.Errorf("asked for %v, want %v", m.asked, want)
	}
}

func TestErrorsOfTheSubjectAreNamed(t *testing.T) {
	m := pc07()
	m.fail = errors.New("disk on fire")
	for _, src := range []string{"not pkg(cups)", "changed(etc) < 7d or name = x", "not (name = x or mac = y)"} {
		e, err := Parse(src, nil)
		if err != nil {
			t.Fatal(err)
		}
		ok, err := Match(e, m, now)
		if ok || !errors.Is(err, m.fail) {
			t.Errorf("%s = %v, %v, want false and the subject's error", src, ok, err)
		}
	}
}

func TestEveryFieldIsUsableAndExplained(t *testing.T) {
	var names []string
	for _, f := range Fields() {
		if _, err := Parse(example(f.Name), nil); err != nil && f.Kind != Text {
			t.Errorf("the example of %s is no filter: %v", f.Name, err)
		}
		if f.Help == "" || f.Name != strings.ToLower(f.Name) {
			t.Errorf("field %q needs help and a lower-case name", f.Name)
		}
		names = append(names, f.Name)
	}
	slices.Sort(names)
	if len(slices.Compact(names)) != len(Fields()) {
		t.Error("a field is named twice")
	}
}

func TestSizesAndAgesHaveUnits(t *testing.T) {
	for s, want := range map[string]float64{"8G": 8 << 30, "8GiB": 8 << 30, "8 gb": 8 << 30, "512M": 512 << 20, "1.5k": 1536, "100": 100, "G": -1, "-1": -1, "1e999": -1, "0x10": -1, "": -1} {
		got, err := parseSize(s)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("parseSize(%q) = %v, %v, want %v", s, got, err, want)
		}
	}
	for s, want := range map[string]time.Duration{"7d": 168 * time.Hour, "1d12h": 36 * time.Hour, "2w": 336 * time.Hour, "30min": 30 * time.Minute, "": -1, "7": -1, "d": -1, "7x": -1, "99999999999d": -1, "2000000y": -1} {
		got, err := parseAge(s)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("parseAge(%q) = %v, %v, want %v", s, got, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"class = workstation and site = elm/* and pkg(cups) < 2.4.2-3+deb12u8 and not file(/etc/cups/client.conf)",
		`name in ("a b", c) or changed(etc/cups) < 7d`, "not (a", `x = "\`, "fact(net/*/mac) ~ 0?:*", "memory >= 1.5G", "memory = 4G..8G", "count(net/*/mac) in (1, 2..5)", "changed = 1d..2w and pkg(a) != 1..2", "name = \xff\x00",
		"(pkg(cups) < 2 as of 7d) and name = as", "differs from client in (etc, os) as of 2026-11-01", "@both(where = elm/*) or not @old-cups",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		e, err := Parse(src, names)
		if err != nil {
			var se *SyntaxError
			if !errors.As(err, &se) || se.Pos < 1 || err.Error() == "" {
				t.Fatalf("Parse(%q) = %v, want a SyntaxError with a column", src, err)
			}
			if fact.Escape(strings.ReplaceAll(err.Error(), "\n", " ")) != strings.ReplaceAll(strings.ReplaceAll(err.Error(), "\n", " "), "%", "%25") {
				t.Fatalf("the error for %q is not inert: %q", src, err)
			}
			return
		}
		again, err := Parse(e.String(), names)
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Fatalf("%q is printed as %q, which parses to %#v, %v", src, e, again, err)
		}
		if _, err := Match(e, pc07(), now); err != nil {
			t.Fatal(err)
		}
	})
}
