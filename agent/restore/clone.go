package restore

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"rollcall/internal/fact"
)

// maxFile bounds one content: 16 MiB and the frame of age.
const maxFile = 17 << 20

// Clone reads a machine's folder in a checked-out clone of the git mirror; the
// server is not needed.
type Clone struct {
	Dir string // the machine's folder, which holds .rollcall/etc.manifest
}

// Snapshot reads the manifest. What commit is checked out is the time.
func (c Clone) Snapshot(context.Context) (Snapshot, error) {
	root, err := os.OpenRoot(c.Dir)
	if err != nil {
		return Snapshot{}, fmt.Errorf("read clone: %w", err)
	}
	defer root.Close()
	manifest, err := readFile(root, ".rollcall/etc.manifest", 64<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return Snapshot{}, fmt.Errorf("read clone %s: no .rollcall/etc.manifest in it: name the folder of one machine: %w", c.Dir, err)
	}
	if err != nil {
		return Snapshot{}, fmt.Errorf("read clone %s: %w", c.Dir, err)
	}
	facts, err := fact.ReadText(bytes.NewReader(manifest))
	if err != nil {
		return Snapshot{}, fmt.Errorf("read clone %s: .rollcall/etc.manifest: %w", c.Dir, err)
	}
	s := Snapshot{Name: fact.Escape(c.Dir), Etc: facts.Below("etc/"), Conffile: facts.Below("conffile/")}
	if b, err := readFile(root, ".rollcall/ci", 64<<10); err == nil {
		if s.describe(string(b)) == "T0" {
			return Snapshot{}, fmt.Errorf("read clone %s: %s: %w", c.Dir, s.Name, ErrClaim)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return Snapshot{}, fmt.Errorf("read clone %s: %w", c.Dir, err)
	}
	if info, err := root.Stat(".rollcall/etc.manifest"); err == nil {
		s.At = info.ModTime().Truncate(time.Second)
	}
	return s, nil
}

// describe takes id and name out of .rollcall/ci, "key<space or tab>value", and
// returns the trust class, which stands there only where it matters.
func (s *Snapshot) describe(text string) (trust string) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(strings.ReplaceAll(line, ":", " "))
		if len(fields) < 2 {
			continue
		}
		switch strings.ToLower(fields[0]) {
		case "id":
			s.CI = fact.Escape(fields[1])
		case "name":
			s.Name = fact.Escape(fields[1])
		case "trust":
			trust = fields[1]
		}
	}
	return trust
}

// Contents reads the files that the needs name.
func (c Clone) Contents(ctx context.Context, needs []Need, take func(Need, []byte) error) error {
	root, err := os.OpenRoot(c.Dir)
	if err != nil {
		return fmt.Errorf("read clone: %w", err)
	}
	defer root.Close()
	for _, n := range needs {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read clone: %w", err)
		}
		name := fact.MirrorPath(n.Path)
		switch {
		case n.MD5 != nil:
			name = ".rollcall/pristine/" + name
		case n.Sealed:
			name = fact.SealedMirrorPath(n.Path)
		}
		b, err := readFile(root, name, maxFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read clone %s: %w", c.Dir, err)
		}
		if !n.matches(b) {
			return fmt.Errorf("read clone %s: %s is not the file that the manifest names: check the clone out again, without line-end conversion", c.Dir, name)
		}
		if err := take(n, b); err != nil {
			return err
		}
	}
	return nil
}

func (n Need) matches(b []byte) bool {
	if n.MD5 != nil {
		return md5.Sum(b) == *n.MD5
	}
	return sha256.Sum256(b) == n.Digest
}

// readFile reads a regular file of at most limit bytes, following no link at
// its end.
func readFile(root *os.Root, name string, limit int64) ([]byte, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("%s: not a regular file of at most %d bytes", fact.Escape(name), limit)
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if opened, err := f.Stat(); err != nil || !os.SameFile(info, opened) {
		return nil, errors.Join(fmt.Errorf("%s: was exchanged while it was opened", fact.Escape(name)), err)
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s: grew while it was read", fact.Escape(name))
	}
	return b, err
}
