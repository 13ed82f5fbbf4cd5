package mirror

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"rollcall/internal/fact"
)

// The tree of one machine, below its folder. Changing a name or a form changes
// the commit ids of a rebuilt mirror, and what agents restore from a clone.
const (
	packagesFile = "packages.txt"
	hardwareFile = "hardware.txt"
	manifestFile = ".rollcall/etc.manifest"
	ciFile       = ".rollcall/ci"
	pristineDir  = ".rollcall/pristine"
)

// Beyond these a path is replaced by its hash, so that a clone below any home
// keeps within PATH_MAX (4,096 bytes).
const (
	maxTreePath  = 3000
	maxTreeDepth = 64
)

// rendering collects the edits that one revision makes in one repository.
type rendering struct {
	m        *Mirror
	batch    *batch
	rev      Rev
	sections map[string]*sectionChange // against what is in the repository
	folder   string
	edits    []edit // paths begin in the machine's folder
}

// render gives the edits that bring a machine's folder to the revision's state.
// Where the folder is not new, only what the revision changed is looked at.
func (m *Mirror) render(ctx context.Context, b *batch, r Rev, changed map[string]*sectionChange) ([]edit, error) {
	d := &rendering{m: m, batch: b, rev: r, sections: changed, folder: safeName(r.Folder)}
	if !r.stays() {
		full := r
		full.Prev = nil
		var err error
		if d.sections, err = m.sections(ctx, full); err != nil {
			return nil, err
		}
	} else if err := d.moveFolder(); err != nil {
		return nil, err
	}
	for _, part := range []func(context.Context) error{d.etc, d.pristine, d.texts} {
		if err := part(ctx); err != nil {
			return nil, err
		}
	}
	for i := range d.edits {
		d.edits[i].path = d.folder + "/" + d.edits[i].path
	}
	return d.edits, nil
}

// moveFolder checks that the folder is where it should be, and moves it if the
// revision gave it another name.
func (d *rendering) moveFolder() error {
	old := safeName(d.rev.PrevFolder)
	e, ok, err := find(d.batch, d.batch.root, old)
	if err != nil {
		return err
	}
	if !ok || e.mode != modeTree {
		return fmt.Errorf("folder %q of CI %s is not in the repository: %w; rebuild the mirror", old, d.rev.CI, ErrDiffers)
	}
	if old == d.folder {
		return nil
	}
	root, err := editTree(d.batch, d.batch.root, []edit{
		{path: old, mode: dropTree},
		{path: d.folder, mode: modeTree, hash: e.hash},
	})
	d.batch.root = root
	return err
}

// put adds a file to the edits.
func (d *rendering) put(path string, m mode, content []byte, old base) error {
	h, err := d.batch.blob(content, old)
	d.edits = append(d.edits, edit{path: path, mode: m, hash: h})
	return err
}

func (d *rendering) drop(path string) {
	d.edits = append(d.edits, edit{path: path, mode: dropFile})
}

// etc renders the files below /etc that changed. All of an /etc that is new is
// little more than what others on the same whole have already.
func (d *rendering) etc(ctx context.Context) error {
	ch := d.sections["etc"]
	if ch == nil {
		return nil
	}
	if ch.old.empty() && !ch.new.Whole.IsZero() && d.batch.dry == nil {
		done, err := d.likeOthers(ctx, ch.new)
		if done || err != nil {
			return err
		}
	}
	return d.files(ctx, ch)
}

// files renders what is different between two sets of files.
func (d *rendering) files(ctx context.Context, ch *sectionChange) error {
	for path := range affected(ch) {
		was, old := placeFile(ch.old, path)
		is, f := placeFile(ch.new, path)
		if was != "" && was != is {
			d.drop(was)
		}
		if is == "" || is == was && sameInTree(old, f) {
			continue
		}
		if err := d.file(ctx, is, f, old); err != nil {
			return fmt.Errorf("/%s: %w", path, err)
		}
	}
	return nil
}

func (d *rendering) file(ctx context.Context, at string, f, old fact.File) error {
	if f.Kind == fact.KindLink {
		return d.put(at, modeLink, []byte(f.Target), base{})
	}
	h, err := d.content(ctx, f, old)
	d.edits = append(d.edits, edit{path: at, mode: fileMode(f), hash: h})
	return err
}

var errContent = errors.New("its content cannot be read")

