package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"rollcall/internal/sim"
)

// serverFile builds the real server.
func serverFile(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds and starts a server; not with -short")
	}
	file := filepath.Join(t.TempDir(), "rollcall-server")
	c := exec.Command("go", "build", "-tags", "grpcnotrace", "-o", file, "../rollcall-server")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("build the server: %v\n%s", err, out)
	}
	return file
}

func TestAFleetLivesThroughEverythingAtARealServer(t *testing.T) {
	server := serverFile(t)
	file := filepath.Join(t.TempDir(), "run.json")
	var out, trouble bytes.Buffer
	a := &app{out: &out, err: &trouble}
	if code := a.run(t.Context(), []string{"simulate", "--machines", "50", "--days", "2", "--clients", "8", "--server-program", server, "--json", file}); code != 0 {
		t.Fatalf("exit status %d\n%s\n%s", code, out.String(), trouble.String())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r result
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	got := map[string]phaseResult{}
	for _, p := range r.Phases {
		got[p.Name] = p
		if p.Failed > 0 {
			t.Errorf("%s: %d machines gave up", p.Name, p.Failed)
		}
		if !strings.Contains(out.String(), p.Name) {
			t.Errorf("the table lacks %s:\n%s", p.Name, out.String())
		}
	}
	for name, least := range map[string]int{
		"sites": 2, "enrolment": 50, "first reports, first of a kind": 3, "first reports": 40, "ticks": 50, "ticks, connection held": 1600,
		"2 ordinary days": 20, "edits, parts, moves": 1, "power cut": 40, "mirror of first reports": 1, "re-installs": 1, "forks resolved": 1, "point release": 20, "restart to first answer": 1,
	} {
		if got[name].Count < least {
			t.Errorf("%s counts %d, want %d or more", name, got[name].Count, least)
		}
	}
	if !r.Complete || r.Server.RSS == 0 || r.Server.CPU == 0 || r.Server.Store == 0 || r.Server.Mirror == 0 || r.Server.Backlog != 0 {
		t.Errorf("server: %+v, complete %v", r.Server, r.Complete)
	}
	if f := got["point release"]; f.Facts < 50*f.Count {
		t.Errorf("a point release moves %d facts on %d machines", f.Facts, f.Count)
	}
}

// TestANightIsPlayedOnAFleetThatWasWrittenIntoTheStore looks that what was written
// is what the machines go on from: each delta is recorded, none as a full report.
func TestANightIsPlayedOnAFleetThatWasWrittenIntoTheStore(t *testing.T) {
	server := serverFile(t)
	folder, err := os.MkdirTemp("/tmp", "rcb") // a socket's path in it must not be long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	own, file := filepath.Join(folder, "own"), filepath.Join(folder, "run.json")
	var out, trouble bytes.Buffer
	a := &app{out: &out, err: &trouble}
	if code := a.run(t.Context(), []string{"simulate", "--machines", "60", "--night", "--clients", "8", "--server-program", server, "--folder", own, "--json", file}); code != 0 {
		t.Fatalf("exit status %d\n%s\n%s", code, out.String(), trouble.String())
	}
	var r result
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]phaseResult{}
	for _, p := range r.Phases {
		got[p.Name] = p
	}
	for name, want := range map[string]int{"mirror of first reports": 120, "point release": 60, "mirror catches up": 60} {
		if got[name].Count > want || got[name].Count == 0 || got[name].Failed > 0 { // what is mirrored by the first look does not count
			t.Errorf("%s counts %d, want at most %d", name, got[name].Count, want)
		}
	}
	if f := got["point release"]; f.Count != 60 || f.Facts > 400*f.Count || f.Facts < 50*f.Count {
		t.Errorf("a point release moves %d facts on %d machines: those of a delta are some hundred", f.Facts, f.Count)
	}
	if !r.Complete || r.Server.Backlog != 0 {
		t.Errorf("complete %v, %d revisions behind", r.Complete, r.Server.Backlog)
	}
	c := exec.Command(server, "check", "--config", filepath.Join(own, "server.conf"))
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("check of the store: %v\n%s", err, out)
	}
}

func TestAnInterruptPrintsWhatThereIsAndLeavesNothing(t *testing.T) {
	server := serverFile(t)
	short, err := os.MkdirTemp("/tmp", "rcb") // a socket's path in it must not be long
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", short)
	t.Cleanup(func() {
		if err := os.RemoveAll(short); err != nil {
			t.Error(err)
		}
	})
	var out, trouble bytes.Buffer
	a := &app{out: &out, err: &trouble}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	time.AfterFunc(4*time.Second, stop)
	code := a.run(ctx, []string{"simulate", "--machines", "2000", "--server-program", server})
	if code != 1 || !strings.Contains(out.String(), "incomplete") || !strings.Contains(out.String(), "sites") || !strings.Contains(trouble.String(), "interrupted") {
		t.Errorf("exit status %d\n%s\n%s", code, out.String(), trouble.String())
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("it left %v (%v)", left, err)
	}
}

