package conf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"
)

type settings struct {
	Server     string        `conf:"server"`
	Recipients []string      `conf:"recipient"`
	Loud       bool          `conf:"loud"`
	Workers    int           `conf:"workers"`
	Serial     int64         `conf:"serial"`
	Interval   time.Duration `conf:"interval"`
	Limit      Size          `conf:"limit"`
	Derived    string        // no tag: not settable
}

func (s *settings) Validate() error {
	var errs []error
	if s.Interval < time.Minute {
		errs = append(errs, Bad("interval", "%v is below one minute", s.Interval))
	}
	if s.Server == "" {
		errs = append(errs, Bad("server", "is missing"))
	}
	if s.Serial == 13 {
		errs = append(errs, errors.New("unlucky"))
	}
	return errors.Join(errs...)
}

func defaults() settings {
	return settings{Server: "tjener.intern:7443", Recipients: []string{"default"}, Interval: time.Hour, Limit: 1 << 20}
}

func TestGoodTextIsRead(t *testing.T) {
	tests := []struct {
		name, text string
		want       func(*settings)
	}{
		{"an empty file keeps every default", "", func(*settings) {}},
		{"comments and blank lines count for nothing", "# a\n\n   # b\n\t\n", func(*settings) {}},
		{"a key sets its field", "server = a:1", func(s *settings) { s.Server = "a:1" }},
		{"blanks around key and value do not count", " \tserver=\t a:1 \t\n", func(s *settings) { s.Server = "a:1" }},
		{"lines may end as in DOS", "server = a:1\r\nloud = yes\r\n", func(s *settings) { s.Server, s.Loud = "a:1", true }},
		{"only the first = separates", "server = a=b", func(s *settings) { s.Server = "a=b" }},
		{"a # inside a word belongs to the value", "server = a#b", func(s *settings) { s.Server = "a#b" }},
		{"quotes keep blanks, # and escapes", `server = " a #\tb "`, func(s *settings) { s.Server = " a #\tb " }},
		{
			"a repeated list key adds and replaces the default", "recipient = x\nloud = no\nrecipient = y",
			func(s *settings) { s.Recipients = []string{"x", "y"} },
		},
		{"an empty list value empties the list", "recipient =", func(s *settings) { s.Recipients = nil }},
		{"an empty value empties a string", "recipient = z\nserver = \"x\"", func(s *settings) { s.Recipients, s.Server = []string{"z"}, "x" }},
		{
			"numbers, durations and sizes are read", "workers = -4\nserial = 9223372036854775807\ninterval = 1h30m\nlimit = 64MiB",
			func(s *settings) {
				s.Workers, s.Serial, s.Interval, s.Limit = -4, 1<<63-1, 90*time.Minute, 64<<20
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, want := defaults(), defaults()
			tt.want(&want)
			if err := Parse("agent.conf", strings.NewReader(tt.text), &got); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestBadTextIsRefusedWithItsLine(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"a misspelt key gets a suggestion", "\nintervall = 5m", `agent.conf:2: unknown key "intervall"; did you mean "interval"?`},
		{"a key in the wrong case gets a suggestion", "SERVER = x", `agent.conf:1: unknown key "SERVER"; did you mean "server"?`},
		{"a key like no other gets none", "colour = red", `agent.conf:1: unknown key "colour"`},
		{"an untagged field is no key", "Derived = x", `agent.conf:1: unknown key "Derived"`},
		{"a line without =", "server tjener", `agent.conf:1: no "=" in "server tjener"; write key = value`},
		{"a line without key", "= 5", `agent.conf:1: no key before "="`},
		{"a scalar twice", "server = a\n\nserver = a", `agent.conf:3: key "server" was set before, in line 1; keep one of the two`},
		{"a bad bool", "loud = maybe", `agent.conf:1: loud: "maybe" is neither yes nor no`},
		{"a bad number", "workers = four", `agent.conf:1: workers: "four" is not a whole number`},
		{"an empty number", "workers =", `agent.conf:1: workers: "" is not a whole number`},
		{"a number that does not fit", "serial = 9223372036854775808", `agent.conf:1: serial: "9223372036854775808" is too large a number`},
		{"a duration without unit", "interval = 30", `agent.conf:1: interval: "30" is not a duration like 90s, 15m or 1h30m`},
		{"a decimal size", "limit = 64MB", `agent.conf:1: limit: "64MB" is not a size like 512, 64KiB, 64MiB or 2GiB`},
		{"a negative size", "limit = -1", `agent.conf:1: limit: "-1" is not a size like 512, 64KiB, 64MiB or 2GiB`},
		{"a comment behind a value", "server = a # b", `agent.conf:1: server: "a # b" holds a comment; a comment needs a line of its own, and a value with " #" double quotes`},
		{"an open quote", `server = "a`, `agent.conf:1: server: bad quotes in "\"a"`},
		{"an escape code", "server = a\x1b[31m", "agent.conf:1: holds a control character"},
		{"not UTF-8", "server = a\xff", "agent.conf:1: not UTF-8 text"},
		{"a line too long", "loud = no\nserver = " + strings.Repeat("a", maxLine), "agent.conf:2: line longer than 16KiB"},
		{"a file too large", strings.Repeat("#\n", maxFile/2) + "#", "agent.conf: larger than 1MiB; this is no configuration file"},
		{
			"a long value is shortened in the message", "workers = " + strings.Repeat("é", 100),
			`agent.conf:1: workers: "` + strings.Repeat("é", 60) + `…" is not a whole number`,
		},
		{
			"all problems come together, in order", "intervall = 1m\nloud = 7\nwhat",
			"agent.conf:1: unknown key \"intervall\"; did you mean \"interval\"?\n" +
				"agent.conf:2: loud: \"7\" is neither yes nor no\n" +
				"agent.conf:3: no \"=\" in \"what\"; write key = value",
		},
		{
			"Validate speaks once the lines are good, with the line where there is one", "server =\ninterval = 5s\nserial = 13",
			"agent.conf:2: interval: 5s is below one minute\nagent.conf:1: server: is missing\nagent.conf: unlucky",
		},
		{"Validate is not asked about a bad file", "interval = 5s\nloud = 7", `agent.conf:2: loud: "7" is neither yes nor no`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := defaults()
			err := Parse("agent.conf", strings.NewReader(tt.text), &got)
			if err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			if !reflect.DeepEqual(got, defaults()) {
				t.Errorf("the struct was changed: %+v", got)
			}
		})
	}
}

func TestProblemsOfAGarbageFileAreBounded(t *testing.T) {
	err := Parse("x", strings.NewReader(strings.Repeat("garbage\n", 10_000)), &settings{})
	if err == nil || strings.Count(err.Error(), "\n") != maxProblems ||
		!strings.HasSuffix(err.Error(), "x: more problems follow; these are the first 20") {
		t.Errorf("got %v", err)
	}
}

func TestAReadErrorIsReturned(t *testing.T) {
	err := Parse("x", iotest.ErrReader(io.ErrUnexpectedEOF), &settings{})
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}

func TestAStructThatCannotBeFilledIsRefused(t *testing.T) {
	for _, into := range []any{
		nil, 3,
		settings{},
		(*settings)(nil), new(int),
		&struct {
			a string `conf:"a"`
		}{},
		&struct {
			A float64 `conf:"a"`
		}{},
		&struct {
			A string `conf:"a"`
			B string `conf:"a"`
		}{},
		&struct {
			A string `conf:""`
		}{},
	} {
		if err := Parse("x", strings.NewReader(""), into); err == nil {
			t.Errorf("%T was accepted", into)
		}
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.conf")
	if err := Load(path, &settings{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: got %v, want fs.ErrNotExist", err)
	}
	if err := os.WriteFile(path, []byte("intervall = 1h"), 0o644); err != nil {
		t.Fatal(err)
	}
	want := path + `:1: unknown key "intervall"; did you mean "interval"?`
	if err := Load(path, &settings{}); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	for _, special := range []string{t.TempDir(), "/dev/null", pipe(t)} {
		if err := Load(special, &settings{}); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("%s: got %v", special, err)
		}
	}
}

func pipe(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestReadSecretRefusesWhatOthersCanRead(t *testing.T) {
	tests := []struct {
		mode    fs.FileMode
		content string
		want    string // part of the error, "" for success
	}{
		{0o600, "s3cret\n", ""},
		{0o400, "s3cret\n", ""},
		{0o640, "s3cret\n", "mode 0640 lets others in; run: chmod 0600"},
		{0o604, "s3cret\n", "mode 0604 lets others in"},
		{0o620, "s3cret\n", "mode 0620 lets others in"},
		{0o600, "", "the file is empty"},
		{0o600, strings.Repeat("s3cret", maxSecret), "larger than 64KiB"},
	}
	for i, tt := range tests {
		path := filepath.Join(t.TempDir(), fmt.Sprint(i))
		if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, tt.mode); err != nil {
			t.Fatal(err)
		}
		got, err := ReadSecret(path)
		switch {
		case tt.want == "" && (err != nil || string(got) != tt.content):
			t.Errorf("mode %o: got %q, %v", tt.mode, got, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("mode %o: got %v, want %q", tt.mode, err, tt.want)
		case err != nil && strings.Contains(err.Error(), "s3cret"):
			t.Errorf("mode %o: the secret is in the error: %v", tt.mode, err)
		}
	}
	if _, err := ReadSecret(pipe(t)); err == nil {
		t.Error("a named pipe was accepted")
	}
	if _, err := ReadSecret(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: got %v, want fs.ErrNotExist", err)
	}
}

func TestSizeTextIsReadBack(t *testing.T) {
	for s, want := range map[Size]string{
		0: "0", 1: "1", 1000: "1000", 1024: "1KiB", 1536: "1536", 64 << 20: "64MiB", 3 << 30: "3GiB", 5 << 40: "5TiB", 1<<63 - 1: "9223372036854775807",
	} {
		if s.String() != want {
			t.Errorf("String() = %q, want %q", s, want)
		}
		if got, err := ParseSize(want); err != nil || got != s {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", want, int64(got), err, int64(s))
		}
	}
	for _, bad := range []string{"", "KiB", "1kib", "0x10", "+1", "1.5MiB", "9223372036854775808", "8388608TiB", "1 KiB KiB"} {
		if got, err := ParseSize(bad); err == nil {
			t.Errorf("ParseSize(%q) = %v, want an error", bad, got)
		}
	}
}

// FuzzParse: no text makes Parse panic, and a text is either read or leaves
// the struct as it was.
func FuzzParse(f *testing.F) {
	f.Add("server = a:1\nrecipient = x\nrecipient = y\n# c\nlimit = 64MiB\n")
	f.Add("interval = 1h\nloud = yes\nworkers = 4\nserial = -1\nserver = \"\\u00e9 #\"")
	f.Add("= \x00\nrecipient\n\xff")
	f.Fuzz(func(t *testing.T, text string) {
		got := defaults()
		err := Parse("x", strings.NewReader(text), &got)
		if err != nil && !reflect.DeepEqual(got, defaults()) {
			t.Errorf("error %v, but changed to %+v", err, got)
		}
		if err == nil && (got.Interval < time.Minute || got.Derived != "") {
			t.Errorf("accepted %+v", got)
		}
	})
}
