package collect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// made is a collector "x" that owns "hw/x/" and runs f.
func made(f func(ctx context.Context, s *Sink) error) Collector {
	return Collector{Name: "x", Owns: []string{"hw/x/"}, Collect: func(ctx context.Context, _ Host, s *Sink) error {
		return f(ctx, s)
	}}
}

func testHost(files fs.FS) Host { return Host{FS: files, Now: time.Now} }

func TestStateTellsHowACollectorEnded(t *testing.T) {
	tests := []struct {
		name string
		run  func(ctx context.Context, s *Sink) error
		want State
	}{
		{"nil is ok", func(context.Context, *Sink) error { return nil }, OK},
		{"a missing file is not here", func(context.Context, *Sink) error { return fs.ErrNotExist }, NotHere},
		{"a refused file is no permission", func(context.Context, *Sink) error { return fmt.Errorf("x: %w", fs.ErrPermission) }, NoPermission},
		{"one denied value is no permission", func(_ context.Context, s *Sink) error { s.Denied("sys/x"); return nil }, NoPermission},
		{"any other error is failed", func(context.Context, *Sink) error { return errors.New("odd") }, Failed},
		{"a panic is failed", func(context.Context, *Sink) error { panic("odd") }, Failed},
		{"a foreign fact is failed", func(_ context.Context, s *Sink) error { s.Fact("pkg/x", "1"); return nil }, Failed},
		{"a deadline noticed is timed out", func(context.Context, *Sink) error { return context.DeadlineExceeded }, TimedOut},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := made(func(ctx context.Context, s *Sink) error {
				s.Fact("hw/x/before", "kept")
				return tt.run(ctx, s)
			})
			got := Run(t.Context(), testHost(fstest.MapFS{}), []Collector{c})
			if got.Status[0].State != tt.want {
				t.Errorf("state = %q (%s), want %q", got.Status[0].State, got.Status[0].Detail, tt.want)
			}
			if v, _ := got.Facts.Get("hw/x/before"); v != "kept" || len(got.Facts) != 1 {
				t.Errorf("facts = %v, want only the one put before", got.Facts)
			}
		})
	}
}

func TestHangingCollectorDelaysNobodyAndIsNotStartedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		starts := 0
		hang := Collector{Name: "hang", Owns: []string{"hw/hang/"}, Timeout: 2 * time.Second, Collect: func(_ context.Context, _ Host, s *Sink) error {
			starts++
			s.Fact("hw/hang/first", "got")
			<-release // a system call that does not return
			s.Fact("hw/hang/late", "ignored")
			return nil
		}}
		cs := []Collector{hang}
		for i := range 6 {
			cs = append(cs, Collector{Name: fmt.Sprint(i), Owns: []string{"id/"}, Collect: func(_ context.Context, _ Host, s *Sink) error {
				s.Fact(Path("id", fmt.Sprint(i)), "here")
				return nil
			}})
		}
		var r Runner
		begin := time.Now()
		first := r.Run(t.Context(), testHost(fstest.MapFS{}), cs, Memory{})
		if took := time.Since(begin); took != 2*time.Second {
			t.Errorf("first run took %v, want the hanging collector's 2s", took)
		}
		if first.Status[0].State != TimedOut || first.Status[0].Took != 2*time.Second {
			t.Errorf("hanging collector: %+v", first.Status[0])
		}
		if _, ok := first.Facts.Get("hw/hang/first"); !ok || len(first.Facts) != 7 {
			t.Errorf("facts = %v, want what was got and six others", first.Facts)
		}
		begin = time.Now()
		second := r.Run(t.Context(), testHost(fstest.MapFS{}), cs, first.Memory)
		if took := time.Since(begin); took != 0 {
			t.Errorf("second run took %v, want no wait for a collector known to hang", took)
		}
		if second.Status[0].State != TimedOut || starts != 1 {
			t.Errorf("second run: %+v, %d starts", second.Status[0], starts)
		}
		close(release)
		synctest.Wait()
		third := r.Run(t.Context(), testHost(fstest.MapFS{}), cs, second.Memory)
		if third.Status[0].State != OK || starts != 2 {
			t.Errorf("after it returned: %+v, %d starts, want it to run again", third.Status[0], starts)
		}
	})
}

func TestAtMostThreeCollectorsRunAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := make(chan struct{}, 100)
		most := make(chan int, 100)
		var cs []Collector
		for i := range 10 {
			cs = append(cs, Collector{Name: fmt.Sprint(i), Collect: func(context.Context, Host, *Sink) error {
				busy <- struct{}{}
				time.Sleep(time.Second)
				most <- len(busy)
				<-busy
				return nil
			}})
		}
		Run(t.Context(), testHost(fstest.MapFS{}), cs)
		close(most)
		for n := range most {
			if n > atOnce {
				t.Fatalf("%d collectors at once, want at most %d", n, atOnce)
			}
		}
	})
}

func TestNothingStartsAfterTheContextEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := made(func(context.Context, *Sink) error { t.Error("started"); return nil })
	if got := Run(ctx, testHost(fstest.MapFS{}), []Collector{c}); got.Status[0].State != TimedOut {
		t.Errorf("state = %q, want timed out", got.Status[0].State)
	}
}

func TestSinkMakesOutsideStringsInert(t *testing.T) {
	c := made(func(_ context.Context, s *Sink) error {
		s.Fact(Path("hw", "x", "a/b\x1b"), " red\x1b[31m \n")
		s.Fact(Path("hw", "x", "empty"), " \n")
		s.Measure(Path("free", "/srv"), "12\x00")
		s.Event(time.Unix(1, 0), "dpkg", "upgrade\r\nx")
		return nil
	})
	got := Run(t.Context(), testHost(fstest.MapFS{}), []Collector{c})
	if v, _ := got.Facts.Get("hw/x/a%2Fb%1B"); v != "red%1B[31m" || len(got.Facts) != 1 {
		t.Errorf("facts = %v", got.Facts)
	}
	if v, _ := got.Measurements.Get("m/free/%2Fsrv"); v != "12%00" {
		t.Errorf("measurements = %v", got.Measurements)
	}
	if got.Events[0].Text != "upgrade%0D%0Ax" {
		t.Errorf("event = %q", got.Events[0].Text)
	}
}

func TestCollectorsHaveNamesAndPrefixesOfTheirOwn(t *testing.T) {
	names := map[string]bool{}
	var owned []string
	for _, c := range All() {
		if c.Name == "" || names[c.Name] || c.Collect == nil {
			t.Errorf("collector %q: name missing or taken, or nothing to collect", c.Name)
		}
		names[c.Name] = true
		for _, p := range c.Owns {
			if slices.Contains(owned, p) {
				t.Errorf("collector %q: prefix %q has two owners", c.Name, p)
			}
			owned = append(owned, p)
		}
	}
}
