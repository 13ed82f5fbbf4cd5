package query

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/fact"
)

func TestLastingTellsWhatDecidesAFilterOrWhatIsNotKept(t *testing.T) {
	for _, tt := range []struct{ filter, sections, fields, not string }{
		{"pkg(cups) < 2.4 or not file(/etc/cups/client.conf)", "etc pkg", "", ""},
		{"site = elm/* and (status != disposed or mac = 00:11:22:33:44:55)", "net", "site status", ""},
		{"ci = ci1 and name = a and class = laptop and count(hw/disk/*/model) > 1", "hw", "ci class name", ""},
		{"differs from client", "etc pkg", "", ""},
		{"presence = silent", "", "", "presence = silent"},
		{"pkg(a) and not (owner = kari or pkg(b))", "", "", "owner = kari"},
		{"seen > 3d", "", "", "seen > 3d"},
		{"changed(etc/cups) < 7d", "", "", "changed(etc/cups) < 7d"},
		{"field(rack) = B4", "", "", "field(rack) = B4"},
		{"pkg(a) and (pkg(b) as of 7d)", "", "", "as of 7d"},
	} {
		e, err := Parse(tt.filter, client{})
		if err != nil {
			t.Fatalf("%s: %v", tt.filter, err)
		}
		sections, fields, err := Lasting(e)
		if tt.not != "" {
			if !errors.Is(err, ErrPast) || !strings.Contains(err.Error(), tt.not) {
				t.Errorf("%s: %v, want an error that names %s", tt.filter, err, tt.not)
			}
			continue
		}
		if err != nil || strings.Join(sections, " ") != tt.sections || strings.Join(fields, " ") != tt.fields {
			t.Errorf("%s: %q, %q, %v; want %q, %q", tt.filter, sections, fields, err, tt.sections, tt.fields)
		}
	}
}

// client knows one baseline.
type client struct{}

func (client) Filter(string) (string, bool, error) { return "", false, nil }

func (client) Baseline(name string) (fact.Set, bool, error) {
	return fact.NewSet([]fact.Fact{{Path: "etc/a", Value: "x"}, {Path: "pkg/a/version", Value: "1"}}), name == "client", nil
}

func TestShowingGivesTheFactsThatMakeATermTrue(t *testing.T) {
	s := &machine{asked: map[string]int{}, facts: fact.Split([]fact.Fact{
		{Path: "pkg/cups/version", Value: "2.4"},
		{Path: "pkg/cups-client/version", Value: "2.5"},
		{Path: "pkg/bash/version", Value: "5.2"},
		{Path: "etc/a", Value: "sha256:11 0640 root:lp"},
		{Path: "hw/system/product", Value: "OptiPlex 7010"},
	})}
	for filter, want := range map[string]string{
		"pkg(cups) = 2.4": "pkg/cups/version", "pkg(cups) > 2.4": "", "pkg(cups*) > 2.4": "pkg/cups-client/version",
		"pkg(cups*)": "pkg/cups-client/version pkg/cups/version", "file(/etc/a) = 0640": "etc/a", "model = optiplex*": "hw/system/product",
		"not pkg(nano)": "", "pkg(cups) != 2.5": "", "count(pkg/*/version) > 1": "", "pkg(cups) and pkg(bash)": "",
	} {
		e, err := Parse(filter, nil)
		if err != nil {
			t.Fatal(err)
		}
		facts, err := Showing(e, s, time.Time{})
		var got []string
		for _, f := range facts {
			got = append(got, f.Path)
		}
		slices.Sort(got)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s is shown by %v, %v; want %q", filter, got, err, want)
		}
	}
}

func TestThePathOfAFactIsNoFieldAndIsSaidHowToWrite(t *testing.T) {
	_, err := Parse("pkg/cups/version = 2.4", nil)
	if err == nil || !strings.Contains(err.Error(), "write fact(pkg/cups/version)") {
		t.Errorf("got %v, want how to write it", err)
	}
}
