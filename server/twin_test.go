package server

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/store"
	"rollcall/server/store/bolt"
)

// twin is a copy of a data folder, to be broken.
type twin struct {
	t   *testing.T
	cfg Config
}

func newTwin(t *testing.T, of Config) *twin {
	t.Helper()
	w := &twin{t, of}
	w.cfg.Data = filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(w.cfg.Data, os.DirFS(of.Data)); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{w.cfg.KeyFile(), w.cfg.LogKeyFile()} {
		if err := os.Chmod(key, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *twin) copy(from, to string) {
	w.t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *twin) open(fn func(*bolt.Engine) error) {
	w.t.Helper()
	e, err := bolt.Open(w.cfg.database(), bolt.Options{})
	if err == nil {
		err = fn(e)
	}
	if err == nil {
		err = e.Close()
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *twin) update(fn func(store.Tx) error) {
	w.t.Helper()
	w.open(func(e *bolt.Engine) error { return e.Update(w.t.Context(), fn) })
}

func (w *twin) view(fn func(store.Reader) error) {
	w.t.Helper()
	w.open(func(e *bolt.Engine) error { return e.View(w.t.Context(), fn) })
}

// edit hands every value of the tenant to bend; what comes back as nil goes.
func (w *twin) edit(bend func(k store.Key, v []byte) []byte) {
	w.t.Helper()
	next := map[string][]byte{}
	keys := map[string]store.Key{}
	w.view(func(r store.Reader) error {
		for _, s := range store.Spaces {
			for p, err := range r.Scan(s, nil, nil, 0) {
				if err != nil {
					return err
				}
				k := store.Key{Space: s, K: bytes.Clone(p.K)}
				if v := bend(k, bytes.Clone(p.V)); !bytes.Equal(v, p.V) {
					next[k.String()], keys[k.String()] = v, k
				}
			}
		}
		return nil
	})
	if len(next) == 0 {
		w.t.Fatal("nothing was damaged")
	}
	w.update(func(tx store.Tx) error {
		for name, v := range next {
			var err error
			if v == nil {
				err = tx.Delete(keys[name])
			} else {
				err = tx.Put(keys[name], v)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// key returns an enrolled key.
func (w *twin) key() (key enrol.Key) {
	w.t.Helper()
	w.view(func(r store.Reader) error {
		keys, err := enrol.At(r, "main").Keys("")
		if err == nil {
			key = keys[0]
		}
		return err
	})
	return key
}

// editCI changes the head of one CI.
func (w *twin) editCI(bend func(*cmdb.CI)) {
	w.t.Helper()
	key := store.At(store.CI, "main/", w.key().CI)
	w.update(func(tx store.Tx) error {
		var ci cmdb.CI
		_, err := store.GetJSON(tx, key, &ci)
		if err != nil {
			return err
		}
		bend(&ci)
		return store.PutJSON(tx, key, ci)
	})
}

// drop removes the blob of a kind that holds some bytes.
func (w *twin) drop(kind string, content []byte) {
	w.t.Helper()
	var gone []byte
	w.view(func(r store.Reader) error {
		return store.Blobs(r, "main", func(k string, name fact.Digest, b []byte) error {
			if k == kind && bytes.Contains(b, content) {
				gone = slices.Concat([]byte("main/"+kind+"/"), name[:], []byte("/\x00\x00"))
			}
			return nil
		})
	})
	if gone == nil {
		w.t.Fatalf("no %s holds %q", kind, content)
	}
	w.update(func(tx store.Tx) error { return tx.Delete(store.Key{Space: store.Blob, K: gone}) })
}

// git runs git on the mirror of the one school.
func (w *twin) git(args ...string) {
	w.t.Helper()
	c := exec.CommandContext(context.WithoutCancel(w.t.Context()), "git", append([]string{"--git-dir", filepath.Join(w.cfg.mirrorDir(), "elm.git")}, args...)...)
	if out, err := c.CombinedOutput(); err != nil {
		w.t.Fatalf("git %v: %v: %s", args, err, out)
	}
}
