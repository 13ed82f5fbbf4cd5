// Package etc looks at the configuration of a machine: it walks /etc below any
// root and makes one fact of each entry ("etc/ssh/sshd_config = sha256:… 0644
// root:root", see fact.File) and one of each conffile that differs from dpkg's
// record (see fact.ConffileDrift).
//
// It promises:
//   - Links are never followed and nothing but regular files and folders is ever
//     opened, so that no FIFO, device or replaced folder can hold it up or lead
//     it out of /etc. Other file systems that are mounted below are not entered.
//   - A secret (by path or content, see package seal) never leaves in clear: it
//     is sealed to the recipients, or, where there are none, known only by a
//     keyed fingerprint. Neither its content nor a plain digest of it is in any
//     output or in the cache.
//   - The result depends on the tree alone, not on the order of the disk, and an
//     unchanged tree costs one stat(2) for each entry: no file is opened.
//   - Everything is bounded, and what was left out is named in the result.
//
// What becomes of the facts and when contents are sent is left to others.
package etc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rollcall/internal/fact"
	"rollcall/internal/seal"
)

// Limits of one scan. What lies beyond them is named in Result.Problems.
const (
	MaxEntries = 50_000     // entries of the tree
	MaxDepth   = 32         // folders below each other
	MaxName    = 255        // bytes of one name
	MaxContent = 16 << 20   // bytes of a file whose content is kept
	MaxTotal   = 256 << 20  // bytes of all contents that are kept
	maxHashed  = 256 << 20  // bytes of a file that is read at all
	maxRead    = 1024 << 20 // bytes read in one scan
)

// Store keeps ciphertexts for the scanner. A secret that did not change keeps
// its ciphertext as long as Has tells that it is there; otherwise it is sealed
// anew and shows as changed. So a Store keeps every ciphertext that
// Cache.Contents names.
type Store interface {
	// Has tells whether the content with this SHA-256 is there.
	Has(digest fact.Digest) bool
	// Put keeps a content under its SHA-256.
	Put(digest fact.Digest, content []byte) error
}

// Scanner scans /etc. Key is required, and Store where there are recipients.
// A Scanner must not be used by several goroutines at the same time.
type Scanner struct {
	// Root is the folder that holds etc, "/" for the running machine.
	Root string
	// Dir is the same as an already opened folder. It goes before Root and
	// stays open.
	Dir *os.File
	// Cache holds what the scan before knew; Scan brings it up to date. A nil
	// Cache is replaced by an empty one.
	Cache *Cache
	// Key makes keyed fingerprints (seal.NewFingerprintKey). It never leaves
	// the machine.
	Key []byte
	// Recipients are who may open secrets. Without any, secrets are withheld.
	Recipients seal.Recipients
	// Store keeps ciphertexts.
	Store Store
	// RadarKey, if there is one, makes the fingerprints by which machines that
	// share a secret are found (seal.Radar). All machines have the same; it
	// never leaves them.
	RadarKey []byte
	// Conffiles is dpkg's record by absolute path, "/etc/cups/cupsd.conf".
	Conffiles map[string]fact.Conffile
	// Exclude adds to the built-in exclusions: patterns of path.Match for
	// paths below /etc, or for names where there is no "/" in them.
	Exclude []string
	// Secret adds to the built-in list of secrets; the path is relative to
	// /etc. It cannot take from the list.
	Secret func(path string) bool
	// Remote lists paths below /etc, "" for /etc itself, at which something is
	// mounted that may never answer. They are not touched.
	Remote []string
	// Sniff stands in for the function Sniff where somebody remembers its answers
	// for many machines; nil: it is asked.
	Sniff func(piece []byte) (secret, comment bool)
	// Policy names the rules of this build and its configuration. When it
	// differs from that of the cache, everything is read again.
	Policy string
	// Now gives the present time. It tells whether a file may still change
	// within the granularity of its timestamps; nil means time.Now.
	Now func() time.Time
}

