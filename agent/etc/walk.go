package etc

import (
	"cmp"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"fmt"
	"hash"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"rollcall/internal/fact"
)

// walker is one scan.
type walker struct {
	ctx     context.Context
	scanner *Scanner
	exclude excluder
	owners  owners
	device  uint64             // file system of /etc
	renamed bool               // passwd or group changed: names in the cache may be old
	names   map[string]statKey // passwd and group when the scan began
	gen     uint32

	path  []byte // of the present entry, from "/etc"
	lists [MaxDepth + 1]listing
	dents []byte // for what the kernel gives about an entry
	buf   []byte // for file contents
	sha   hash.Hash
	md5   hash.Hash

	fresh map[string]*entry // what the cache learns when the scan succeeds
	left  map[string]bool   // paths that were left out, with all below them
	total int64             // bytes of contents kept
	res   Result
}

func newWalker(ctx context.Context, s *Scanner, etc int) (*walker, error) {
	for _, pattern := range s.Exclude {
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, fmt.Errorf("scan etc: exclusion %q: %w", pattern, err)
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(etc, &st); err != nil {
		return nil, fmt.Errorf("scan etc: %w", err)
	}
	w := &walker{
		ctx: ctx, scanner: s,
		exclude: excluder{s.Exclude},
		owners:  owners{etc: etc},
		device:  uint64(st.Dev),
		gen:     s.Cache.begin(s),
		path:    append(make([]byte, 0, 256), "/etc"...),
		dents:   make([]byte, 16<<10),
		sha:     sha256.New(), md5: md5.New(),
		names: map[string]statKey{}, fresh: map[string]*entry{}, left: map[string]bool{},
	}
	w.res.Facts = make([]fact.Fact, 0, len(s.Cache.entries)+64)
	for _, name := range []string{"passwd", "group"} {
		old := s.Cache.entries[name]
		if err := unix.Fstatat(etc, name, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil {
			w.names[name] = keyOf(&st)
		}
		w.renamed = w.renamed || old == nil || !old.fits(w.names[name])
	}
	return w, nil
}

// folder walks the folder that fd is open on.
func (w *walker) folder(fd, depth int) error {
	if err := w.ctx.Err(); err != nil {
		return fmt.Errorf("scan etc: %w", err)
	}
	list := &w.lists[depth]
	more, err := list.read(fd, w.dents, MaxEntries-w.res.Entries)
	if err != nil {
		w.failed(string(w.rel()), err)
		w.carry(string(w.rel()))
		return nil
	}
	for i := range list.names {
		length := len(w.path)
		w.path = append(append(w.path, '/'), list.name(i)...)
		err := w.entry(fd, depth)
		w.path = w.path[:length]
		if err != nil {
			return err
		}
	}
	if more {
		w.problem(string(w.rel()), fmt.Sprintf("more than %d entries in all: the rest is left out", MaxEntries))
	}
	return nil
}

// rel is the present path below /etc, raw.
func (w *walker) rel() []byte { return w.path[min(len(w.path), len("/etc/")):] }

// entry looks at one entry of the folder dir.
func (w *walker) entry(dir, depth int) error {
	old := w.scanner.Cache.entries[string(w.rel())]
	var rel string
	if old != nil {
		rel = old.rel
	} else if rel = string(w.rel()); !w.fitting(rel) {
		return nil
	}
	if slices.Contains(w.scanner.Remote, rel) {
		w.leave(rel, "a mount that is not local: what it holds is left out")
		return nil
	}
	name := path.Base(rel)
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT); err != nil {
		w.unreadable(rel, old, err)
		return nil
	}
	if w.res.Entries++; w.res.Entries > MaxEntries {
		w.leave(rel, fmt.Sprintf("more than %d entries in all: left out", MaxEntries))
		return nil
	}
	folder := st.Mode&unix.S_IFMT == unix.S_IFDIR
	known := w.hit(old, keyOf(&st))
	switch {
	case known:
		w.keep(old)
	case w.exclude.excluded(rel, st.Mode):
		w.left[rel] = true
		w.leftover(rel)
		return nil
	case !folder:
		w.look(dir, name, rel, &st, old)
	}
	if folder {
		return w.descend(dir, name, rel, depth, old, known)
	}
	return nil
}

// fitting tells whether a fact can name the path.
func (w *walker) fitting(rel string) bool {
	if len(path.Base(rel)) <= MaxName && len("etc/")+len(fact.Escape(rel)) <= fact.MaxPath {
		return true
	}
	w.leave(rel, "the name is too long: left out")
	return false
}

// hit tells whether the cache's knowledge still stands.
func (w *walker) hit(old *entry, key statKey) bool {
	if old == nil || !old.fits(key) {
		return false
	}
	if key.kind() != unix.S_IFREG {
		return true
	}
	if cf, ok := w.scanner.Conffiles[string(w.path)]; ok && (!old.compared || old.against != cf.MD5) {
		return false
	}
	digest, sealed := old.ciphertext()
	return !sealed || w.scanner.Store != nil && w.scanner.Store.Has(digest)
}

// keep reports what the cache knows, with the present names of its owners.
func (w *walker) keep(old *entry) {
	if !w.renamed || old.value == "" {
		old.gen = w.gen
		w.emit(old)
		return
	}
	e := *old
	if f, err := fact.ParseFile(old.value); err == nil {
		f.Owner, f.Group = w.owners.user(old.key.uid), w.owners.group(old.key.gid)
		e.value = f.String()
	}
	w.learn(&e, old)
}

// look makes the value of an entry other than a folder.
func (w *walker) look(dir int, name, rel string, st *unix.Stat_t, old *entry) {
	f := w.file(st)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		w.regular(dir, name, rel, old)
		return
	case unix.S_IFLNK:
		target, err := readLink(dir, name, w.dents)
		if err != nil {
			w.unreadable(rel, old, err)
			return
		}
		f.Kind, f.Target = fact.KindLink, target
	default:
		f.Kind = fact.KindOther
	}
	w.learn(w.newEntry(rel, keyOf(st), f), old)
}

