package etckeeper

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/seal"
)

// metadataFile is where etckeeper keeps modes and owners, at the top of /etc.
const metadataFile = ".etckeeper"

// maxEntries bounds the files, folders and links of one state, as for an agent.
const maxEntries = 20_000

// State is /etc as one commit left it.
type State struct {
	At      time.Time // of the commit, by the clock of its machine
	Subject string    // first line of its message, inert
	Facts   fact.Set  // of section etc
	New     []Content // what the facts name and no state before did
}

// Content is what a file that is no secret holds.
type Content struct {
	Digest fact.Digest
	Bytes  []byte
}

// history is the state while commits are read.
type history struct {
	key   []byte // of the fingerprints
	blobs map[string]*known
	held  int64
	files map[string]node
	meta  metadata
	last  string // mark of the commit before
	first bool
	each  func(State) error
	news  []Content // of the present commit
}

// known is what is remembered of a content.
type known struct {
	digest  fact.Digest
	large   bool
	secret  bool // by what it holds
	shown   bool // it came out once
	print   string
	content []byte // until the commit after it
}

type node struct {
	mode string // of git
	blob *known
	link string
}

// Read reads what "git fast-export HEAD" wrote of the repository of a machine's /etc
// and calls each with the state after every commit, oldest first. key is for the
// fingerprints of secrets (seal.FingerprintKeySize bytes): the same key gives the same
// facts. It returns an error that wraps ErrStream if the history cannot be read, or is
// not one line of commits.
func Read(r io.Reader, key []byte, each func(State) error) error {
	h := &history{key: key, blobs: map[string]*known{}, files: map[string]node{}, meta: readMetadata(nil), each: each, first: true}
	return read(r, h.blob, h.commit)
}

func (h *history) blob(b blob) error {
	if h.held += int64(len(b.content)); h.held > maxHeld {
		return fmt.Errorf("%w: more than %d MiB of files between two commits", ErrStream, maxHeld>>20)
	}
	k := &known{digest: b.digest, large: b.content == nil, content: b.content}
	if !k.large {
		k.secret = seal.Sniff(b.content) || seal.SniffComments(b.content)
		k.print = seal.Fingerprint(h.key, b.content)
	}
	h.blobs[b.mark] = k
	return nil
}

func (h *history) commit(c commit) error {
	if !h.first && c.from != h.last {
		return fmt.Errorf("%w: commit %s does not follow the one before: history branches; export one line of it with: git fast-export --first-parent HEAD", ErrStream, c.mark)
	}
	h.first, h.last = false, c.mark
	for _, ch := range c.changes {
		if err := h.change(ch); err != nil {
			return err
		}
	}
	facts, err := h.facts()
	if err != nil {
		return fmt.Errorf("commit %s of %s: %w", c.mark, c.at.Format(time.RFC3339), err)
	}
	s := State{At: c.at, Subject: c.subject, Facts: facts, New: h.news}
	for _, k := range h.blobs {
		k.content = nil
	}
	h.held, h.news = 0, nil
	return h.each(s)
}

func (h *history) change(ch change) error {
	switch {
	case ch.path == "":
		h.files, h.meta = map[string]node{}, readMetadata(nil)
	case !usable(ch.path) || ch.to != "" && !usable(ch.to):
		return fmt.Errorf("%w: no file has the path %.80q", ErrStream, ch.path)
	case ch.to != "":
		if n, ok := h.files[ch.path]; ok {
			h.files[ch.to] = n
		}
		if !ch.copy {
			delete(h.files, ch.path)
		}
	case ch.mode == "":
		delete(h.files, ch.path)
	default:
		return h.put(ch)
	}
	return nil
}

func (h *history) put(ch change) error {
	n := node{mode: ch.mode}
	if ch.mode != "160000" { // a submodule has no content here
		if n.blob = h.blobs[ch.mark]; n.blob == nil {
			return fmt.Errorf("%w: %.80q names the content %.40q, which did not come", ErrStream, ch.path, ch.mark)
		}
	}
	if ch.mode == "120000" && n.blob.content != nil {
		n.link = string(n.blob.content[:min(len(n.blob.content), 4096)])
	} else if ch.mode == "120000" {
		n.link = h.linkOf(n.blob)
	}
	if ch.path == metadataFile && n.blob != nil && n.blob.content != nil {
		h.meta = readMetadata(n.blob.content)
	}
	if h.files[ch.path] = n; len(h.files) > maxEntries {
		return fmt.Errorf("%w: more than %d files", ErrStream, maxEntries)
	}
	return nil
}

