package mirror

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/store"
)

// world is a store with machines that change, deterministic from call to call.
type world struct {
	memStore
	sets     map[fact.Digest]fact.Set
	contents map[fact.Digest][]byte
	defaults map[string]pristine
	revs     []Rev
	at       map[string]int // "ci/n"
	last     map[string]Rev
	facts    map[string]map[string]string // by CI
	clock    int64
	unshared bool
	wholes   map[string]fact.Digest // by section
	told     map[fact.Digest]Facts
}

type pristine struct {
	content []byte
	since   int64
}

func newWorld() *world {
	return &world{
		memStore: memStore{data: map[string][]byte{}},
		sets:     map[fact.Digest]fact.Set{},
		contents: map[fact.Digest][]byte{},
		defaults: map[string]pristine{},
		at:       map[string]int{},
		last:     map[string]Rev{},
		facts:    map[string]map[string]string{},
		clock:    1_700_000_000_000_000_000,
		wholes:   map[string]fact.Digest{},
		told:     map[fact.Digest]Facts{},
	}
}

// plain stores a content and returns the value of its fact.
func (w *world) plain(content string, mode uint32) string {
	d := fact.Digest(sha256.Sum256([]byte(content)))
	w.contents[d] = []byte(content)
	return fact.File{Kind: fact.KindPlain, Digest: d, Mode: fact.FileMode(mode), Owner: "root", Group: "root"}.String()
}

func (w *world) sealed(content string) string {
	d := fact.Digest(sha256.Sum256([]byte(content)))
	w.contents[d] = []byte(content)
	return fact.File{Kind: fact.KindSealed, Digest: d, Fingerprint: "abcd", Mode: 0o640, Owner: "root", Group: "shadow"}.String()
}

func link(target string) string {
	return fact.File{Kind: fact.KindLink, Target: target, Mode: 0o777, Owner: "root", Group: "root"}.String()
}

// modified gives the value of a conffile fact for a default content.
func modified(pkg, content string) string {
	return fact.ConffileDrift{Drift: fact.Modified, Package: pkg, Pristine: md5.Sum([]byte(content))}.String()
}

func (w *world) knowDefault(content string) {
	sum := md5.Sum([]byte(content))
	w.defaults[hex.EncodeToString(sum[:])] = pristine{[]byte(content), w.clock}
}

// record makes a revision of a CI: facts with empty values are dropped.
func (w *world) record(ci, repo string, facts map[string]string) Rev {
	return w.recordAs(ci, ci, repo, ci, facts)
}

func (w *world) recordAs(ci, name, repo, folder string, facts map[string]string) Rev {
	w.clock += 1_500_000_000
	prev := w.last[ci]
	if w.facts[ci] == nil {
		w.facts[ci] = map[string]string{}
	}
	for path, v := range facts {
		if v == "" {
			delete(w.facts[ci], path)
		} else {
			w.facts[ci][path] = v
		}
	}
	r := Rev{
		CI: ci, N: prev.N + 1, Stamp: w.clock, Name: name, Class: "workstation", Site: repo + "/b1",
		By: "agent 0123", Report: fmt.Sprintf("%064x", w.clock),
		Repo: repo, Folder: folder, PrevRepo: prev.Repo, PrevFolder: prev.Folder,
		Prev: prev.State, State: w.state(w.facts[ci]),
	}
	w.last[ci] = r
	w.at[fmt.Sprint(ci, "/", r.N)] = len(w.revs)
	w.revs = append(w.revs, r)
	w.queue(r)
	return r
}

func (w *world) queue(r Rev) {
	key := store.At(store.Record, "t"+outboxPrefix, string(binary.BigEndian.AppendUint64(nil, uint64(r.Stamp))), r.CI)
	w.data[string(key.K)] = store.Frame(key, 1, binary.BigEndian.AppendUint64(nil, r.N))
}

func (w *world) state(facts map[string]string) fact.State {
	var all []fact.Fact
	for path, v := range facts {
		all = append(all, fact.Fact{Path: path, Value: v})
	}
	s := fact.State{}
	for name, set := range fact.Split(all) {
		d := set.Digest()
		w.sets[d] = set
		s[name] = d
	}
	return s
}

func (w *world) Revision(_ context.Context, ci string, n uint64) (Rev, error) {
	i, ok := w.at[fmt.Sprint(ci, "/", n)]
	if !ok {
		return Rev{}, fmt.Errorf("no revision %d", n)
	}
	return w.revs[i], nil
}