// content makes sure that the content of a file is in the repository. A content
// that the source lacks stops the mirror here: a commit without it would stay
// wrong for ever.
func (d *rendering) content(ctx context.Context, f, old fact.File) (Hash, error) {
	if h, ok := d.m.blobs.get(f.Digest); ok && d.batch.has(h) {
		return h, nil
	}
	raw, err := d.m.source.Content(ctx, f.Digest)
	if err != nil {
		return Hash{}, fmt.Errorf("%w: %w", errContent, err)
	}
	var from base
	if h, ok := d.m.blobs.get(old.Digest); ok && old.Kind == fact.KindPlain {
		from = base{hash: h, content: func() ([]byte, error) { return d.m.source.Content(ctx, old.Digest) }}
	}
	h, err := d.batch.blob(raw, from)
	if err == nil {
		d.m.blobs.put(f.Digest, h)
	}
	return h, err
}

// pristine keeps the package's default beside a conffile that was modified,
// where its content was known when the revision was recorded.
func (d *rendering) pristine(ctx context.Context) error {
	ch := d.sections["conffile"]
	if ch == nil {
		return nil
	}
	for path := range affected(ch) {
		was, _ := placePristine(ch.old, path)
		is, md5 := placePristine(ch.new, path)
		if is != "" {
			raw, ok, err := d.m.source.Pristine(ctx, d.rev.Repo, md5, d.rev.Stamp)
			if err != nil {
				return fmt.Errorf("package default %s of /%s: %w", md5, path, err)
			}
			if ok {
				if err := d.put(is, modePlain, raw, base{}); err != nil {
					return err
				}
				continue
			}
		}
		if was != "" {
			d.drop(was)
		}
	}
	return nil
}

// affected lists the paths whose place in the tree may change: those that did,
// and files above them. An agent that lies can report a file and something
// below it; then the file has no place in the tree.
func affected(ch *sectionChange) map[string]struct{} {
	paths := make(map[string]struct{}, len(ch.changes()))
	for _, c := range ch.changes() {
		paths[c.path] = struct{}{}
		for up := parent(c.path); up != ""; up = parent(up) {
			_, was := ch.old.get(up)
			_, is := ch.new.get(up)
			if was || is {
				paths[up] = struct{}{}
			}
		}
	}
	return paths
}

func parent(path string) string {
	return path[:max(0, strings.LastIndexByte(path, '/'))]
}

// placeFile gives the place in the machine's folder of what a set has at path,
// or "" if it has no place: it is a folder, its content is withheld, or git
// could not hold it.
func placeFile(s Facts, path string) (string, fact.File) {
	value, ok := s.get(path)
	if !ok {
		return "", fact.File{}
	}
	f, err := fact.ParseFile(value)
	if err != nil || s.below(path+"/") {
		return "", fact.File{}
	}
	switch {
	case f.Kind == fact.KindPlain, f.Kind == fact.KindLink && inertTarget(f.Target):
		return bounded("etc", path, fact.MirrorPath(path)), f
	case f.Kind == fact.KindSealed:
		return bounded("etc", path, fact.SealedMirrorPath(path)), f
	}
	return "", fact.File{}
}

func placePristine(s Facts, path string) (at, md5 string) {
	value, ok := s.get(path)
	if !ok || s.below(path+"/") {
		return "", ""
	}
	c, err := fact.ParseConffileDrift(value)
	if err != nil || c.Drift != fact.Modified {
		return "", ""
	}
	name := strings.TrimPrefix(path, "conffile/")
	return bounded(pristineDir, path, pristineDir+"/"+fact.MirrorPath(name)), hex.EncodeToString(c.Pristine[:])
}

// bounded replaces a place that is too long or too deep to be checked out.
func bounded(dir, path, at string) string {
	if len(at) <= maxTreePath && strings.Count(at, "/") < maxTreeDepth {
		return at
	}
	sum := sha256.Sum256([]byte(path))
	return dir + "/%~" + hex.EncodeToString(sum[:])
}

// inertTarget tells whether a symlink may stand in the tree as one: a checkout
// fails on a target that the kernel refuses, and git warns of one that leads to
// its own folder. Such links stand in the manifest alone.
func inertTarget(target string) bool {
	if target == "" || len(target) >= 4096 || strings.ContainsRune(target, 0) {
		return false
	}
	ascii := strings.Map(func(r rune) rune {
		if r >= 0x80 { // code points that HFS+ ignores
			return -1
		}
		return r
	}, strings.ToLower(target))
	return !strings.Contains(ascii, ".git") && !strings.Contains(ascii, "git~")
}

// sameInTree tells whether two files look the same in the tree.
func sameInTree(a, b fact.File) bool {
	return a.Kind == b.Kind && a.Digest == b.Digest && a.Target == b.Target && fileMode(a) == fileMode(b)
}

func fileMode(f fact.File) mode {
	switch {
	case f.Kind == fact.KindLink:
		return modeLink
	case f.Kind == fact.KindPlain && f.Mode&0o111 != 0:
		return modeExec
	}
	return modePlain
}

// safeName makes a name that the server chose fit for a tree; one that is fit
// already stays.
func safeName(name string) string { return fact.MirrorPath(fact.Name(name)) }
