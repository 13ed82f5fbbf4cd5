package restore

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"rollcall/agent/etc"
	"rollcall/internal/fact"
	"rollcall/internal/seal"
)

// planner is what one planning run knows.
type planner struct {
	root     *os.Root
	opt      Options
	snap     Snapshot
	accounts accounts
	defaults map[string]fact.Conffile // the new installation's, by absolute path
	have     map[string]fact.File     // what is here, by fact path
	want     map[string]fact.File
	own      map[string]string
	contents map[string][]byte // by fact path, sealed ones opened
	pristine map[string][]byte // the old package defaults, by fact path
}

// NewPlan compares the source with the tree below root (the folder that holds
// etc) and says what a restore would do. Nothing is written.
func NewPlan(ctx context.Context, src Source, root *os.Root, opt Options) (Plan, error) {
	snap, err := src.Snapshot(ctx)
	if err != nil {
		return Plan{}, err
	}
	p := &planner{root: root, opt: opt, snap: snap, own: own(), want: map[string]fact.File{}, contents: map[string][]byte{}, pristine: map[string][]byte{}}
	for _, f := range snap.Etc {
		file, err := fact.ParseFile(f.Value)
		if err != nil {
			return Plan{}, fmt.Errorf("plan: %.80q: %w", f.Path, err)
		}
		p.want[f.Path] = file
	}
	if p.have, err = scan(ctx, root); err != nil {
		return Plan{}, err
	}
	if p.accounts, err = readAccounts(root); err != nil {
		return Plan{}, err
	}
	if p.defaults, err = readDefaults(root); err != nil {
		return Plan{}, err
	}
	if err := p.fetch(ctx, src); err != nil {
		return Plan{}, err
	}
	p.expectAccounts()
	plan := Plan{Snapshot: snap}
	for _, f := range snap.Etc {
		if p.selected(f.Path) {
			plan.Entries = append(plan.Entries, p.entry(f.Path))
		}
	}
	for name, have := range p.have {
		if _, both := p.want[name]; !both && p.selected(name) {
			plan.Entries = append(plan.Entries, p.extra(name, have))
		}
	}
	slices.SortFunc(plan.Entries, func(a, b Entry) int { return cmp.Compare(a.Path, b.Path) })
	return plan, p.unknownPaths()
}

// scan lists what is below etc. Secrets come out as keyed fingerprints under a
// key of the moment, which says that they must not be shown.
func scan(ctx context.Context, root *os.Root) (map[string]fact.File, error) {
	dir, err := root.Open(".")
	if err != nil {
		return nil, fmt.Errorf("look at etc: %w", err)
	}
	defer dir.Close()
	key, err := seal.NewFingerprintKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	out := map[string]fact.File{}
	s := etc.Scanner{Dir: dir, Key: key}
	res, err := s.Scan(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	for _, f := range res.Facts {
		if fact.SectionOf(f.Path) != "etc" {
			continue
		}
		if out[f.Path], err = fact.ParseFile(f.Value); err != nil {
			return nil, fmt.Errorf("look at %.80q: %w", f.Path, err)
		}
	}
	return out, nil
}

// fetch gets the contents of all files that are selected and not the same here,
// and the old package defaults of changed conffiles.
func (p *planner) fetch(ctx context.Context, src Source) error {
	var needs []Need
	for name, want := range p.want {
		if !p.selected(name) || !want.HasContent() {
			continue
		}
		opened, elsewhere := p.opt.Opened[want.Digest]
		elsewhere = elsewhere && want.Kind == fact.KindSealed
		if want.Kind == fact.KindSealed && !elsewhere && p.opt.Identities.Len() == 0 {
			continue
		}
		if have, here := p.have[name]; here && want.Kind == fact.KindPlain && have.Kind == want.Kind && have.Digest == want.Digest {
			continue
		}
		if elsewhere {
			p.contents[name] = opened
		} else {
			needs = append(needs, Need{Path: name, Digest: want.Digest, Sealed: want.Kind == fact.KindSealed})
		}
		if drift, ok := p.drift(name); ok && drift.Drift == fact.Modified {
			needs = append(needs, Need{Path: name, MD5: &drift.Pristine})
		}
	}
	slices.SortFunc(needs, func(a, b Need) int { return cmp.Compare(a.Path, b.Path) })
	return src.Contents(ctx, needs, func(n Need, b []byte) error {
		if !n.matches(b) { // sources check it; nothing is written that only they vouch for
			return fmt.Errorf("%s: %w", n.Path, ErrExchanged)
		}
		switch {
		case n.MD5 != nil:
			p.pristine[n.Path] = b
		case n.Sealed:
			plain, err := seal.Open(b, p.opt.Identities, maxFile)
			if errors.Is(err, seal.ErrNoIdentity) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("%s: %w", n.Path, err)
			}
			p.contents[n.Path] = plain
		default:
			p.contents[n.Path] = b
		}
		return nil
	})
}