// readLink needs a buffer larger than unix.PathMax, or a target could be cut.
func readLink(dir int, name string, buf []byte) (string, error) {
	n, err := unix.Readlinkat(dir, name, buf)
	return string(buf[:max(n, 0)]), err
}

// descend looks at a folder, unless it is known, and walks it.
func (w *walker) descend(dir int, name, rel string, depth int, old *entry, known bool) error {
	fd, err := openat(dir, name, unix.O_DIRECTORY)
	if err == nil {
		defer unix.Close(fd)
	}
	// What was found and what was opened may differ if somebody replaced the
	// folder in between: only the opened one counts.
	var st unix.Stat_t
	if err == nil {
		err = unix.Fstat(fd, &st)
	}
	if err != nil {
		w.unreadable(rel, old, err)
		w.carry(rel)
		return nil
	}
	if !known {
		w.res.Opened++
		f := w.file(&st)
		f.Kind = fact.KindDir
		var left bool
		if f.Xattr, left = xattrs(fd, false, w.dents); left {
			w.problem(rel, xattrText)
		}
		w.learn(w.newEntry(rel, keyOf(&st), f), old)
	}
	switch {
	case uint64(st.Dev) != w.device:
		w.leave(rel, "another file system is mounted here: what it holds is left out")
	case depth == MaxDepth:
		w.leave(rel, fmt.Sprintf("folders deeper than %d: left out", MaxDepth))
	default:
		return w.folder(fd, depth+1)
	}
	return nil
}

func (w *walker) file(st *unix.Stat_t) fact.File {
	return fact.File{Mode: fact.FileMode(st.Mode & 0o7777), Owner: w.owners.user(st.Uid), Group: w.owners.group(st.Gid)}
}

// newEntry makes an entry for the cache. It is trusted if the file can no longer
// change without its timestamps showing it: file systems and the kernel's own
// clock tick in up to two seconds.
func (w *walker) newEntry(rel string, key statKey, f fact.File) *entry {
	e := newEntry(rel, key, f.String())
	now := w.scanner.now().UnixNano()
	e.trusted = !racy(key.ctime, now) && !racy(key.mtime, now)
	return e
}

func racy(stamp, now int64) bool {
	const granularity = 2_000_000_000
	return stamp > now-granularity && stamp < now+granularity
}

// finish adds what needs the whole tree and brings the cache up to date.
func (w *walker) finish() Result {
	cache := w.scanner.Cache
	changed := cache.commit(w.fresh, w.gen)
	w.drift()
	if w.owners.problem != "" {
		w.problem("", fact.Value(w.owners.problem))
	}
	// Owners were named by passwd and group as the scan found them. If they
	// changed since, the next scan must not believe these names.
	for name, key := range w.names {
		if e := cache.entries[name]; e != nil && e.key != key {
			e.trusted = false
		}
	}
	w.res.CacheChanged = changed
	slices.SortFunc(w.res.Facts, func(a, b fact.Fact) int { return cmp.Compare(a.Path, b.Path) })
	return w.res
}
