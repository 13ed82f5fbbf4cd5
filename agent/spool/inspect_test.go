package spool

import (
	"os"
	"path/filepath"
	"testing"
)

// TestEachBrokenSpoolIsCaughtByItsRule damages a spool in the way that a rule is
// about. Inspect must say so, under that rule and no other.
func TestEachBrokenSpoolIsCaughtByItsRule(t *testing.T) {
	tests := []struct {
		rule, name string
		bend       func(dir string) error
	}{
		{"", "nothing", func(string) error { return nil }},
		{RuleNoGap, "a report is gone from the middle", func(dir string) error {
			return os.Remove(filepath.Join(dir, entry{seq: 3}.name()))
		}},
		{RuleNoGap, "the first that waits is gone", func(dir string) error {
			return os.Remove(filepath.Join(dir, entry{seq: 2}.name()))
		}},
		{RuleNoGap, "a report is cut", func(dir string) error {
			return os.Truncate(filepath.Join(dir, entry{seq: 4}.name()), 60)
		}},
		{RuleNoReuse, "the record of used numbers is old", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, seqFile), []byte("2"), 0o600)
		}},
		{RuleNoReuse, "the record of used numbers is gone", func(dir string) error {
			return os.Remove(filepath.Join(dir, seqFile))
		}},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		s, srv, k := mustOpen(t, dir, Options{}), newServer(t), newKey(t)
		for n := range 4 {
			_, err := add(t, s, k, n, start)
			must(t, err)
			if n == 0 {
				must(t, drain(t, s, srv))
			}
		}
		must(t, s.Close())
		must(t, tt.bend(dir))
		in, err := Inspect(dir)
		if err != nil || in.Acked != 1 {
			t.Errorf("%s: acknowledged %d, %v", tt.name, in.Acked, err)
		}
		for rule, errs := range in.Faults {
			if rule != tt.rule {
				t.Errorf("%s: breaks %s: %v", tt.name, rule, errs)
			}
		}
		if tt.rule != "" && len(in.Faults[tt.rule]) == 0 {
			t.Errorf("%s: not caught by %s", tt.name, tt.rule)
		}
	}
}

func TestASpoolOfTheFirstMomentIsSound(t *testing.T) {
	dir := t.TempDir()
	must(t, mustOpen(t, dir, Options{}).Close())
	if in, err := Inspect(dir); err != nil || len(in.Faults) > 0 || in.Acked != 0 {
		t.Errorf("%+v, %v", in, err)
	}
}