func TestSimulateRefusesWhatMakesNoSense(t *testing.T) {
	for line, want := range map[string]string{
		"--machines 0":               "--machines 0: want 1 to",
		"--clients 0":                "--clients 0: want 1 to",
		"--days -1":                  "--days -1: want 0 or more",
		"--from yesterday":           "--from: day \"yesterday\": want YYYY-MM-DD from 2023-06-10 to 2026-11-20",
		"--from 2026-07-05 --days 7": "no point release comes after them; the last was on 2026-07-11",
		"--login a --folder b":       "--login and --second lead to a server that runs",
		"--login a --night":          "--night writes into the store of a server of our own",
		"--second b":                 "--login and --second lead to a server that runs",
		"x":                          "",
	} {
		var trouble bytes.Buffer
		a := &app{out: io.Discard, err: &trouble}
		if code := a.run(t.Context(), append([]string{"simulate"}, strings.Fields(line)...)); code != 2 || !strings.Contains(trouble.String(), want) {
			t.Errorf("%s: exit status %d, %s", line, code, trouble.String())
		}
	}
}

func TestAServerThatDoesNotStartIsAnError(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for program, want := range map[string]string{"/bin/false": "/bin/false init", "/no/such/server": "no such file"} {
		var trouble bytes.Buffer
		a := &app{out: io.Discard, err: &trouble}
		if code := a.run(t.Context(), []string{"simulate", "--machines", "1", "--server-program", program}); code != 1 || !strings.Contains(trouble.String(), want) {
			t.Errorf("%s: exit status %d, %s", program, code, trouble.String())
		}
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("it left %v (%v)", left, err)
	}
}

func TestQuantilesAreThoseOfTheLatencies(t *testing.T) {
	p := &phase{}
	if p.quantile(0.5) != 0 {
		t.Error("nothing has a median")
	}
	for n := 200; n > 0; n-- {
		p.done(time.Duration(n)*time.Millisecond, 1)
	}
	if m, q := p.quantile(0.5), p.quantile(0.99); m != 101*time.Millisecond || q != 199*time.Millisecond || p.facts != 200 {
		t.Errorf("median %s, 99th percentile %s of 1 to 200 ms", m, q)
	}
}

func TestSizesHaveThreeDigitsAndAUnit(t *testing.T) {
	for n, want := range map[float64]string{0: "0 B", 999: "999 B", 1000: "1 kB", 1.234e6: "1.23 MB", 5.6e12: "5.6e+03 GB", -2500: "-2.5 kB"} {
		if got := size(n); got != want {
			t.Errorf("size(%g) = %q, want %q", n, got, want)
		}
	}
}

func TestTheHelpOfSimulateNamesEveryFieldOfItsJSON(t *testing.T) {
	long := (&app{}).simulateCommand().Long
	for _, typ := range []reflect.Type{reflect.TypeFor[result](), reflect.TypeFor[phaseResult](), reflect.TypeFor[serverResult]()} {
		for f := range typ.Fields() {
			if name := f.Tag.Get("json"); !strings.Contains(long, `"`+name+`"`) {
				t.Errorf("the help does not name %q", name)
			}
		}
	}
}

func TestThePageOfPerformanceShowsCommandsThatExist(t *testing.T) {
	text, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^rollcall-bench (.*)$`).FindAllStringSubmatch(string(text), -1)
	if len(lines) == 0 {
		t.Error("docs/performance.md shows no command")
	}
	for _, l := range lines {
		c, rest, err := newApp().command().Find(strings.Fields(l[1]))
		if err == nil {
			err = c.ParseFlags(rest)
		}
		if err != nil {
			t.Errorf("%s: %v", l[0], err)
		}
	}
}

func TestSchoolsComeFromAddressesOfTheirOwn(t *testing.T) {
	fleet, err := sim.New(sim.Options{Machines: 3000, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	d := &driver{fleet: fleet, address: "127.0.0.1:7465", schools: map[string]int{}}
	for i := range fleet.Len() {
		if s := fleet.Member(i).School; !known[s] {
			known[s] = true
			d.schools[s] = len(d.schools)
		}
	}
	homes := map[string]string{}
	for i := range fleet.Len() {
		home, school := d.home(i).String(), fleet.Member(i).School
		if other, ok := homes[home]; ok && other != school {
			t.Fatalf("%s is the address of %s and %s", home, other, school)
		}
		homes[home] = school
	}
	if d.address = "192.0.2.7:7465"; d.home(0) != nil {
		t.Error("an address of this machine is used to reach another")
	}
}
