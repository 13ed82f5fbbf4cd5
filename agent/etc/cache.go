package etc

import (
	"maps"
	"strings"

	"golang.org/x/sys/unix"

	"rollcall/internal/fact"
	"rollcall/internal/seal"
)

// Cache holds what a scan learnt about every entry, so that the next one reads
// only what changed. It holds no secret and no plain digest of one. The zero
// Cache is empty. It may be lost at any time; sealed files then show as changed
// once, since they are sealed anew.
type Cache struct {
	rules   rules
	gen     uint32
	entries map[string]*entry // by raw path below /etc
}

// rules are what the values in a cache depend on beside the files.
type rules struct {
	policy     string // Scanner.Policy
	key        string // shows whether the fingerprint key is the same
	recipients string
}

// statKey is what shows that a file is unchanged.
type statKey struct {
	dev, ino     uint64
	ctime, mtime int64 // nanoseconds since 1970
	size         int64
	mode         uint32
	uid, gid     uint32
}

func keyOf(st *unix.Stat_t) statKey {
	return statKey{
		dev: uint64(st.Dev), ino: st.Ino,
		ctime: unix.TimespecToNsec(st.Ctim), mtime: unix.TimespecToNsec(st.Mtim),
		size: st.Size, mode: st.Mode, uid: st.Uid, gid: st.Gid,
	}
}

func (k statKey) kind() uint32 { return k.mode & unix.S_IFMT }

// entry is what is known about one entry of /etc.
type entry struct {
	path    string // of the fact: "etc/…", escaped
	rel     string // below /etc, raw
	value   string // of the fact, however large the file; "" for none
	key     statKey
	against [16]byte // the digest by dpkg that the content was compared with
	gen     uint32   // the scan that saw it last

	radar string // kinds of secrets and their fingerprints, see radarText

	trusted  bool // an equal statKey proves an equal file
	compared bool // against and differs say something
	differs  bool // the content is not the one shipped by the package
	stale    bool // made under other rules
	resealed bool // the ciphertext is for other recipients
}

func newEntry(rel string, key statKey, value string) *entry {
	e := &entry{rel: rel, key: key, value: value}
	if escaped := fact.Escape(rel); escaped == rel {
		e.path = "etc/" + rel
		e.rel = e.path[len("etc/"):]
	} else {
		e.path = "etc/" + escaped
	}
	return e
}

// fits tells whether the entry still describes the file with that key.
func (e *entry) fits(key statKey) bool { return e.trusted && !e.stale && e.key == key }

func (e *entry) hasContent() bool {
	return strings.HasPrefix(e.value, "sha256:") || strings.HasPrefix(e.value, "sealed:")
}

// ciphertext gives the digest of a sealed file's ciphertext.
func (e *entry) ciphertext() (fact.Digest, bool) {
	if !strings.HasPrefix(e.value, "sealed:") {
		return fact.Digest{}, false
	}
	f, err := fact.ParseFile(e.value)
	return f.Digest, err == nil
}

// content describes the entry's content, if one is kept.
func (e *entry) content() (Content, bool) {
	if !e.hasContent() || e.key.size > MaxContent {
		return Content{}, false
	}
	f, err := fact.ParseFile(e.value)
	return Content{Digest: f.Digest, Path: e.rel, Sealed: f.Kind == fact.KindSealed}, err == nil
}

// begin prepares the cache for a scan and returns the scan's number.
func (c *Cache) begin(s *Scanner) uint32 {
	now := rules{
		policy:     s.Policy + s.radarRule(),
		key:        seal.Fingerprint(s.Key, []byte("rollcall: cache of /etc")),
		recipients: s.Recipients.ID(),
	}
	if now != c.rules {
		for _, e := range c.entries {
			secret := strings.HasPrefix(e.value, "sealed:") || strings.HasPrefix(e.value, "keyed:")
			e.resealed = e.resealed || now.recipients != c.rules.recipients
			e.stale = e.stale || now.policy != c.rules.policy || now.key != c.rules.key || secret && e.resealed
		}
		c.rules = now
	}
	c.gen++
	return c.gen
}

// commit takes over what a scan learnt and forgets what it did not see. It tells
// whether anything changed.
func (c *Cache) commit(fresh map[string]*entry, gen uint32) bool {
	changed := len(fresh) > 0
	if c.entries == nil {
		c.entries = make(map[string]*entry, len(fresh))
	}
	maps.Copy(c.entries, fresh)
	for rel, e := range c.entries {
		if e.gen != gen {
			delete(c.entries, rel)
			changed = true
		}
	}
	return changed
}