// linkOf finds the target of a link in another one with the same content.
func (h *history) linkOf(k *known) string {
	for _, n := range h.files {
		if n.blob == k && n.link != "" {
			return n.link
		}
	}
	return ""
}

// usable refuses paths that no walk of a file system gives.
func usable(name string) bool {
	return path.Clean(name) == name && name != "." && name != ".." && !strings.HasPrefix(name, "/") && !strings.HasPrefix(name, "../") &&
		len(name) <= 4096 && strings.Count(name, "/") < 32 && !strings.ContainsRune(name, 0)
}

// facts tells the present state as an agent would.
func (h *history) facts() (fact.Set, error) {
	all := map[string]fact.File{}
	for name, n := range h.files {
		if hidden(name, n) {
			continue
		}
		f, err := h.file(name, n)
		if err != nil {
			return nil, err
		}
		all[name] = f
		h.folders(all, path.Dir(name))
	}
	for name := range h.meta.folders {
		if usable(name) && !hidden(name, node{mode: "040000"}) {
			h.folders(all, name)
		}
	}
	if len(all) > maxEntries {
		return nil, fmt.Errorf("%w: more than %d files and folders", ErrStream, maxEntries)
	}
	facts := make([]fact.Fact, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		facts = append(facts, fact.Fact{Path: "etc/" + fact.Escape(name), Value: all[name].String()})
	}
	set := fact.NewSet(facts)
	return set, set.Check("etc")
}

// folders adds a folder and all above it.
func (h *history) folders(all map[string]fact.File, name string) {
	for ; name != "."; name = path.Dir(name) {
		if _, there := all[name]; there {
			return
		}
		all[name] = h.owned(name, fact.File{Kind: fact.KindDir, Mode: 0o755})
	}
}

// owned puts what etckeeper kept of an entry over what git knows.
func (h *history) owned(name string, f fact.File) fact.File {
	f.Owner, f.Group = "root", "root"
	if o := h.meta.owner[name]; o != "" {
		f.Owner = o
	}
	if g := h.meta.group[name]; g != "" {
		f.Group = g
	}
	if m, ok := h.meta.mode[name]; ok && f.Kind != fact.KindLink {
		f.Mode = m
	}
	return f
}

// file makes the value of a file or link. The content of a file that is no secret is
// handed out the first time.
func (h *history) file(name string, n node) (fact.File, error) {
	switch {
	case n.mode == "120000":
		return h.owned(name, fact.File{Kind: fact.KindLink, Target: n.link, Mode: 0o777}), nil
	case n.blob == nil:
		return h.owned(name, fact.File{Kind: fact.KindOther, Mode: 0o755}), nil
	}
	f := h.owned(name, fact.File{Kind: fact.KindPlain, Digest: n.blob.digest, Mode: modeOf(n.mode)})
	secret := seal.Secret(name)
	switch {
	case n.blob.large && secret:
		return f, fmt.Errorf("%w: secret file %.80q is larger than %d MiB", ErrStream, name, maxBlob>>20)
	case n.blob.large:
		f.Kind = fact.KindTooBig
	case secret || n.blob.secret || !n.blob.shown && n.blob.content == nil: // or it was a secret's, elsewhere
		f.Kind, f.Digest, f.Fingerprint = fact.KindKeyed, fact.Digest{}, n.blob.print
	case !n.blob.shown:
		n.blob.shown = true
		h.news = append(h.news, Content{n.blob.digest, n.blob.content})
	}
	return f, nil
}

func modeOf(git string) fs.FileMode {
	if git == "100755" {
		return 0o755
	}
	return 0o644
}

// hidden tells what is no configuration, as for an agent.
func hidden(name string, n node) bool {
	for at := name; at != "."; at = path.Dir(at) {
		link, regular := at == name && n.mode == "120000", at == name && strings.HasPrefix(n.mode, "100")
		if fact.Excluded(at, regular, link) {
			return true
		}
	}
	return false
}
