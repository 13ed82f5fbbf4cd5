package collect

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"rollcall/internal/seal"
)

func localSoftware() Collector {
	return Collector{Name: "local", Owns: []string{"app/local/"}, Collect: collectLocal}
}

// lstater is the part of Root that looks at a link itself.
type lstater interface {
	Lstat(name string) (fs.FileInfo, error)
}

// collectLocal lists what lies directly in the places where software is put by
// hand: dpkg knows nothing of it, and no update reaches it. Packages of makers
// who put themselves below /opt are listed as well.
func collectLocal(ctx context.Context, h Host, s *Sink) error {
	found := 0
	for _, dir := range []string{"opt", "usr/local/bin", "usr/local/sbin", "usr/local/lib"} {
		names, err := h.Entries(s, dir)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				return err
			}
			if strings.HasPrefix(name, "python3") || name == "node_modules" { // see language.go
				continue
			}
			value := localEntry(h, s, dir+"/"+name)
			if value == "" {
				continue
			}
			if found++; found > maxApps {
				return errors.New("more files in /opt and /usr/local than expected: the rest is left out")
			}
			s.Fact(Path("app", "local", "/"+dir+"/"+name), value)
		}
	}
	return s.Found(found > 0)
}

// maxLocalFile bounds the files whose content is told apart, in bytes: scripts.
const maxLocalFile = 256 << 10

// localEntry tells what an entry is: of a script also the digest, so that an old one
// is found among many machines, unless it looks as if a secret stood in it. Empty
// folders are what packages leave there for the administrator.
func localEntry(h Host, s *Sink, name string) string {
	look := func(name string) (fs.FileInfo, error) { return fs.Stat(h.FS, name) }
	if l, ok := h.FS.(lstater); ok {
		look = l.Lstat
	}
	st, err := look(name)
	switch {
	case errors.Is(err, fs.ErrPermission):
		s.Denied(name)
		return ""
	case err != nil:
		return ""
	case st.Mode()&fs.ModeSymlink != 0:
		target, err := fs.ReadLink(h.FS, name)
		if err != nil {
			return ""
		}
		return "link to " + target
	case st.Mode().IsRegular():
		digest, err := remember(h.Cache, "local "+name, h.stamp(name), func() (string, error) { return scriptDigest(h, name, st.Size()) })
		if errors.Is(err, fs.ErrPermission) {
			s.Denied(name)
		}
		return strings.TrimSpace(fmt.Sprintf("file %04o size=%d %s", st.Mode().Perm(), st.Size(), digest))
	case st.IsDir() && !bare(h, name, 3):
		return "folder"
	}
	return ""
}

// scriptDigest gives the digest of a small file, "" of a large or secret one.
func scriptDigest(h Host, name string, size int64) (string, error) {
	if size > maxLocalFile {
		return "", nil
	}
	b, err := h.ReadFile(name, maxLocalFile)
	if err != nil || seal.Sniff(b) || seal.SniffComments(b) {
		return "", err
	}
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// bare tells whether a folder holds nothing but folders, some levels deep. One
// that may not be listed may hold something.
func bare(h Host, dir string, levels int) bool {
	names, err := h.Names(dir)
	if err != nil || len(names) > 0 && levels == 0 {
		return false
	}
	for _, name := range names {
		st, err := fs.Stat(h.FS, dir+"/"+name)
		if err != nil || !st.IsDir() || strings.HasPrefix(name, ".") || !bare(h, dir+"/"+name, levels-1) {
			return false
		}
	}
	return true
}
