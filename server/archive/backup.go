package archive

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// A backup is a tar archive (POSIX ustar and pax) of regular files without
// folders: the store, the keys, and at the end manifest.json with the size and
// SHA-256 of each, so that "age -d | tar x" alone makes a data folder. Members
// have mode 0600 and no owner.
const (
	// Store is the name of the store's file in a backup.
	Store        = "rollcall.db"
	manifestName = "manifest.json"
	maxManifest  = 1 << 20
	maxKey       = 64 << 10
	maxMembers   = 32
)

// memberName is what a file beside the store may be called: a key.
var memberName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,40}\.key$`)

// IsKey tells whether a file of a data folder goes into a backup as a key.
func IsKey(name string) bool { return memberName.MatchString(name) }

// Manifest says what a backup holds. Fields are added, never changed.
type Manifest struct {
	Format    int               `json:"format"` // 1
	Made      time.Time         `json:"made"`   // when the snapshot was taken
	Version   string            `json:"version"`
	Tenant    string            `json:"tenant"`
	Pin       string            `json:"pin"` // of the server's key
	Items     int               `json:"items"`
	Revisions int               `json:"revisions"`
	Sets      int               `json:"sets"`
	Contents  int               `json:"contents"`
	Records   int               `json:"records"`
	Last      time.Time         `json:"last"`          // of the newest revision
	Log       string            `json:"log,omitempty"` // leaves of the evidence log and their root in base64
	Files     map[string]Member `json:"files"`
}

// Member is one file of a backup.
type Member struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// WriteBackup writes the store and the keys that lie in dir, then the manifest,
// whose Files it fills in.
func WriteBackup(w io.Writer, dir string, m *Manifest) error {
	names, err := members(dir)
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	m.Format, m.Files = 1, map[string]Member{}
	for _, name := range names {
		if m.Files[name], err = addFile(t, filepath.Join(dir, name), name, m.Made); err != nil {
			return fmt.Errorf("add %s: %w", name, err)
		}
	}
	b, err := json.MarshalIndent(m, "", "\t")
	if err == nil {
		err = t.WriteHeader(header(manifestName, int64(len(b)), m.Made))
	}
	if err == nil {
		_, err = t.Write(b)
	}
	return errors.Join(err, t.Close())
}

// members lists what a data folder has for a backup: the store first.
func members(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := []string{Store}
	for _, e := range entries {
		if e.Type().IsRegular() && IsKey(e.Name()) {
			names = append(names, e.Name())
		}
	}
	if len(names) > maxMembers {
		return nil, fmt.Errorf("%d keys in %s: at most %d", len(names)-1, dir, maxMembers-1)
	}
	return names, nil
}

func header(name string, size int64, at time.Time) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: at.Truncate(time.Second)}
}

func addFile(t *tar.Writer, path, name string, at time.Time) (Member, error) {
	f, err := os.Open(path)
	if err != nil {
		return Member{}, err
	}
	defer f.Close() // it was read
	info, err := f.Stat()
	if err != nil {
		return Member{}, err
	}
	if err := t.WriteHeader(header(name, info.Size(), at)); err != nil {
		return Member{}, err
	}
	h := sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(t, h), io.LimitReader(f, info.Size()), make([]byte, buffered))
	if err == nil && n != info.Size() {
		err = io.ErrUnexpectedEOF
	}
	return Member{Size: n, SHA256: hex.EncodeToString(h.Sum(nil))}, err
}

// ReadBackup reads a backup and gives each member to put, which must read it to
// its end (nil: they are only compared with the manifest). It returns an error
// that wraps ErrFormat unless there is a store, every member is a regular file
// with a name that a backup may have, and the manifest at the end names exactly
// these with their sizes and hashes. Whoever stores what put is given must not
// use it before ReadBackup has returned nil.
func ReadBackup(r io.Reader, put func(name string, r io.Reader) error) (Manifest, error) {
	t := tar.NewReader(r)
	have := map[string]Member{}
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return Manifest{}, fmt.Errorf("%w: its manifest is missing", ErrFormat)
		}
		if err != nil {
			return Manifest{}, fmt.Errorf("%w: %w", ErrFormat, err)
		}
		if h.Typeflag != tar.TypeReg || unusual(h.PAXRecords) || len(have) > maxMembers {
			return Manifest{}, fmt.Errorf("%w: member %.80q is no plain file, or one too many", ErrFormat, h.Name)
		}
		if h.Name == manifestName {
			return readManifest(t, have)
		}
		if _, twice := have[h.Name]; twice || h.Name != Store && (!IsKey(h.Name) || h.Size > maxKey) {
			return Manifest{}, fmt.Errorf("%w: member %.80q of %d bytes does not belong into a backup", ErrFormat, h.Name, h.Size)
		}
		sum := sha256.New()
		in := io.TeeReader(t, sum)
		if put != nil {
			if err := put(h.Name, in); err != nil {
				return Manifest{}, fmt.Errorf("member %s: %w", h.Name, err)
			}
		}
		if _, err := io.Copy(io.Discard, in); err != nil {
			return Manifest{}, fmt.Errorf("member %s: %w: %w", h.Name, ErrFormat, err)
		}
		have[h.Name] = Member{Size: h.Size, SHA256: hex.EncodeToString(sum.Sum(nil))}
	}
}

// unusual tells whether a member has more than a large size said of it: a sparse
// one would cost a reader more than its bytes.
func unusual(records map[string]string) bool {
	for key := range records {
		if key != "size" {
			return true
		}
	}
	return false
}

func readManifest(t *tar.Reader, have map[string]Member) (m Manifest, err error) {
	b, err := io.ReadAll(io.LimitReader(t, maxManifest+1))
	if err != nil || len(b) > maxManifest {
		return m, fmt.Errorf("manifest: %w: %w", ErrFormat, err)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("manifest: %w: %w", ErrFormat, err)
	}
	if m.Format != 1 {
		return m, fmt.Errorf("manifest: %w: it has format %d, this program knows 1: install a newer rollcall-server", ErrFormat, m.Format)
	}
	if _, ok := have[Store]; !ok {
		return m, fmt.Errorf("%w: there is no store in it", ErrFormat)
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if m.Files[name] != have[name] {
			return m, fmt.Errorf("%w: member %s is not the one that the manifest names", ErrFormat, name)
		}
	}
	if len(m.Files) != len(have) {
		return m, fmt.Errorf("%w: the manifest names %d members, %d are there", ErrFormat, len(m.Files), len(have))
	}
	switch _, err := t.Next(); {
	case err == nil:
		return m, fmt.Errorf("%w: something follows the manifest", ErrFormat)
	case !errors.Is(err, io.EOF):
		return m, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return m, nil
}