// Result is what a scan found.
type Result struct {
	// Facts of the sections etc, conffile, leftover and secret, sorted by path.
	Facts []fact.Fact
	// Contents are those of the entries that are new or changed since the
	// cache's scan. Cache.Contents has all.
	Contents []Content
	// Problems name what was left out or could not be looked at, at most
	// MaxProblems of them.
	Problems []Problem
	// More counts the problems beyond that.
	More int
	// Withheld counts secrets that are known by fingerprint only because
	// there are no recipients.
	Withheld int
	// CacheChanged tells that the cache is worth saving.
	CacheChanged bool
	// Entries, Opened and Read count entries seen, files and folders opened
	// for their content or attributes, and bytes read.
	Entries, Opened int
	Read            int64
}

// MaxProblems bounds the list of problems.
const MaxProblems = 100

// Problem is something that a scan had to leave out.
type Problem struct {
	Path string // below the root, escaped: "etc/ssl/private"
	What string
}

// Denied tells whether something could not be read for lack of rights.
func (r Result) Denied() bool {
	return slices.ContainsFunc(r.Problems, func(p Problem) bool { return p.What == deniedText })
}

// Status sums up what people should know about the scan in one line; it is empty
// if there is nothing.
func (r Result) Status() string {
	var parts []string
	if r.Withheld > 0 {
		parts = append(parts, fmt.Sprintf("%d SECRET FILES CANNOT BE RESTORED: no recipients are configured, so only their fingerprints are kept", r.Withheld))
	}
	const shown = 5
	for _, p := range r.Problems[:min(len(r.Problems), shown)] {
		parts = append(parts, p.Path+": "+p.What)
	}
	if rest := len(r.Problems) + r.More - shown; rest > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", rest))
	}
	return strings.Join(parts, "; ")
}

// Scan looks at /etc once. It returns an error that is fs.ErrNotExist where the
// root has no etc folder, and the context's when that ends; the result is then
// not to be used and the cache stays as it was. Anything that concerns single
// entries is no error but in Result.Problems. An entry that was known before and
// cannot be read now keeps its fact.
func (s *Scanner) Scan(ctx context.Context) (Result, error) {
	if len(s.Key) != seal.FingerprintKeySize {
		return Result{}, fmt.Errorf("scan etc: fingerprint key of %d bytes, want %d", len(s.Key), seal.FingerprintKeySize)
	}
	if n := len(s.RadarKey); n > 0 && n != seal.FingerprintKeySize {
		return Result{}, fmt.Errorf("scan etc: radar key of %d bytes, want %d", n, seal.FingerprintKeySize)
	}
	if s.Recipients.Len() > 0 && s.Store == nil {
		return Result{}, errors.New("scan etc: secrets are to be sealed but there is no store for them")
	}
	if slices.Contains(s.Remote, "") {
		return Result{}, errors.New("scan etc: /etc is on a mount that is not local")
	}
	if s.Cache == nil {
		s.Cache = &Cache{}
	}
	root, err := s.openRoot()
	if err != nil {
		return Result{}, err
	}
	defer unix.Close(root)
	fd, err := openat(root, "etc", unix.O_DIRECTORY)
	if err != nil {
		return Result{}, fmt.Errorf("scan etc: %w", &os.PathError{Op: "open", Path: "etc", Err: err})
	}
	defer unix.Close(fd)
	w, err := newWalker(ctx, s, fd)
	if err != nil {
		return Result{}, err
	}
	if err := w.folder(fd, 0); err != nil {
		return Result{}, err
	}
	return w.finish(), nil
}

func (s *Scanner) openRoot() (int, error) {
	if s.Dir == nil {
		fd, err := unix.Open(s.Root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1, fmt.Errorf("scan etc: %w", &os.PathError{Op: "open", Path: s.Root, Err: err})
		}
		return fd, nil
	}
	conn, err := s.Dir.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("scan etc below %s: %w", s.Dir.Name(), err)
	}
	fd := -1
	var dupErr error
	if err := conn.Control(func(p uintptr) { fd, dupErr = unix.FcntlInt(p, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return -1, fmt.Errorf("scan etc below %s: %w", s.Dir.Name(), err)
	}
	if dupErr != nil {
		return -1, fmt.Errorf("scan etc below %s: %w", s.Dir.Name(), dupErr)
	}
	return fd, nil
}

func (s *Scanner) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

// openat opens an entry of a folder for reading, but never through a link and
// never waiting for the other end of a FIFO.
func openat(dir int, name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, flags|unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}
