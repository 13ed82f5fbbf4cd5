package server

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"rollcall/internal/identity"
	"rollcall/internal/seal"
	"rollcall/server/archive"
	"rollcall/server/evidence"
	"rollcall/server/store"
	"rollcall/server/store/bolt"
)

// ErrNoRecipient is returned by Backup where nobody could open the file.
var ErrNoRecipient = errors.New("backup: there is nobody to encrypt it to: set backup_recipient in the configuration to the public keys of two people or safes (rollcall-recovery make prints one, on a machine on no network; the private halves stay there), or make an unencrypted folder with --plain")

// BackupReport tells what Backup has made and looked at.
type BackupReport struct {
	Report    // of the snapshot in the backup
	Manifest  archive.Manifest
	File      archive.Written
	Recipient []string
	Snapshot  time.Duration // how long the copy took, beside which others wrote
	Took      time.Duration
}

// Backup makes the file name: a consistent copy of the store and of the
// server's keys, encrypted to the recipients of the configuration. The server
// may run. The snapshot is checked as Check does before it is encrypted, and the
// file is read back, decrypted and compared with its manifest before it gets its
// name; what could not be verified is no backup. A damaged store is none either:
// the report names the faults. It needs the size of the store twice for its
// time: in the data folder, where the unencrypted snapshot lies meanwhile, and
// for the file.
func Backup(ctx context.Context, cfg Config, name, version string) (rep BackupReport, err error) {
	start := time.Now()
	to, err := seal.ParseRecipients(cfg.BackupRecipients)
	if err != nil {
		return rep, fmt.Errorf("backup_recipient: %w", err)
	}
	if to.Len() == 0 {
		return rep, ErrNoRecipient
	}
	if _, err := os.Lstat(name); err == nil {
		return rep, fmt.Errorf("make %s: %w", name, fs.ErrExist)
	}
	work, err := newWork(cfg, "backup")
	if err != nil {
		return rep, err
	}
	defer func() { err = errors.Join(err, work.remove()) }()
	made := time.Now()
	if rep.Report, rep.Snapshot, err = snapshot(ctx, cfg, work.dir); err != nil {
		return rep, err
	}
	if len(rep.Faults) > 0 {
		return rep, nil
	}
	copied := cfg
	copied.Data = work.dir
	// What was deleted lies in free pages until they are used again: no backup
	// brings it back.
	if _, err := bolt.Scrub(ctx, copied.database()); err != nil {
		return rep, err
	}
	pin, err := pinOf(copied)
	if err != nil {
		return rep, err
	}
	rep.Manifest = archive.Manifest{
		Made: made.UTC(), Version: version, Tenant: cfg.Tenant, Pin: pin, Last: rep.Last,
		Items: rep.Items, Revisions: rep.Revisions, Sets: rep.Sets, Contents: rep.Contents, Records: rep.Records,
	}
	if rep.Manifest.Log, err = logEnd(ctx, copied); err != nil {
		return rep, err
	}
	rep.File, err = archive.Create(ctx, name, to,
		func(w io.Writer) error { return archive.WriteBackup(w, work.dir, &rep.Manifest) },
		func(r io.Reader) error { _, err := archive.ReadBackup(r, nil); return err })
	rep.Recipient, rep.Took = to.Names(), time.Since(start)
	return rep, err
}

// logEnd gives the number of the log's leaves and their root, in base64: what an
// auditor can compare with a checkpoint.
func logEnd(ctx context.Context, cfg Config) (text string, err error) {
	o, err := openOffline(cfg)
	if err != nil {
		return "", err
	}
	err = o.engine.View(ctx, func(r store.Reader) error {
		log := evidence.At(r, cfg.Tenant)
		n, err := log.Size()
		if err != nil || n == 0 {
			return err
		}
		root, err := log.Root(n)
		text = fmt.Sprintf("%d %s", n, base64.StdEncoding.EncodeToString(root[:]))
		return err
	})
	return text, errors.Join(err, o.engine.Close())
}

func pinOf(cfg Config) (string, error) {
	key, err := identity.LoadKey(cfg.KeyFile())
	if err != nil {
		return "", err
	}
	return identity.PinOf(identity.Public(key))
}

