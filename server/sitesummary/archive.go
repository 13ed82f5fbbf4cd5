package sitesummary

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// Bounds of one upload, unpacked. A machine with 3,000 packages sends some 700 KB,
// most of it the log of its display.
const (
	maxUnpacked = 16 << 20 // bytes of all files together
	maxFile     = 4 << 20
	maxFiles    = 300 // files and folders
	maxDepth    = 3   // components of a name
	maxName     = 64  // bytes of a component
)

// ErrUpload is returned for an upload that is none of sitesummary's, or too much.
var ErrUpload = errors.New("not an upload of sitesummary")

// Upload is what one client sent: the contents of its files by their names, such
// as "system/hostname".
type Upload struct {
	Files   map[string][]byte
	Skipped int // entries of the archive that were none, or had no sane name
}

// unpack reads a tar.gz. Nothing in it reaches a file system by its own name: what
// is no regular file, or has a name that the client's own collectors would not
// give, is left out.
func unpack(r io.Reader) (Upload, error) {
	up := Upload{Files: map[string][]byte{}}
	zr, err := gzip.NewReader(r)
	if err != nil {
		return up, fmt.Errorf("unpack: %w: %w", ErrUpload, err)
	}
	// Headers count too: an archive of nothing but headers must end.
	tr := tar.NewReader(&bounded{r: zr, left: maxUnpacked + maxFiles*8<<10})
	room := int64(maxUnpacked)
	for n := 0; ; n++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return up, nil
		}
		if err != nil {
			return up, fmt.Errorf("unpack: %w: %w", ErrUpload, err)
		}
		if n == maxFiles {
			return up, fmt.Errorf("unpack: %w: more than %d files", ErrUpload, maxFiles)
		}
		if h.Typeflag == tar.TypeDir {
			continue
		}
		name, ok := saneName(h.Name)
		if h.Typeflag != tar.TypeReg || !ok {
			up.Skipped++
			continue
		}
		// The size is what the header says, which for a sparse file is more than is
		// in the archive.
		if room -= h.Size; h.Size > maxFile || room < 0 {
			return up, fmt.Errorf("unpack %s: %w: more than %d bytes, or %d of all files", name, ErrUpload, maxFile, maxUnpacked)
		}
		b, err := io.ReadAll(io.LimitReader(tr, maxFile))
		if err != nil {
			return up, fmt.Errorf("unpack %s: %w: %w", name, ErrUpload, err)
		}
		up.Files[name] = b
	}
}

// saneName gives the name of an archive's entry without "./", if it is one that
// may stand in a folder of ours.
func saneName(name string) (string, bool) {
	name = strings.TrimPrefix(name, "./")
	if path.Clean(name) != name || strings.Count(name, "/") >= maxDepth {
		return "", false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || len(part) > maxName || part[0] == '.' || part[0] == '-' || strings.Trim(part, nameBytes) != "" {
			return "", false
		}
	}
	return name, true
}

const nameBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+@:=-"

// bounded fails once more was read than it may give.
type bounded struct {
	r    io.Reader
	left int
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("%w: it unpacks to more than %d bytes", ErrUpload, maxUnpacked)
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