// expectAccounts takes the accounts that will be here once the plan is applied:
// those of the source where its passwd and group are restored as well.
func (p *planner) expectAccounts() {
	for name, into := range map[string]*map[string]int{passwdPath: &p.accounts.users, groupPath: &p.accounts.groups} {
		if _, there := p.want[name]; !there || !p.selected(name) {
			continue
		}
		if e := p.entry(name); e.acts() && e.hasContent {
			*into = parseIDs(e.content)
		}
	}
}

func (p *planner) drift(name string) (fact.ConffileDrift, bool) {
	v, ok := p.snap.Conffile.Get("conffile/" + name)
	if !ok {
		return fact.ConffileDrift{}, false
	}
	d, err := fact.ParseConffileDrift(v)
	return d, err == nil
}

// selected tells whether a path is one of those asked for, or below one.
func (p *planner) selected(name string) bool {
	if len(p.opt.Paths) == 0 {
		return true
	}
	return slices.ContainsFunc(p.opt.Paths, func(given string) bool {
		at := factPath(given)
		return name == at || strings.HasPrefix(name, at+"/") || at == "etc"
	})
}

// named tells whether the path itself was given.
func (p *planner) named(name string) bool {
	return slices.ContainsFunc(p.opt.Paths, func(given string) bool { return factPath(given) == name })
}

// factPath turns "/etc/cups" or "etc/cups" into the path of a fact.
func factPath(given string) string {
	return fact.Escape(strings.TrimPrefix(path.Clean("/"+given), "/"))
}

// unknownPaths tells about paths that were asked for and are nowhere.
func (p *planner) unknownPaths() error {
	var errs []error
	for _, given := range p.opt.Paths {
		at := factPath(given)
		found := at == "etc"
		for _, m := range []map[string]fact.File{p.want, p.have} {
			for name := range m {
				found = found || name == at || strings.HasPrefix(name, at+"/")
			}
		}
		if !found {
			errs = append(errs, fmt.Errorf("plan: %s is neither here nor in the source", fact.Escape(given)))
		}
	}
	return errors.Join(errs...)
}

// extra is the entry of something that the source does not have.
func (p *planner) extra(name string, have fact.File) Entry {
	e := Entry{Path: name, Action: Kept, Have: &have}
	if d, ok := p.drift(name); ok && d.Drift == fact.Missing {
		e.Reason = "conffile of " + d.Package + " that was deleted there"
	}
	if p.opt.Delete && ownReason(p.own, name) == "" {
		e.Action = Delete
	}
	return e
}

// entry decides about one path of the source.
func (p *planner) entry(name string) Entry {
	want := p.want[name]
	e := Entry{Path: name, Want: want}
	if have, here := p.have[name]; here {
		e.Have = &have
	}
	e.OwnerMissing = p.accounts.missing(want)
	if !safePath(name) {
		e.Action, e.Reason = Blocked, "the name is not one that a file can have"
		return e
	}
	if e.Have == nil {
		if info, err := p.root.Lstat(fileName(name)); err == nil {
			e.Action, e.Reason = Blocked, fmt.Sprintf("here is something that is not looked at (%s)", info.Mode().Type())
			if info.Mode().IsRegular() || info.Mode()&fs.ModeSymlink != 0 {
				e.Reason = "here is a file that is left out of inventories (generated or running state)"
			}
			return e
		}
	}
	p.decide(&e)
	if why := ownReason(p.own, name); why != "" && e.acts() && !p.opt.All && !p.named(name) {
		e.Action, e.Reason, e.Diff = Own, why, ""
	}
	if e.acts() {
		p.partner(&e)
	}
	return e
}