// BackupPlain makes a folder that holds the same without encryption: a data
// folder, from which a server can run. The copy is checked before BackupPlain
// returns; where it is damaged, it is left for whoever has nothing better.
func BackupPlain(ctx context.Context, cfg Config, dir string) (Report, error) {
	if _, err := identity.LoadKey(cfg.KeyFile()); errors.Is(err, fs.ErrNotExist) {
		return Report{}, fmt.Errorf("open %s: %w", cfg.Data, ErrNotInitialised)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return Report{}, fmt.Errorf("make backup: %w", err)
	}
	rep, _, err := snapshot(ctx, cfg, dir)
	if err != nil { // half a backup with the key in it is worse than none
		return rep, errors.Join(err, os.RemoveAll(dir))
	}
	return rep, nil
}

// snapshot copies keys and store into dir and checks them there.
func snapshot(ctx context.Context, cfg Config, dir string) (rep Report, took time.Duration, err error) {
	if err := roomForCopy(cfg, dir); err != nil {
		return rep, 0, err
	}
	if err := copyKeys(cfg.Data, dir); err != nil {
		return rep, 0, err
	}
	copied := cfg
	copied.Data = dir
	start := time.Now()
	if err := copyStore(ctx, cfg, copied.database()); err != nil {
		return rep, 0, err
	}
	took = time.Since(start)
	rep, err = Check(ctx, copied)
	return rep, took, err
}

// copyKeys copies the private keys of a data folder.
func copyKeys(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("copy keys: %w", err)
	}
	server := false
	for _, e := range entries {
		if !e.Type().IsRegular() || !archive.IsKey(e.Name()) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			return fmt.Errorf("copy keys: %w", err)
		}
		if err := identity.WriteFile(filepath.Join(to, e.Name()), b); err != nil {
			return err
		}
		server = server || e.Name() == filepath.Base(Config{}.KeyFile())
	}
	if !server {
		return fmt.Errorf("open %s: %w", from, ErrNotInitialised)
	}
	return nil
}

func copyStore(ctx context.Context, cfg Config, to string) error {
	body, running, err := ask(ctx, cfg, http.MethodGet, "/backup")
	if err != nil {
		return err
	}
	if !running {
		o, err := openOffline(cfg)
		if err != nil {
			return err
		}
		return errors.Join(o.engine.CopyTo(ctx, to), o.engine.Close())
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return errors.Join(fmt.Errorf("make backup: %w", err), body.Close())
	}
	_, err = io.CopyBuffer(f, body, make([]byte, 1<<20))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close(), body.Close()); err != nil {
		return fmt.Errorf("make backup: %w", err)
	}
	return identity.SyncDir(filepath.Dir(to))
}

// CheckData checks the store of a data folder, and the mirror in it. Where a server runs on it, a copy
// is made and checked.
func CheckData(ctx context.Context, cfg Config) (rep Report, err error) {
	body, running, err := ask(ctx, cfg, http.MethodGet, "/")
	if body != nil {
		err = errors.Join(err, body.Close())
	}
	if !running {
		if err != nil {
			return rep, err
		}
		return CheckAll(ctx, cfg, Known{})
	}
	work, err := newWork(cfg, "check")
	if err != nil {
		return rep, fmt.Errorf("check a running server: %w", err)
	}
	defer func() { err = errors.Join(err, work.remove()) }()
	rep, _, err = snapshot(ctx, cfg, work.dir)
	return rep, err
}

// work is a folder inside of the data folder for the time of one task. Its lock
// tells whether the task still lives.
type work struct {
	dir  string
	lock *os.File
}

// newWork makes one, and removes what killed tasks of the kind have left.
func newWork(cfg Config, kind string) (*work, error) {
	left, err := filepath.Glob(filepath.Join(cfg.Data, "."+kind+"-*"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	for _, dir := range left {
		old, err := lockWork(dir)
		if err != nil {
			continue // it lives, or is not ours
		}
		if err := old.remove(); err != nil {
			return nil, fmt.Errorf("%s: remove what was left half done: %w", kind, err)
		}
	}
	dir, err := os.MkdirTemp(cfg.Data, "."+kind+"-")
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrNotInitialised
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	return lockWork(dir)
}

func lockWork(dir string) (*work, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), f.Close())
	}
	return &work{dir, f}, nil
}

func (w *work) remove() error { return errors.Join(os.RemoveAll(w.dir), w.lock.Close()) }
