package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A line carries TCP connections between agents and the server, as badly as it is
// told. It knows nothing of what it carries.
type line struct {
	lis  net.Listener
	to   string
	open sync.WaitGroup

	mu  sync.Mutex
	bad fault // nil: a good line
	rnd *rand.Rand
}

// fault carries one connection and ends it.
type fault func(l *line, agent, server net.Conn)

func newLine(t *testing.T, to string, rnd *rand.Rand) *line {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{lis: lis, to: to, rnd: rnd}
	l.open.Go(l.serve)
	t.Cleanup(func() {
		_ = lis.Close()
		l.open.Wait()
	})
	return l
}

func (l *line) serve() {
	for {
		agent, err := l.lis.Accept()
		if err != nil {
			return // closed at the end of the test
		}
		l.open.Go(func() { l.carry(agent) })
	}
}

func (l *line) carry(agent net.Conn) {
	defer agent.Close()
	server, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer server.Close()
	l.mu.Lock()
	bad := l.bad
	l.mu.Unlock()
	if bad == nil {
		both(agent, server, io.Copy)
		return
	}
	bad(l, agent, server)
}

func (l *line) become(bad fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bad = bad
}

func (l *line) upTo(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rnd.IntN(n)
}

// both carries both directions until one has ended.
func both(agent, server net.Conn, how func(io.Writer, io.Reader) (int64, error)) {
	var ways sync.WaitGroup
	for _, way := range [][2]net.Conn{{server, agent}, {agent, server}} {
		ways.Go(func() {
			_, _ = how(way[0], way[1]) // a line that breaks is what is tested
			_ = agent.Close()
			_ = server.Close()
		})
	}
	ways.Wait()
}

// reset ends a connection with RST rather than FIN.
func reset(conns ...net.Conn) {
	for _, c := range conns {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
}

// lineFaults are the ways in which a line can be bad. The bounds of the cuts are
// some more than a connection of one report carries, so that they come before,
// within and after what matters.
var lineFaults = []struct {
	name string
	bad  fault
}{
	{"refused", func(_ *line, agent, server net.Conn) { reset(agent, server) }},
	{"cut on the way to the server", func(l *line, agent, server net.Conn) {
		go func() { _, _ = io.Copy(agent, server) }()
		_, _ = io.CopyN(server, agent, int64(l.upTo(24000)))
		reset(agent, server)
	}},
	{"cut on the way back", func(l *line, agent, server net.Conn) {
		go func() { _, _ = io.Copy(server, agent) }()
		_, _ = io.CopyN(agent, server, int64(l.upTo(12000)))
		reset(agent, server)
	}},
	{"one way only, then silent", func(l *line, agent, server net.Conn) {
		answers := int64(l.upTo(12000))
		go func() { _, _ = io.Copy(server, agent) }()
		_, _ = io.CopyN(agent, server, answers)
		time.Sleep(300 * time.Millisecond) // what the server answers now is lost
		reset(agent, server)
	}},
	{"a byte at a time", func(_ *line, agent, server net.Conn) {
		both(agent, server, func(w io.Writer, r io.Reader) (int64, error) {
			return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, 1))
		})
	}},
	{"64 kbit/s with jitter", func(l *line, agent, server net.Conn) {
		both(agent, server, func(w io.Writer, r io.Reader) (int64, error) {
			for {
				n, err := io.CopyN(w, r, 80)
				if n == 0 || err != nil {
					return n, err
				}
				time.Sleep(10*time.Millisecond + time.Duration(l.upTo(5000))*time.Microsecond)
			}
		})
	}},
	{"everything arrives twice", func(l *line, agent, server net.Conn) {
		second, err := net.Dial("tcp", l.to)
		if err != nil {
			return
		}
		defer second.Close()
		go func() { _, _ = io.Copy(io.Discard, second) }()
		both(agent, server, func(w io.Writer, r io.Reader) (int64, error) {
			if r == io.Reader(agent) {
				r = io.TeeReader(r, quiet{second})
			}
			return io.Copy(w, r)
		})
	}},
}

// quiet writes what it can: the server ends a connection that makes no sense.
type quiet struct{ io.Writer }

func (q quiet) Write(b []byte) (int, error) {
	_, _ = q.Writer.Write(b)
	return len(b), nil
}

// through lets the rig's agents reach the server by the line alone.
func (r *rig) through(l *line) {
	r.t.Helper()
	name := filepath.Join(r.pc.state, "server.json")
	b, err := os.ReadFile(name)
	if err != nil {
		r.t.Fatal(err)
	}
	var known map[string]any
	if err := json.Unmarshal(b, &known); err != nil {
		r.t.Fatal(err)
	}
	known["addresses"] = []string{l.lis.Addr().String()}
	if b, err = json.Marshal(known); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		r.t.Fatal(err)
	}
	for _, w := range r.reporters {
		w.client.Addresses = []string{l.lis.Addr().String()}
	}
}

// TestABadLineDeliversEverythingOnceAndInOrder lets a machine change and report
// over lines that are bad in each way, then over a good one: every state that it
// saw is in the history, once, in order.
func TestABadLineDeliversEverythingOnceAndInOrder(t *testing.T) {
	r := newRig(t, nil)
	l := newLine(t, r.addr, rand.New(rand.NewPCG(r.rnd.Uint64(), 1)))
	r.through(l)
	first := r.edits
	for _, f := range lineFaults {
		l.become(f.bad)
		delivered := 0
		r.during(func() {
			for range rounds(t, 3, 40) {
				if outcome, _ := r.tryReport(); outcome == "recorded" {
					delivered++
				}
			}
		})
		l.become(nil)
		r.relieve()
		r.through(l)
		t.Logf("%s: %d reports came through at once", f.name, delivered)
	}
	r.report()
	var want []string
	for n := first; n <= r.edits; n++ {
		want = append(want, fmt.Sprint(n))
	}
	r.haveEdits("pc", want)
	r.end()
}

// haveEdits compares what became of a machine's motd, in the order of its history.
func (l *lab) haveEdits(name string, want []string) {
	l.t.Helper()
	var got []string
	for text := range strings.Lines(l.git("--git-dir", l.mirrored("elm/north"), "log", "--reverse", "-p", "--format=", "--", name+"/etc/motd")) {
		if edit, ok := strings.CutPrefix(text, "+edit "); ok {
			got = append(got, strings.TrimSpace(edit))
		}
	}
	if !slices.Equal(got, want) {
		l.t.Errorf("the history has the edits %v, want each of %v once and in this order", got, want)
	}
}
