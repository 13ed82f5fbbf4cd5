package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rollcall/internal/identity"
	"rollcall/internal/seal"
	"rollcall/server/archive"
	"rollcall/server/evidence"
	"rollcall/server/store"
	"rollcall/server/store/bolt"
)

// ErrNotEmpty is returned by Restore and Import where something could be lost.
var ErrNotEmpty = errors.New("the data folder is not empty: name another with --data, or move it away first")

// restorePrefix begins the name of the folder in which Restore works.
const restorePrefix = ".restore-"

// Restore makes the data folder from a backup. It is refused where the folder
// holds anything but what an earlier Restore left half done, which is removed:
// a Restore that was killed is simply begun again. Everything is verified before
// any of it takes its place: each member against the manifest, and the store as
// Check does. The server's key comes last, so that there is no server before all
// is there. The evidence log gets a leaf that tells of it.
func Restore(ctx context.Context, cfg Config, name string, ids seal.Identities) (m archive.Manifest, rep Report, err error) {
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return m, rep, fmt.Errorf("make data folder: %w", err)
	}
	if err := os.Chmod(cfg.Data, 0o700); err != nil {
		return m, rep, fmt.Errorf("make data folder: %w", err)
	}
	if err := clearHalf(cfg); err != nil {
		return m, rep, err
	}
	work, err := newWork(cfg, strings.Trim(restorePrefix, ".-"))
	if err != nil {
		return m, rep, err
	}
	defer func() { err = errors.Join(err, work.remove()) }()
	err = archive.Open(ctx, name, ids, func(r io.Reader) (err error) {
		m, err = archive.ReadBackup(r, func(name string, r io.Reader) error { return extract(filepath.Join(work.dir, name), r) })
		return err
	})
	if err != nil {
		return m, rep, err
	}
	restored := cfg
	restored.Data = work.dir
	if m.Tenant != cfg.Tenant {
		return m, rep, fmt.Errorf("restore: the backup is of tenant %q, the configuration says %q: set tenant", m.Tenant, cfg.Tenant)
	}
	if rep, err = Check(ctx, restored); err != nil || len(rep.Faults) > 0 {
		return m, rep, err
	}
	switch pin, err := pinOf(restored); {
	case err != nil:
		return m, rep, err
	case pin != m.Pin:
		return m, rep, fmt.Errorf("restore: the key in the backup has pin %s, its manifest says %s", pin, m.Pin)
	}
	if rep.Leaves > 0 { // a log that begins later says so by itself
		if err := tellOfRestore(ctx, restored, m); err != nil {
			return m, rep, err
		}
	}
	return m, rep, place(work.dir, cfg, m.Files)
}

// tellOfRestore appends a leaf: what follows it was recorded by a server that has
// lost what it had recorded after the backup.
func tellOfRestore(ctx context.Context, cfg Config, m archive.Manifest) error {
	e, err := bolt.Open(cfg.database(), bolt.Options{})
	if err != nil {
		return err
	}
	entry := evidence.Entry{Kind: evidence.ServerState, By: "rollcall-server restore", Detail: map[string]string{
		"do": "restore", "backup": m.Made.UTC().Format(time.RFC3339), "log": m.Log,
	}}
	err = e.Update(ctx, func(tx store.Tx) error {
		_, err := evidence.In(tx, cfg.Tenant).Append(time.Now(), entry)
		return err
	})
	return errors.Join(err, e.Close())
}

// clearHalf returns ErrNotEmpty unless the folder is empty or holds what an
// interrupted Restore left: its folder, and perhaps members beside it, but no
// server's key, which it puts in place last.
func clearHalf(cfg Config) error {
	entries, err := os.ReadDir(cfg.Data)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	interrupted := slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.IsDir() && strings.HasPrefix(e.Name(), restorePrefix) })
	var half []string
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), restorePrefix) {
			w, err := lockWork(filepath.Join(cfg.Data, e.Name()))
			if err != nil {
				return fmt.Errorf("restore: another one is at work there: %w", err)
			}
			if err := w.lock.Close(); err != nil {
				return fmt.Errorf("restore: %w", err)
			}
		}
	}
	for _, e := range entries {
		name := e.Name()
		member := e.Type().IsRegular() && (name == archive.Store || archive.IsKey(name)) && filepath.Join(cfg.Data, name) != cfg.KeyFile()
		switch {
		case e.IsDir() && strings.HasPrefix(name, restorePrefix): // newWork removes it
		case interrupted && member:
			half = append(half, name)
		default:
			return fmt.Errorf("restore into %s: %q is in it: %w", cfg.Data, name, ErrNotEmpty)
		}
	}
	for _, name := range half {
		if err := os.Remove(filepath.Join(cfg.Data, name)); err != nil {
			return fmt.Errorf("restore: remove what was left half done: %w", err)
		}
	}
	return nil
}

// extract writes one member durably.
func extract(name string, r io.Reader) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(f, r, make([]byte, 1<<20))
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// place moves members of a folder inside of the data folder to where they
// belong, the server's key last.
func place(from string, cfg Config, members map[string]archive.Member) error {
	owner, err := ownerOf(cfg.Data)
	if err != nil {
		return err
	}
	last := filepath.Base(cfg.KeyFile())
	names := slices.Sorted(maps.Keys(members))
	if i := slices.Index(names, last); i >= 0 {
		names = append(slices.Delete(names, i, i+1), last)
	}
	for _, name := range names {
		if name == last { // all else is there before it
			if err := identity.SyncDir(cfg.Data); err != nil {
				return err
			}
		}
		if os.Getuid() == 0 { // the server runs as the user whose folder it is
			if err := os.Lchown(filepath.Join(from, name), owner.uid, owner.gid); err != nil {
				return fmt.Errorf("put %s in its place: %w", name, err)
			}
		}
		if err := os.Rename(filepath.Join(from, name), filepath.Join(cfg.Data, name)); err != nil {
			return fmt.Errorf("put %s in its place: %w", name, err)
		}
	}
	return identity.SyncDir(cfg.Data)
}

type user struct{ uid, gid int }

func ownerOf(dir string) (user, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return user{}, fmt.Errorf("owner of %s: %w", dir, err)
	}
	return user{int(st.Uid), int(st.Gid)}, nil
}
