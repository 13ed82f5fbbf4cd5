package server

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/sim"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/mirror"
	"rollcall/server/store"
)

// fleetDay is the virtual day on which the simulated fleet is first heard of.
const fleetDay sim.Day = 1100

// BenchmarkMirror mirrors a simulated fleet from the records of a real store, as
// a running server does: first inventories, ordinary days, the night of a point
// release. git fast-import then gets the same histories, as git fast-export tells
// them, with a checkpoint every 1,000 commits, in the same run.
func BenchmarkMirror(b *testing.B) {
	b.Run("fleet", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			benchFleet(b)
			b.StartTimer()
		}
	})
	b.Run("beside-load", benchBesideLoad)
}

func benchFleet(b *testing.B) {
	dir := b.TempDir()
	f := newFleetStore(b, dir, sim.Options{Machines: 500, Seed: 1, Day: fleetDay})
	m := mirror.New(mirror.Config{
		Store: f.engine, Writes: f.writer, Source: mirrorSource{f.engine, fleetTenant, f.sets}, Tenant: fleetTenant,
		Dir: filepath.Join(dir, "mirror"), Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	var took time.Duration
	commits := 0
	drain := func(what string) {
		n, d := drainAll(b, m)
		b.ReportMetric(float64(n)/d.Seconds(), what+"/s")
		took, commits = took+d, commits+n
	}
	for i := range f.fleet.Len() {
		f.report(i)
	}
	drain("first")
	for day := range sim.Day(7) {
		f.fleet.Advance(fleetDay+1+day, f.report)
	}
	drain("changes")
	f.fleet.AdvanceAll(fleetDay+8, f.report)
	drain("point-release")
	peer := 0.0
	for _, path := range f.fleet.Schools() {
		if strings.Contains(path, "/") {
			peer += fastImport(b, m.Path(path), filepath.Join(dir, "peer", path)).Seconds()
		}
	}
	b.ReportMetric(float64(commits)/took.Seconds(), "all/s")
	b.ReportMetric(float64(commits)/peer, "git-all/s")
	b.ReportMetric(peer/took.Seconds(), "ratio")
}

func drainAll(b *testing.B, m *mirror.Mirror) (int, time.Duration) {
	b.Helper()
	want, err := m.Backlog(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	n, err := m.Drain(b.Context())
	if err != nil || n != want {
		b.Fatalf("%d of %d revisions mirrored, %v", n, want, err)
	}
	return n, time.Since(began)
}

// fastImport lets git read a repository's history into a new one.
func fastImport(b *testing.B, repo, to string) time.Duration {
	b.Helper()
	run := func(in io.Reader, out io.Writer, args ...string) {
		cmd := exec.CommandContext(b.Context(), "git", append([]string{"-c", "safe.directory=*"}, args...)...)
		cmd.Stdin, cmd.Stdout = in, out
		if err := cmd.Run(); err != nil {
			b.Fatalf("git %s: %v", args[0], err)
		}
	}
	var told, stream bytes.Buffer
	run(nil, &told, "--git-dir="+repo, "fast-export", "main")
	withCheckpoints(b, &told, &stream)
	run(nil, nil, "init", "-q", "--bare", to)
	began := time.Now()
	run(&stream, nil, "--git-dir="+to, "fast-import", "--quiet")
	return time.Since(began)
}

// withCheckpoints copies a stream for git fast-import (see there) with a checkpoint
// after every 1,000 commits.
func withCheckpoints(b *testing.B, from io.Reader, to *bytes.Buffer) {
	b.Helper()
	commits := 0
	for r := bufio.NewReader(from); ; {
		line, err := r.ReadString('\n')
		if strings.HasPrefix(line, "commit ") {
			if commits++; commits%1000 == 0 {
				to.WriteString("checkpoint\n\n")
			}
		}
		to.WriteString(line)
		if n, isData := strings.CutPrefix(line, "data "); isData {
			size, err := strconv.ParseInt(strings.TrimSpace(n), 10, 64)
			if err == nil {
				_, err = io.CopyN(to, r, size)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// benchBesideLoad lets 64 machines report deltas as fast as they are answered, and
// counts the commits of the mirror meanwhile.
func benchBesideLoad(b *testing.B) {
	const each = 300
	for b.Loop() {
		b.StopTimer()
		s, addr := benchServer(b, store.Config{})
		clients := make([]rollcallv1.AgentsClient, benchClients)
		signed := make([][][]byte, benchClients)
		for i := range clients {
			var m *sim.Machine
			m, clients[i] = benchMachine(b.Context(), b, s, addr, i)
			for n := range each + 1 {
				m.Upgrade(n*7+i, n+1)
				env, err := m.Report(n == 0)
				if err != nil {
					b.Fatal(err)
				}
				signed[i] = append(signed[i], env)
			}
			benchSubmit(b, clients[i], signed[i][0])
		}
		waitMirrored(b, s)
		before, began := s.mirror.Stats().Commits, time.Now()
		b.StartTimer()
		var wg sync.WaitGroup
		for i, c := range clients {
			wg.Go(func() {
				for _, env := range signed[i][1:] {
					benchSubmit(b, c, env)
				}
			})
		}
		wg.Wait()
		took := time.Since(began).Seconds()
		b.ReportMetric(float64(s.mirror.Stats().Commits-before)/took, "commits/s")
		b.ReportMetric(benchClients*each/took, "reports/s")
		b.StopTimer()
		waitMirrored(b, s)
		b.ReportMetric(time.Since(began).Seconds()-took, "behind-s")
		b.StartTimer()
	}
}

func waitMirrored(b *testing.B, s *Server) {
	b.Helper()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		n, err := s.mirror.Backlog(b.Context())
		if err != nil || time.Since(began) > time.Minute {
			b.Fatal(fmt.Errorf("%d revisions are not mirrored: %w", n, err))
		}
		if n == 0 {
			return
		}
	}
}
