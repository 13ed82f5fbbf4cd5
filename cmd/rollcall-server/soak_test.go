package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"rollcall/server"
)

// A soak lets real programs work for long and looks whether they grow: memory,
// goroutines or threads, open files. make soak sets the variables.
const (
	soakVariable   = "ROLLCALL_SOAK"   // how long, "10m"
	agentsVariable = "ROLLCALL_AGENTS" // how many agents stay up
)

// sample is what one process holds at one moment.
type sample struct {
	memory  float64 // KiB that are its own (RssAnon): pages of the database do not count
	files   float64
	threads float64 // of the server its goroutines
}

type watched struct {
	name    string
	pid     int
	samples []sample
}

var (
	anonymous  = regexp.MustCompile(`(?m)^RssAnon:\s+(\d+) kB`)
	threads    = regexp.MustCompile(`(?m)^Threads:\s+(\d+)`)
	goroutines = regexp.MustCompile(`(?m)^go_goroutines (\S+)`)
)

func number(t *testing.T, form *regexp.Regexp, text []byte) float64 {
	t.Helper()
	found := form.FindSubmatch(text)
	if found == nil {
		t.Fatalf("no %s in %.300q", form, text)
	}
	n, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// look takes a sample; figures is where the server tells its own.
func (w *watched) look(t *testing.T, figures string) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.pid))
	if err != nil {
		t.Fatalf("%s has ended: %v", w.name, err)
	}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", w.pid))
	if err != nil {
		t.Fatal(err)
	}
	s := sample{memory: number(t, anonymous, status), files: float64(len(fds)), threads: number(t, threads, status)}
	if figures != "" {
		text, err := fetched(figures)
		if err != nil {
			t.Fatal(err)
		}
		s.threads = number(t, goroutines, text)
	}
	w.samples = append(w.samples, s)
}

// fetched gives what the server tells of itself.
func fetched(figures string) ([]byte, error) {
	res, err := http.Get(figures)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(res.Body)
	return text, errors.Join(err, res.Body.Close())
}

// growth compares the second quarter of the samples with the last: the first is
// for warming up. What comes and goes with work is not growth: slack is for that.
func growth(samples []sample, of func(sample) float64, share, slack float64) (from, to float64, grows bool) {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	median := func(part []float64) float64 {
		part = slices.Sorted(slices.Values(part))
		return part[len(part)/2]
	}
	n := len(values)
	if n < 8 {
		return 0, 0, true // nothing can be said
	}
	from, to = median(values[n/4:n/2]), median(values[n-n/4:])
	return from, to, to > from*(1+share)+slack
}

// kinds are what is looked at, and how much of it may come and go.
var kinds = []struct {
	name         string
	of           func(sample) float64
	share, slack float64
}{
	{"memory KiB", func(s sample) float64 { return s.memory }, 0.5, 32 << 10},
	{"open files", func(s sample) float64 { return s.files }, 0.1, 20}, // idle connections stay for a minute
	{"threads", func(s sample) float64 { return s.threads }, 0.1, 20},
}

// verdicts writes the table and returns how many processes grow in something.
func verdicts(w io.Writer, all []*watched) (grown int, err error) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PROCESS\tOF\tSAMPLES\tEARLY\tLATE\tMOST\t")
	for _, p := range all {
		for _, k := range kinds {
			from, to, grows := growth(p.samples, k.of, k.share, k.slack)
			most, verdict := 0.0, "flat"
			for _, s := range p.samples {
				most = max(most, k.of(s))
			}
			if grows {
				grown, verdict = grown+1, "GROWS"
			}
			fmt.Fprintf(table, "%s\t%s\t%d\t%.0f\t%.0f\t%.0f\t%s\n", p.name, k.name, len(p.samples), from, to, most, verdict)
		}
	}
	return grown, table.Flush()
}

func TestGrowthIsSeen(t *testing.T) {
	leaky, busy := &watched{name: "leaky"}, &watched{name: "busy"}
	for i := range 100 {
		leaky.samples = append(leaky.samples, sample{memory: 20_000 + 1500*float64(i), files: 10 + float64(i)/2, threads: 20 + float64(i)})
		busy.samples = append(busy.samples, sample{memory: 20_000 + 9_000*float64(i%3), files: 10 + float64(i%5), threads: 20 + float64(i%7)})
	}
	var out bytes.Buffer
	if n, err := verdicts(&out, []*watched{leaky, busy}); n != 3 || err != nil || strings.Count(out.String(), "GROWS") != 3 {
		t.Errorf("%d grow, %v:\n%s", n, err, out.String())
	}
}

// soak is one run.
type soak struct {
	*lab
	machines []*machine
	stop     chan struct{}
	work     sync.WaitGroup
	mu       sync.Mutex
	calls    map[string]int
}

func (s *soak) count(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[what]++
}

// often does something again and again until the soak ends.
func (s *soak) often(pause time.Duration, what string, do func(n int) error) {
	s.work.Go(func() {
		for n := 0; ; n++ {
			if err := do(n); err != nil {
				s.t.Errorf("%s: %v", what, err)
				return
			}
			s.count(what)
			select {
			case <-s.stop:
				return
			case <-time.After(pause):
			}
		}
	})
}

