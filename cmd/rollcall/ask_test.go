package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/server/query"
	"rollcall/server/report/reporttest"
)

// dialog runs 'rollcall ask' with lines of answers.
func dialog(t *testing.T, f *fake, lines string, args ...string) (out, errs string, status int) {
	t.Helper()
	login := filepath.Join(t.TempDir(), "login")
	if err := os.WriteFile(login, []byte(f.token), 0o600); err != nil {
		t.Fatal(err)
	}
	var o, e bytes.Buffer
	a := testApp(&o)
	a.err, a.in = newScreen(&e), strings.NewReader(lines)
	status = a.run(t.Context(), append([]string{"--login", login, "ask"}, args...))
	return o.String(), e.String(), status
}

func fleetServer(t *testing.T) *fake {
	t.Helper()
	f, err := newFake("plain")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.stop)
	f.fleet = reporttest.New(t)
	return f
}

func TestAGuidedQuestionEndsWithTheFilterOfWhatWasChosen(t *testing.T) {
	f := fleetServer(t)
	tests := []struct {
		name, lines string
		want        string // the filter
		count       string
	}{
		{"nothing at all", "\n\n\n", "-", "10 CIs"},
		{"a class", "work\n1\n\n\n", "class = workstation", "6 CIs"},
		{"a class and a site", "1\n/south\n1\n\n", "class = workstation and site = elm/south/*", "4 CIs"},
		{"all classes but one", "!1\n\n\n", "class != workstation", "4 CIs"},
		{"a version", "\n\npkg/\n1\n/cups\n1\n/deb12u9\n1\n\n", "pkg(cups) = 2.4.2-3+deb12u9", "1 CI"},
		{"older than a version", "\n\npkg/\n1\n/cups\n1\n/deb12u9\n<1\n\n", "pkg(cups) < 2.4.2-3+deb12u9", "5 CIs"},
		{"any version", "\n\npkg/\n1\n/slapd\n1\n*\n\n", "pkg(slapd)", "1 CI"},
		{"without a package", "1\n\npkg/\n1\nopenssh\n1\nnone\n\n", "class = workstation and not pkg(openssh-server)", "1 CI"},
		{"any network card", "\n\nnet/\n1\n*\nmac\n1\n:31\n1\n\n", "fact(net/*/mac) = 52:54:00:12:34:31", "1 CI"},
		{"little memory", "\n\nmemory\n1\n<2\n\n", "memory < 8247365632", "3 CIs"},
		{"how long ago", "\n\nreported\n1\n> 30d\n1\n\n", "seen > 30d", "2 CIs"},
		{"one condition and another", "\n\ncodename\n1\nbookworm\n1\nand\npresence\n1\nsilent\n1\n\n", "codename = bookworm and presence = silent", "2 CIs"},
		{"one value or another", "\n\ncodename\n1\nbookworm\n1\nor\ncodename\n1\ntrixie\n1\n\n", "(codename = bookworm or codename = trixie)", "6 CIs"},
		{"a step back", "\n\ncodename\n1\n..\n.\nmodel\n1\nE99\n1\n\n", `model = "ThinkPad E99 Gen 1"`, "1 CI"},
		{"what people declared", "\n\nfield(barcode)\n1\n0101\n1\n\n", "field(barcode) = EDU-0101", "1 CI"},
		{"a page further", "\n\n+\n-\n+\n\n", "-", "10 CIs"},
	}
	for _, tt := range tests {
		out, errs, status := dialog(t, f, tt.lines)
		if status != 0 {
			t.Errorf("%s: %d, %s", tt.name, status, errs)
			continue
		}
		lines := strings.Split(out, "\n")
		if lines[0] != tt.count || lines[1] != "filter: "+tt.want {
			t.Errorf("%s: got\n%s\nwant %s and %s\n%s", tt.name, out, tt.count, tt.want, errs)
		}
		if tt.want == "-" {
			continue
		}
		if _, err := query.Parse(tt.want, nil); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if again := "again:  rollcall ci list " + shellWord(tt.want); lines[2] != again {
			t.Errorf("%s: got %q, want %q", tt.name, lines[2], again)
		}
	}
}

func TestAGuidedQuestionShowsOnlyWhatThereIsWithItsCount(t *testing.T) {
	f := fleetServer(t)
	_, errs, _ := dialog(t, f, "?\nlap\n1\n7\nquit\n")
	same(t, "testdata/report/ask.txt", errs)
	out, errs, status := dialog(t, f, "quit\n")
	if out != "" || status != 1 || !strings.Contains(errs, "stopped before the end") {
		t.Errorf("quit: %d, %q, %q", status, out, errs)
	}
	if _, errs, status = dialog(t, f, ""); status != 1 || !strings.Contains(errs, "stopped before the end") {
		t.Errorf("no answers: %d, %q", status, errs)
	}
	if _, errs, status = dialog(t, f, strings.Repeat("x", maxLine+1)); status != 2 || !strings.Contains(errs, "more than 4096 bytes") {
		t.Errorf("an endless line: %d, %q", status, errs)
	}
	out, _, _ = dialog(t, f, "\n\n\n", "--at", "2026-01-01")
	if !strings.HasPrefix(out, "9 CIs\n") || !strings.Contains(out, "--at 2026-01-01T23:59:59Z") {
		t.Errorf("at the beginning of the year: %q", out)
	}
}