func (w *world) Revisions(context.Context) iter.Seq2[Rev, error] {
	return func(yield func(Rev, error) bool) {
		for _, r := range w.revs {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// Set gives every set as what it has otherwise than the first one of its section,
// unless the world is one where nobody shares anything.
func (w *world) Set(_ context.Context, d fact.Digest) (Facts, error) {
	s, ok := w.sets[d]
	if !ok {
		return Facts{}, fmt.Errorf("no set %s", d)
	}
	if w.unshared {
		return Facts{Base: s}, nil
	}
	if len(s) == 0 {
		return Facts{}, nil
	}
	if f, ok := w.told[d]; ok {
		return f, nil
	}
	first, ok := w.wholes[s[0].Section()]
	if !ok {
		first = d
		w.wholes[s[0].Section()] = d
	}
	f := Facts{Whole: first, Base: w.sets[first]}
	for _, c := range diffSets(f.Base, s) {
		if c.is {
			f.Put = append(f.Put, fact.Fact{Path: c.path, Value: c.new})
		} else {
			f.Drop = append(f.Drop, c.path)
		}
	}
	w.told[d] = f
	return f, nil
}

func (w *world) Content(_ context.Context, d fact.Digest) ([]byte, error) {
	c, ok := w.contents[d]
	if !ok {
		return nil, fmt.Errorf("no content %s", d)
	}
	return c, nil
}

func (w *world) Pristine(_ context.Context, _, sum string, at int64) ([]byte, bool, error) {
	p, ok := w.defaults[sum]
	return p.content, ok && p.since < at, nil
}

func (w *world) mirror(dir string) *Mirror {
	return New(Config{
		Store: w, Source: w, Tenant: "t", Dir: dir,
		Now: func() time.Time { return time.Unix(0, w.clock) },
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
}

// memStore is as much of a store.Engine as the outbox needs.
type memStore struct {
	mu   sync.Mutex
	data map[string][]byte // space Record
}

func (s *memStore) Close() error { return nil }

func (s *memStore) View(_ context.Context, fn func(store.Reader) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fn(memReader{s.data})
}

func (s *memStore) Update(_ context.Context, fn func(store.Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	tx := memTx{memReader{maps.Clone(s.data)}}
	if err := fn(tx); err != nil {
		return err
	}
	s.data = tx.data
	return nil
}

type memReader struct{ data map[string][]byte }

func (r memReader) Get(k store.Key) ([]byte, error) { return r.data[string(k.K)], nil }

func (r memReader) GetMany(keys []store.Key) ([][]byte, error) {
	var all [][]byte
	for _, k := range keys {
		all = append(all, r.data[string(k.K)])
	}
	return all, nil
}

func (r memReader) Scan(_ store.Space, from, to []byte, limit int) iter.Seq2[store.Pair, error] {
	return func(yield func(store.Pair, error) bool) {
		n := 0
		for _, k := range slices.Sorted(maps.Keys(r.data)) {
			if bytes.Compare([]byte(k), from) < 0 || to != nil && bytes.Compare([]byte(k), to) >= 0 {
				continue
			}
			if n++; limit > 0 && n > limit {
				return
			}
			if !yield(store.Pair{K: []byte(k), V: r.data[k]}, nil) {
				return
			}
		}
	}
}

type memTx struct{ memReader }

func (t memTx) Put(k store.Key, v []byte) error { t.data[string(k.K)] = v; return nil }
func (t memTx) Delete(k store.Key) error        { delete(t.data, string(k.K)); return nil }

func drain(t *testing.T, m *Mirror) {
	t.Helper()
	if _, err := m.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// git runs the real git, with no configuration but its own.
func git(t testing.TB, dir string, args ...string) string {
	t.Helper()
	out, err := tryGit(t, dir, args...)
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return out
}

func tryGit(t testing.TB, dir string, args ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed: apt-get install git")
	}
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "safe.directory=*"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// checkRepo clones a repository and lets git look at every object.
func checkRepo(t testing.TB, path string) (clone string) {
	t.Helper()
	if out := git(t, path, "fsck", "--strict", "--full", "--no-dangling"); out != "" {
		t.Errorf("git fsck %s: %s", path, out)
	}
	clone = filepath.Join(tempDir(t), "clone")
	git(t, ".", "clone", "-q", path, clone)
	if out := git(t, clone, "status", "--porcelain"); out != "" {
		t.Errorf("the clone of %s is not clean: %s", path, out)
	}
	return clone
}

// tempDir is t.TempDir in memory where that is possible: most tests sync
// thousands of times, and only the one that cuts the power needs a disk.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "mirror-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