// TestSoak: a server and agents that stay, one machine that reports with a new
// process as fast as its quota lets it, edits everywhere and questions of an operator, for as
// long as is asked for. Nothing grows, and afterwards everything is whole.
func TestSoak(t *testing.T) {
	long, agents := 20*time.Second, 3
	if text := os.Getenv(soakVariable); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			t.Fatalf("%s: %v", soakVariable, err)
		}
	}
	if text := os.Getenv(agentsVariable); text != "" {
		var err error
		if agents, err = strconv.Atoi(text); err != nil || agents < 1 {
			t.Fatalf("%s=%q: want 1 or more, %v", agentsVariable, text, err)
		}
	}
	s := &soak{lab: newLab(t, loopback(t), ""), stop: make(chan struct{}), calls: map[string]int{}}
	figures := s.withFigures()
	all := s.populate(agents)
	s.warm(os.Getenv(soakVariable) != "", figures)
	end := time.Now().Add(long)
	s.exercise(min(max(long/40, 500*time.Millisecond), 11*time.Second))
	pause := max(long/150, 200*time.Millisecond)
	for time.Now().Before(end) {
		for _, w := range all {
			from := ""
			if w.pid == s.server.Process.Pid {
				from = figures
			}
			w.look(t, from)
		}
		time.Sleep(pause)
	}
	close(s.stop)
	s.work.Wait()
	s.finish(all)
	var table strings.Builder
	grown, err := verdicts(&table, all)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s with %d agents; done: %v\n%s", long, agents, s.calls, table.String())
	if grown > 0 {
		t.Errorf("%d figures grow", grown)
	}
}

// withFigures starts the server again with metrics, and returns where they are.
func (s *soak) withFigures() string {
	s.t.Helper()
	s.lab.stop()
	addr := loopback(s.t)
	text, err := os.ReadFile(s.path("server.conf"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("server.conf", strings.Replace(string(text), "metrics =\n", "metrics = "+addr+"\n", 1))
	s.write("agent.conf", "interval = 1m\nboot_spread = 1s\n")
	s.start()
	return "http://" + addr + "/metrics"
}

// populate enrols the machines and starts the agents that stay.
func (s *soak) populate(agents int) []*watched {
	s.t.Helper()
	table, err := os.ReadFile("../../testdata/hosts/machines.tsv")
	if err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(table)) {
		if name, _, _ := strings.Cut(line, "\t"); strings.HasPrefix(name, "room") && len(names) <= agents {
			names = append(names, name)
		}
	}
	if len(names) <= agents {
		s.t.Fatalf("there are %d recorded machines: %s must be less", len(names), agentsVariable)
	}
	hosts := s.recorded(names...)
	all := []*watched{{name: "server", pid: s.server.Process.Pid}}
	for i, name := range names {
		m := hosts[name]
		m.enrol("elm/north", "workstation")
		m.once()
		s.machines = append(s.machines, m)
		if i == 0 {
			continue // that one gets a new process each time
		}
		c := s.command("", "rollcall-agent", "run", "--config", s.path("agent.conf"), "--state", m.state, "--root", m.root)
		if err := c.Start(); err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() }) // if it is still there
		all = append(all, &watched{name: name, pid: c.Process.Pid})
	}
	return all
}

// exercise lets everybody work. A report is two envelopes, as it brings a content,
// and the server takes 200 at once and one in five seconds from a machine: pause
// stays below that.
func (s *soak) exercise(pause time.Duration) {
	first := s.machines[0]
	s.often(pause, "reports by new processes", func(n int) error {
		if err := os.WriteFile(filepath.Join(first.root, "etc/motd"), fmt.Append(nil, "soak ", n), 0o644); err != nil {
			return err
		}
		_, err := first.agent("once")
		return err
	})
	s.often(11*time.Second, "edits under agents that stay", func(n int) error {
		for _, m := range s.machines[1:] {
			if err := os.WriteFile(filepath.Join(m.root, "etc/motd"), fmt.Append(nil, "soak ", n), 0o644); err != nil {
				return err
			}
		}
		return nil
	})
	s.often(time.Second, "questions", func(n int) error {
		_, err := s.try("", "rollcall", [][]string{{"find", "--names", "site = elm/*"}, {"changes", "--limit", "20"}, {"status"}}[n%3]...)
		return err
	})
	s.often(200*time.Millisecond, "connections that come to nothing", func(int) error {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			return err
		}
		_, _ = c.Write([]byte("\x16\x03\x01\x02")) // the beginning of a handshake; whether it arrives does not matter
		return c.Close()
	})
}

// finish ends the agents as systemd does, then the server, and checks all of it.
func (s *soak) finish(all []*watched) {
	s.t.Helper()
	for _, w := range all[1:] {
		if err := syscall.Kill(w.pid, syscall.SIGTERM); err != nil {
			s.t.Errorf("%s: %v", w.name, err)
		}
	}
	time.Sleep(time.Second)
	var spools []string
	for _, m := range s.machines {
		m.once() // whatever still waited
		spools = append(spools, filepath.Join(m.state, "spool"))
	}
	s.lab.stop()
	checkAll(s.t, s.config(), server.Known{}, spools...)
}
