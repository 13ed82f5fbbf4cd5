package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write generated files and golden outputs anew")

// today is the day on which all scripts take place.
var today = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"rollcall": scripted})
}

// scripted is main, with a fixed clock unless the server is real, and with a terminal where the script sets
// TERMINAL to its width.
func scripted() {
	a := newApp()
	if os.Getenv("REAL") == "" {
		a.now = func() time.Time { return today }
	}
	a.zone = time.UTC
	if w, err := strconv.Atoi(os.Getenv("TERMINAL")); err == nil {
		for _, s := range []*screen{a.out, a.err} {
			s.tty, s.width, s.colour = true, w, os.Getenv("NO_COLOR") == ""
		}
	}
	os.Exit(a.run(context.Background(), os.Args[1:]))
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: false,
		RequireUniqueNames:  true,
		Setup:               setup,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"server":  startServer,
			"inert":   checkInert,
			"mode":    checkMode,
			"status":  checkStatus,
			"columns": checkColumns,
		},
	})
}

func setup(env *testscript.Env) error {
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config"))
	env.Setenv("TZ", "UTC")
	return nil
}

// startServer starts a fake server: "server plain" answers as a real one would,
// "server hostile" puts terminal commands into every string, "server away" is
// gone, "server other" shows another key than the login pins. The login token
// is in the file login.token. "server plain login" also logs in.
func startServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: server KIND [login]")
	}
	f, err := newFake(args[0])
	ts.Check(err)
	ts.Defer(f.stop)
	token := filepath.Join(ts.MkAbs("."), "login.token")
	ts.Check(os.WriteFile(token, []byte(f.token+"\n"), 0o600))
	if len(args) > 1 {
		ts.Check(os.MkdirAll(ts.MkAbs("config/rollcall"), 0o700))
		ts.Check(os.WriteFile(ts.MkAbs("config/rollcall/login"), []byte(f.token+"\n"), 0o600))
	}
}

// checkInert fails if the last command wrote anything that a terminal would
// obey: to standard output, or with "inert FILE", into a file.
func checkInert(ts *testscript.TestScript, neg bool, args []string) {
	texts := map[string]string{"stdout": ts.ReadFile("stdout"), "stderr": ts.ReadFile("stderr")}
	for name, text := range texts {
		if bad, where := commandIn(text); bad {
			ts.Fatalf("%s holds something that a terminal obeys at byte %d: %q", name, where, text[max(0, where-40):min(len(text), where+40)])
		}
	}
	if neg || len(args) > 0 {
		ts.Fatalf("usage: inert")
	}
}

// commandIn is written apart from harmless on purpose: it is its judge.
func commandIn(text string) (bad bool, where int) {
	for i, r := range text {
		switch {
		case r == '\n' || r == '\t':
		case r < 0x20, r >= 0x7f && r <= 0x9f, r == 0xfffd,
			r == 0x61c, r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0xfeff,
			r >= 0xe0000 && r <= 0xe007f:
			return true, i
		}
	}
	return false, 0
}

// checkMode compares a file's permissions: mode 0600 FILE.
func checkMode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mode OCTAL FILE")
	}
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}

// checkStatus runs a program and compares its exit status: status 2 rollcall …
func checkStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N PROGRAM ARGUMENT...")
	}
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit status %d, want %s", got, args[0])
	}
}

// checkColumns fails if a line of a file is wider: columns 80 FILE.
func checkColumns(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: columns N FILE")
	}
	most, err := strconv.Atoi(args[0])
	ts.Check(err)
	for l := range strings.Lines(ts.ReadFile(args[1])) {
		if w := displayWidth(strings.TrimSuffix(l, "\n")); w > most {
			ts.Fatalf("%d columns: %s", w, l)
		}
	}
}

// testApp is an app whose output is in w.
func testApp(w io.Writer) *app {
	return &app{
		out: newScreen(w), err: newScreen(w), getenv: func(string) string { return "" },
		now: func() time.Time { return today }, zone: time.UTC,
	}
}
