package etckeeper

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/seal"
)

var key = bytes.Repeat([]byte{7}, seal.FingerprintKeySize)

func states(t testing.TB, export string) ([]State, error) {
	t.Helper()
	var all []State
	err := Read(strings.NewReader(export), key, func(s State) error { all = append(all, s); return nil })
	return all, err
}

func real(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("testdata/tjener.export") // git fast-export of a repository whose .etckeeper is etckeeper 1.18.20's own
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestARealHistoryGivesWhatAnAgentWouldHaveSaid(t *testing.T) {
	all, err := states(t, real(t))
	if err != nil || len(all) != 5 {
		t.Fatalf("%d states, %v, want 5", len(all), err)
	}
	if want := time.Date(2023, 2, 1, 9, 0, 0, 0, time.UTC); !all[0].At.Equal(want) || all[2].Subject != `committing changes in /etc made by "apt install x"` {
		t.Errorf("the first is of %v, the third is %q", all[0].At, all[2].Subject)
	}
	last := all[4].Facts
	for path, want := range map[string]string{
		"etc/cups/cupsd.conf":          "sha256:* 0600 root:lp",
		"etc/empty":                    "dir 0750 root:root",
		"etc/localtime":                "link:/usr/share/zoneinfo/Europe/Oslo 0777 root:root",
		"etc/odd 'name":                "sha256:* 0644 root:root",
		"etc/shadow":                   "keyed:* 0640 root:shadow",
		"etc/ldap.conf":                "keyed:* 0644 root:root",
		"etc/ssh/ssh_host_ed25519_key": "keyed:* 0644 root:root",
		"etc/æøå.conf":                 "sha256:* 0644 root:root",
		"etc/.etckeeper":               "",
		"etc/x.conf~":                  "",
	} {
		got, _ := last.Get(path)
		before, after, _ := strings.Cut(want, "*")
		if want == "" && got != "" || !strings.HasPrefix(got, before) || !strings.HasSuffix(got, after) {
			t.Errorf("%s = %q, want %q", path, got, want)
		}
	}
	if v, _ := all[0].Facts.Get("etc/cups/cupsd.conf"); !strings.HasSuffix(v, " 0640 root:lp") {
		t.Errorf("at first cupsd.conf is %q, want mode 0640", v)
	}
}

func TestNoSecretComesOut(t *testing.T) {
	all, err := states(t, real(t))
	if err != nil {
		t.Fatal(err)
	}
	secrets := 0
	for i, s := range all {
		for _, c := range s.New {
			if bytes.Contains(c.Bytes, []byte("CANARY")) {
				t.Errorf("state %d hands out %q", i, c.Bytes)
			}
		}
		for _, f := range s.Facts {
			if strings.HasPrefix(f.Value, "keyed:") {
				secrets++
			}
		}
	}
	a, _ := all[1].Facts.Get("etc/shadow")
	b, _ := all[2].Facts.Get("etc/shadow")
	if secrets != 13 || a == b {
		t.Errorf("%d fingerprints, want 13; that shadow changed does not show: %v", secrets, a == b)
	}
}

// script makes an export of commits, each a list of lines.
func script(commits ...string) string {
	var b strings.Builder
	for i, c := range commits {
		var changes []string
		for line := range strings.SplitSeq(c, "\n") {
			if name, content, ok := strings.Cut(line, "="); ok {
				fmt.Fprintf(&b, "blob\nmark :%d%d\ndata %d\n%s\n", i+1, len(changes), len(content), content)
				line = fmt.Sprintf("M 100644 :%d%d %s", i+1, len(changes), name)
			}
			changes = append(changes, line)
		}
		fmt.Fprintf(&b, "commit refs/heads/master\nmark :c%d\nauthor a <a> %d +0000\ncommitter a <a> %d +0000\ndata 2\nx\n", i+1, i, i)
		if i > 0 {
			fmt.Fprintf(&b, "from :c%d\n", i)
		}
		b.WriteString(strings.Join(changes, "\n") + "\n\n")
	}
	return b.String()
}

// What stood in a secret file stays a secret under every name that it gets.
func TestASecretThatMovesStaysOne(t *testing.T) {
	all, err := states(t, script("shadow=root:x", "M 100644 :10 public", "D shadow", "R public elsewhere", "C elsewhere copy"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if len(s.New) != 0 {
			t.Errorf("%q comes out", s.New[0].Bytes)
		}
		for _, f := range s.Facts {
			if !strings.HasPrefix(f.Value, "keyed:") {
				t.Errorf("%s = %s", f.Path, f.Value)
			}
		}
	}
	if n := len(all[4].Facts); n != 2 {
		t.Errorf("%d files at the end, want 2", n)
	}
}

func TestTheWholeTreeMayComeWithEachCommit(t *testing.T) {
	all, err := states(t, script("a=1\nb/c=2", "deleteall\nM 100644 :10 a"))
	if err != nil || len(all) != 2 || len(all[0].Facts) != 3 || len(all[1].Facts) != 1 {
		t.Fatalf("%v, %v, want 3 entries, then 1", all, err)
	}
}

func TestWhatIsNoHistoryIsRefusedInWords(t *testing.T) {
	one := script("a=1")
	for what, tt := range map[string]struct{ export, want string }{
		"another format":      {"tree 0123\n", "git fast-export"},
		"a branch":            {one + strings.ReplaceAll(script("b=1"), ":c1", ":c9"), "branches"},
		"an unknown content":  {script("M 100644 :77 a"), "did not come"},
		"inline":              {script("M 100644 inline a"), "a mode, a mark and a path"},
		"up":                  {script("../a=1"), "no file has the path"},
		"from the root":       {script("/a=1"), "no file has the path"},
		"a dot":               {script("a/./b=1"), "no file has the path"},
		"an empty path":       {script("D "), "an empty path"},
		"a bad quote":         {script(`D "a`), "a quote that does not end"},
		"a bad escape":        {script(`D "\q"`), "not quoted"},
		"cut within a file":   {"blob\nmark :1\ndata 10\nab", "it ends after 2 of 10 bytes"},
		"cut within a commit": {"commit x\nmark :1\n", "data"},
		"a lying size":        {"blob\nmark :1\ndata 99999999999\nab", "it ends after"},
		"a negative size":     {"blob\nmark :1\ndata -1\n", "a number of bytes"},
		"no time":             {"commit x\ncommitter a <a> x\n", "no time"},
		"a long line":         {strings.Repeat("x", maxLine+1), "too long"},
		"signed":              {"commit x\ngpgsig sha1 openpgp\n", "strip"},
	} {
		_, err := states(t, tt.export)
		if !errors.Is(err, ErrStream) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want ErrStream and %q", what, err, tt.want)
		}
	}
	if _, err := states(t, ""); err != nil {
		t.Errorf("nothing: %v", err)
	}
	stop := errors.New("stop")
	if err := Read(strings.NewReader(one), key, func(State) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("Read = %v, want the error of what it calls", err)
	}
}

func TestALargeFileIsKnownByItsDigest(t *testing.T) {
	export := fmt.Sprintf("blob\nmark :1\ndata %d\n%s\n", maxBlob+1, strings.Repeat("x", maxBlob+1))
	tail := "commit r\nmark :2\ncommitter a <a> 1 +0000\ndata 1\nx\nM 100644 :1 %s\n"
	all, err := states(t, export+fmt.Sprintf(tail, "big"))
	if err != nil || len(all[0].New) != 0 {
		t.Fatalf("%v, %d contents, want none", err, len(all[0].New))
	}
	if v, _ := all[0].Facts.Get("etc/big"); !strings.HasPrefix(v, "toobig:") {
		t.Errorf("etc/big = %q", v)
	}
	if _, err := states(t, export+fmt.Sprintf(tail, "shadow")); !errors.Is(err, ErrStream) {
		t.Errorf("as a secret: %v, want ErrStream", err)
	}
}

func TestWordsOfEtckeepersScript(t *testing.T) {
	for line, want := range map[string][]string{
		`maybe chmod 0640 './shadow'`:  {"maybe", "chmod", "0640", "./shadow"},
		`maybe chown 'lp' 'a '"'"'b'`:  {"maybe", "chown", "lp", "a 'b"},
		`# a comment 'x`:               nil,
		`mkdir -p './a'; rm -rf /`:     {"mkdir", "-p", "./a;", "rm", "-rf", "/"},
		`maybe chmod 0640 'unfinished`: {"maybe", "chmod", "0640"},
		`maybe   chgrp "x" y`:          {"maybe", "chgrp", "x", "y"},
	} {
		if got := shellWords(line); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(script("a=1\nb/c=2", "D a", "R b/c d"))
	f.Add(script("shadow=x", `M 120000 :10 "l\303\246"`))
	f.Add("blob\nmark :1\ndata 99999999999\nab")
	f.Fuzz(func(t *testing.T, export string) {
		all, err := states(t, export)
		if err != nil && !errors.Is(err, ErrStream) && !strings.Contains(err.Error(), "fact") {
			t.Errorf("%v, want ErrStream", err)
		}
		for _, s := range all {
			if err := s.Facts.Check("etc"); err != nil {
				t.Error(err)
			}
			for _, c := range s.New {
				if seal.Sniff(c.Bytes) {
					t.Errorf("a secret comes out: %q", c.Bytes)
				}
			}
			for _, fa := range s.Facts {
				if _, err := fact.ParseFile(fa.Value); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

func FuzzMetadata(f *testing.F) {
	f.Add("maybe chown 'lp' 'a'\nmkdir -p './b'\nmaybe chmod 0640 c")
	f.Fuzz(func(_ *testing.T, text string) { readMetadata([]byte(text)) })
}
