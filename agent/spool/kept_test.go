package spool

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
)

// acked makes a spool whose server has acknowledged n reports, an hour apart.
func acked(t *testing.T, dir string, o Options, n int) (*Spool, *server, identity.Key) {
	t.Helper()
	s, srv, k := mustOpen(t, dir, o), newServer(t), newKey(t)
	for i := range n {
		_, err := add(t, s, k, i, start.Add(time.Duration(i)*time.Hour))
		must(t, err)
		must(t, drain(t, s, srv))
	}
	return s, srv, k
}

func TestAcknowledgedReportsStayWithinTheirBounds(t *testing.T) {
	for _, tt := range []struct {
		name     string
		opt      Options
		reports  int
		most     int
		min, max int64
	}{
		{"a week", Options{}, 180, 168 + 1, 1, DefaultKeepBytes},
		{"a day", Options{KeepAge: 24 * time.Hour}, 40, 24 + 1, 1, DefaultKeepBytes},
		{"few bytes", Options{KeepBytes: 3000}, 40, 40, 1, 3000},
		{"a small spool", Options{MaxBytes: 2500}, 40, 40, 1, 2500},
		{"none", Options{KeepBytes: -1}, 40, 0, 0, 0},
	} {
		dir := memoryDir(t)
		s, srv, _ := acked(t, dir, tt.opt, tt.reports)
		check := func(s *Spool) {
			t.Helper()
			if n := len(s.kept); n > tt.most || s.keptBytes() < tt.min || s.keptBytes() > tt.max {
				t.Errorf("%s: %d reports of %d bytes are kept, want at most %d, %d to %d bytes", tt.name, n, s.keptBytes(), tt.most, tt.min, tt.max)
			}
			for i, e := range s.kept {
				if i > 0 && string(e.prev) != string(s.kept[i-1].hash[:]) {
					t.Errorf("%s: what is kept has a gap before report %d", tt.name, e.seq)
				}
			}
			if n := len(s.kept); n > 0 && s.kept[n-1].hash != srv.last {
				t.Errorf("%s: the last one kept is not the last acknowledged", tt.name)
			}
			if n, err := s.files.list(""); err != nil || len(n) > tt.most+8 {
				t.Errorf("%s: %d files, %v", tt.name, len(n), err)
			}
			if len(s.contents) > len(s.kept) {
				t.Errorf("%s: %d contents for %d reports", tt.name, len(s.contents), len(s.kept))
			}
		}
		check(s)
		must(t, s.Close())
		s = mustOpen(t, dir, tt.opt)
		check(s)
		must(t, s.Tidy(start.Add(365*24*time.Hour)))
		if len(s.kept) != 0 || len(s.contents) != 0 || s.KeptFrom() != 0 {
			t.Errorf("%s: after a year %d reports and %d contents are kept", tt.name, len(s.kept), len(s.contents))
		}
		must(t, s.Close())
	}
}

func TestSinceReachesBackAsFarAsReportsAreKept(t *testing.T) {
	dir := memoryDir(t)
	s, srv, k := acked(t, dir, Options{}, 3)
	if seqs, ok := s.Since(nil); !ok || len(seqs) != 3 {
		t.Errorf("from the first one on: %v, %v", seqs, ok)
	}
	if seqs, ok := s.Since(srv.last[:]); ok {
		t.Errorf("after the last one: %v", seqs)
	}
	if _, ok := s.Since(make([]byte, 32)); ok {
		t.Error("what follows an unknown report is known")
	}
	first := s.kept[0]
	if seqs, ok := s.Since(first.hash[:]); !ok || len(seqs) != 2 {
		t.Errorf("after the first one: %v, %v", seqs, ok)
	}
	must(t, os.WriteFile(filepath.Join(dir, s.kept[1].name()), []byte("damaged"), 0o600))
	if _, err := s.Kept(s.kept[1].seq); !errors.Is(err, ErrNotKept) {
		t.Errorf("a damaged one: %v, want ErrNotKept", err)
	}
	must(t, s.Close())
	s = mustOpen(t, dir, Options{})
	if len(s.kept) != 1 || len(s.Problems()) != 0 {
		t.Errorf("%d kept after one was damaged, want what follows it", len(s.kept))
	}
	must(t, s.Forget())
	if n := s.KeptFrom(); n != 0 || len(s.contents) != 0 {
		t.Errorf("after Forget: %d, %d contents", n, len(s.contents))
	}
	_, err := add(t, s, k, 9, start)
	must(t, err)
	must(t, drain(t, s, srv))
	if _, err := s.Content(fact.Digest(hashOf(content(9)))); err != nil {
		t.Errorf("the content of an acknowledged report: %v", err)
	}
}