func (e *Entry) acts() bool {
	switch e.Action {
	case Create, Change, Merge, Conflict, Delete:
		return true
	}
	return false
}

// partner keeps the public half of a key pair back whose private half cannot be
// restored: the two would not fit.
func (p *planner) partner(e *Entry) {
	private, ok := strings.CutSuffix(e.Path, ".pub")
	w, there := p.want[private]
	if !ok || !there || w.Kind != fact.KindSealed && w.Kind != fact.KindKeyed {
		return
	}
	if _, opened := p.contents[private]; !opened {
		e.Action, e.Reason, e.Diff = Sealed, "belongs to "+path.Base(private)+", which is sealed", ""
		if w.Kind == fact.KindKeyed {
			e.Action, e.Reason = Withheld, "belongs to "+path.Base(private)+", which the source does not hold"
		}
	}
}

func (p *planner) decide(e *Entry) {
	want, have := e.Want, e.Have
	switch {
	case want.Kind == fact.KindOther:
		e.Action, e.Reason = Withheld, "a socket, FIFO or device"
	case have != nil && (want.Kind == fact.KindDir) != (have.Kind == fact.KindDir):
		e.Action, e.Reason = Blocked, fmt.Sprintf("a %s there, a %s here: move it away first", kindWord(want.Kind), kindWord(have.Kind))
	case want.Kind == fact.KindDir:
		p.attributesOnly(e)
	case want.Kind == fact.KindLink:
		if have != nil && have.Kind == fact.KindLink && have.Target == want.Target {
			p.attributesOnly(e)
			return
		}
		here, err := p.read(have, e.Path)
		if err != nil {
			e.Action, e.Reason = Blocked, err.Error()
			return
		}
		e.Action, e.known = createOrChange(have), sha256.Sum256(here)
	default:
		p.decideContent(e)
	}
}

func createOrChange(have *fact.File) Action {
	if have == nil {
		return Create
	}
	return Change
}

// attributesOnly is for entries whose content is, or will stay, as it is.
func (p *planner) attributesOnly(e *Entry) {
	e.Action = createOrChange(e.Have)
	if e.Have == nil {
		return
	}
	what := p.accounts.attributeDiff(e.Want, *e.Have)
	if e.Reason = strings.Join(what, ", "); len(what) == 0 {
		e.Action = Same
	}
}

// read returns the content that is here: nil if there is no regular file, or
// one that is too large to be compared.
func (p *planner) read(have *fact.File, name string) ([]byte, error) {
	if have == nil {
		return nil, nil
	}
	switch have.Kind {
	case fact.KindPlain, fact.KindSealed, fact.KindKeyed:
		b, err := readFile(p.root, fileName(name), maxFile)
		if b == nil && err == nil {
			b = []byte{}
		}
		return b, err
	}
	return nil, nil
}

func kindWord(k fact.Kind) string {
	switch k {
	case fact.KindDir:
		return "folder"
	case fact.KindLink:
		return "link"
	case fact.KindOther:
		return "socket, FIFO or device"
	}
	return "file"
}

// fileName is the raw name of a fact's path below the root. safePath has been
// asked before.
func fileName(name string) string {
	raw, err := fact.Unescape(name)
	if err != nil {
		return name
	}
	return raw
}

// safePath tells whether a path from a manifest names something below etc and
// nothing else, whatever it is made of.
func safePath(name string) bool {
	raw, err := fact.Unescape(name)
	return err == nil && strings.HasPrefix(raw, "etc/") && path.Clean(raw) == raw && !strings.Contains(raw, "\x00") && fact.Escape(raw) == name
}
