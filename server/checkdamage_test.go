package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"rollcall/server/store"
	"rollcall/server/store/bolt"
	"rollcall/server/store/storetest"
)

// scrubbed makes a data folder in whose store every page that is not zero is in
// use: what bbolt's free pages hold is no data, and cannot be damaged.
func scrubbed(t *testing.T) (cfg Config, good []byte) {
	t.Helper()
	cfg = lived(t)
	if _, err := bolt.Scrub(t.Context(), cfg.database()); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(cfg.database())
	if err != nil {
		t.Fatal(err)
	}
	return cfg, good
}

// many is the number of damages: the long form with make torture.
func many(short int) int {
	if os.Getenv("ROLLCALL_TORTURE") != "" {
		return 10 * short
	}
	return short
}

// examine checks a damaged store, and opens a server on it: neither may panic.
func examine(t *testing.T, cfg Config) (faults []Fault, err error) {
	t.Helper()
	rep, err := Check(t.Context(), cfg)
	s, oerr := New(t.Context(), cfg, "test", slog.New(slog.DiscardHandler))
	if oerr == nil {
		oerr = s.engine.Close()
	}
	_ = oerr // a damaged store may be refused
	return rep.Faults, err
}

// Whatever bit of a record has flipped: check finds it and names the record.
func TestAFlippedBitInARecordIsFoundAndTheRecordNamed(t *testing.T) {
	cfg, good := scrubbed(t)
	all, err := records(t.Context(), cfg.database())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name, v := range all {
		if bytes.Count(good, []byte(v)) == 1 {
			names = append(names, name)
		}
	}
	if len(names) < 100 {
		t.Fatalf("only %d records can be told from others", len(names))
	}
	rnd := rand.New(rand.NewPCG(storetest.Seed(t), 11))
	for range many(200) {
		name := names[rnd.IntN(len(names))]
		value := []byte(all[name])
		at := bytes.Index(good, value) + rnd.IntN(len(value))
		patch(t, cfg, int64(at), []byte{good[at] ^ 1<<rnd.IntN(8)})
		space, key, _ := strings.Cut(name, " ")
		rep, err := Check(t.Context(), cfg)
		want := fmt.Sprintf("%.200s", fmt.Sprintf("%s %q", space, key))
		named := err != nil && strings.Contains(err.Error(), want)
		for _, f := range rep.Faults {
			named = named || strings.Contains(f.Text, want)
		}
		if !named {
			t.Errorf("byte %d of %s: %v, %v: the record is not named", at, want, rep.Faults, err)
		}
		patch(t, cfg, int64(at), good[at:at+1])
	}
}

// A page that is gone, or a file that is cut, is found, and neither a check nor a
// server that is started on it panics.
func TestZeroedPagesAndCutFilesAreFound(t *testing.T) {
	cfg, good := scrubbed(t)
	page := os.Getpagesize()
	var live []int
	for i := range len(good) / page {
		if len(bytes.Trim(good[i*page:(i+1)*page], "\x00")) > 0 {
			live = append(live, i)
		}
	}
	rnd := rand.New(rand.NewPCG(storetest.Seed(t), 13))
	for range many(50) {
		i := live[rnd.IntN(len(live))]
		patch(t, cfg, int64(i*page), make([]byte, page))
		if faults, err := examine(t, cfg); err == nil && len(faults) == 0 {
			t.Errorf("page %d is zero, and nobody notices", i)
		}
		restoreFile(t, cfg, good)
	}
	last := (live[len(live)-1] + 1) * page
	for range many(20) {
		n := rnd.IntN(last)
		if err := os.Truncate(cfg.database(), int64(n)); err != nil {
			t.Fatal(err)
		}
		if faults, err := examine(t, cfg); err == nil && len(faults) == 0 {
			t.Errorf("the file ends after %d of %d bytes, and nobody notices", n, last)
		}
		restoreFile(t, cfg, good)
	}
	if faults, err := examine(t, cfg); err != nil || len(faults) > 0 {
		t.Errorf("the undamaged store: %v, %v", faults, err)
	}
}

func patch(t *testing.T, cfg Config, at int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(cfg.database(), os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt(b, at)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func restoreFile(t *testing.T, cfg Config, b []byte) {
	t.Helper()
	if err := os.WriteFile(cfg.database(), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// What leads to CIs and contents, and what their history leads to, is computed
// anew: a record that is whole and wrong is found.
func TestWrongIndexesAndWrongFoldsAreFound(t *testing.T) {
	cfg := lived(t)
	good, err := os.ReadFile(cfg.database())
	if err != nil {
		t.Fatal(err)
	}
	all, err := records(t.Context(), cfg.database())
	if err != nil {
		t.Fatal(err)
	}
	first := func(prefix string) (store.Key, []byte) {
		for name, v := range all {
			if rest, ok := strings.CutPrefix(name, prefix); ok {
				space := store.Unique
				if strings.HasPrefix(prefix, "ci ") {
					space = store.CI
				}
				_, key, _ := strings.Cut(name, " ")
				k := store.Key{Space: space, K: []byte(key)}
				_, payload, err := store.Unframe(k, []byte(v))
				if err != nil || rest == "" {
					t.Fatal(err)
				}
				return k, payload
			}
		}
		t.Fatalf("no record %s", prefix)
		return store.Key{}, nil
	}
	name, id := first("unique main/name/")
	md5, content := first("unique main/md5/")
	head, ci := first("ci main/")
	tests := []struct {
		name  string
		key   store.Key
		value []byte
		rule  Rule
	}{
		{"a second name", store.At(store.Unique, "main/name/ghost"), id, RuleIndex},
		{"a name of no CI", name, []byte("ci00000000000000000000"), RuleIndex},
		{"a folder of another CI", store.At(store.Unique, "main/folder/elm/ghost"), id, RuleIndex},
		{"an MD5 of another content", store.At(store.Unique, "main/md5/", strings.Repeat("0", 32)), content, RuleIndex},
		{"an MD5 of no content", md5, []byte(`{"content":"` + strings.Repeat("00", 32) + `","stamp":1}`), RuleBlobs},
		{"another owner", head, bytes.Replace(ci, []byte("ownerola"), []byte("ownerper"), 1), RuleState},
	}
	version := func(k store.Key) byte {
		if k.Space == store.CI {
			return 2 // heads have a compact form
		}
		return 1
	}
	for _, tt := range tests {
		restoreFile(t, cfg, good)
		e, err := bolt.Open(cfg.database(), bolt.Options{})
		if err == nil {
			err = e.Update(context.Background(), func(tx store.Tx) error { return tx.Put(tt.key, store.Frame(tt.key, version(tt.key), tt.value)) })
		}
		if err := errors.Join(err, e.Close()); err != nil {
			t.Fatal(err)
		}
		rep, err := Check(t.Context(), cfg)
		found := false
		for _, f := range rep.Faults {
			found = found || f.Rule == tt.rule
		}
		if err != nil || !found {
			t.Errorf("%s: %v, %v; want a fault under %s", tt.name, rep.Faults, err, tt.rule)
		}
	}
}
