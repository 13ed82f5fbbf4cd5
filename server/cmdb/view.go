package cmdb

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/store"
)

// View reads the CIs of a scope from one snapshot.
type View struct {
	r      store.Reader
	tenant string
	sets   *Sets
	scope  Scope
}

// At returns the package as a caller with that scope sees it in a snapshot. sets
// caches decoded fact sets across snapshots.
//
// Sets and contents are read by digest. A digest is only got from the state of a
// CI that the view shows, so these reads need no scope of their own.
func At(r store.Reader, tenant string, sets *Sets, scope Scope) View {
	return View{r, tenant, sets, scope}
}

// Scope returns the scope of the view.
func (v View) Scope() Scope { return v.scope }

// CI returns the head of a CI by id or name, or ErrNotFound.
func (v View) CI(idOrName string) (CI, error) { return resolve(v.r, v.tenant, v.scope, idOrName) }

// All yields every CI of the scope in the order of their ids. A head that is
// damaged comes as an error with its id alone; the next ones follow.
func (v View) All() iter.Seq2[CI, error] {
	return func(yield func(CI, error) bool) {
		from := []byte(v.tenant + "/")
		for p, err := range v.r.Scan(store.CI, from, store.PrefixEnd(from), 0) {
			var ci CI
			if err == nil {
				err = store.DecodeJSON(store.Key{Space: store.CI, K: p.K}, p.V, &ci)
			}
			if err != nil {
				ci = CI{ID: string(p.K[min(len(from), len(p.K)):])}
				err = fmt.Errorf("read CI %.40q: %w", p.K, err)
			} else if !v.scope.Sees(ci.Site) {
				continue
			}
			if !yield(ci, err) || err != nil && p.K == nil {
				return
			}
		}
	}
}

// Sites returns the sites of the scope by path.
func (v View) Sites() ([]Site, error) {
	all, err := store.ListJSON[Site](v.r, store.Record, siteKey(v.tenant, "").K)
	return slices.DeleteFunc(all, func(s Site) bool { return !v.scope.Sees(s.Path) }), err
}

// inScope returns ErrNotFound unless the CI with that id is in the scope.
func (v View) inScope(id string) error {
	if v.scope.All() {
		return nil // also a CI whose head is damaged: its history can be looked at
	}
	_, err := getCI(v.r, v.tenant, v.scope, id)
	return err
}

// Revision returns the n-th revision of a CI, or ErrNotFound.
func (v View) Revision(ci string, n uint64) (Revision, error) {
	if err := v.inScope(ci); err != nil {
		return Revision{}, err
	}
	return v.revision(ci, n)
}

func (v View) revision(ci string, n uint64) (Revision, error) {
	var r Revision
	found, err := store.GetJSON(v.r, revisionKey(v.tenant, ci, n), &r)
	if err == nil && !found {
		err = fmt.Errorf("revision %d of CI %s: %w", n, ci, ErrNotFound)
	}
	return r, err
}

// History yields the revisions of a CI, newest first.
func (v View) History(ci CI) iter.Seq2[Revision, error] {
	return func(yield func(Revision, error) bool) {
		if err := v.inScope(ci.ID); err != nil {
			yield(Revision{}, err)
			return
		}
		for n := ci.Rev; n >= ci.From(); n-- {
			r, err := v.revision(ci.ID, n)
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// AsOf returns the last revision of a CI that was recorded at t or before. Of its
// revisions two or three are read, however many there are. It returns ErrNotFound if
// the CI did not exist then.
func (v View) AsOf(ci CI, t time.Time) (Revision, error) {
	if err := v.inScope(ci.ID); err != nil {
		return Revision{}, err
	}
	var room [2]lightRevision
	found, err := v.lastUntil(&lightHead{ID: ci.ID, Rev: ci.Rev, First: ci.First, Created: ci.Created, Changed: ci.Changed}, nanos(t), &room)
	switch {
	case err == nil:
		return v.revision(ci.ID, found.N)
	case !errors.Is(err, ErrNotFound):
		return Revision{}, err
	case ci.From() > 1:
		return Revision{}, fmt.Errorf("CI %s at %s: %w: its history before revision %d was removed, as keep_history says", ci.Name, t.UTC().Format(time.RFC3339), ErrNotFound, ci.From())
	}
	return Revision{}, fmt.Errorf("CI %s at %s: %w: it is known since %s", ci.Name, t.UTC().Format(time.RFC3339), ErrNotFound, ci.Created.Format(time.RFC3339))
}

// As gives the head as it was after a revision: what a question with a time sees.
func (r Revision) As(ci CI) CI {
	ci.Name, ci.Class, ci.Site, ci.State, ci.Rev = r.Name, r.Class, r.Site, r.State, r.N
	ci.Status, ci.Changed, ci.Repo, ci.Folder = Status(r.Declared), r.At(), r.Repo, r.Folder
	return ci
}

// FieldsAsOf returns the declared fields as they were after revision n, by
// undoing the later changes. Revisions are read by which something was declared since,
// and no others where the store knows which ones these are.
func (v View) FieldsAsOf(ci CI, n uint64) (map[string]string, error) {
	fields := ci.declared()
	for step, err := range v.declaring(ci) {
		if err != nil {
			return nil, err
		}
		if step.N <= n {
			break
		}
		changes, err := step.Fields()
		if err != nil {
			return nil, fmt.Errorf("CI %s: %w", ci.Name, err)
		}
		for name, c := range changes {
			if c.Old == "" {
				delete(fields, name)
			} else {
				fields[name] = c.Old
			}
		}
	}
	return fields, nil
}

// Declared gives everything that people decide about the CI by name.
func (c CI) Declared() map[string]string { return c.declared() }

// Set returns one section's facts of a state; a section that is not there has
// none.
func (v View) Set(s fact.State, section string) (fact.Set, error) {
	d, ok := s[section]
	if !ok {
		return nil, nil
	}
	return v.sets.Load(v.r, v.tenant, d)
}

// Value returns what a set has at a path, and whether it has anything, without
// putting the set together.
func (v View) Value(set fact.Digest, path string) (string, bool, error) {
	h, err := v.sets.load(v.r, v.tenant, set, 0)
	if err != nil {
		return "", false, err
	}
	value, ok := h.whole.get(h.patch, path)
	return value, ok, nil
}

// LoadSet returns a fact set by digest.
func (v View) LoadSet(d fact.Digest) (fact.Set, error) { return v.sets.Load(v.r, v.tenant, d) }

// Patched returns a fact set as what it has otherwise than a whole one, which sets
// of machines that are alike share, without putting it together: d.Base is that
// whole's digest, which may be the set's own. Nothing of it may be changed.
func (v View) Patched(d fact.Digest) (whole fact.Set, delta fact.Delta, err error) {
	h, err := v.sets.load(v.r, v.tenant, d, 0)
	if err != nil {
		return nil, fact.Delta{}, err
	}
	return h.whole.facts, h.patch.delta(h.whole.digest, d), nil
}

// Stored returns a fact set as it is kept, without putting it together: either
// all of its facts and a zero base, or the delta that leads to it from base, a set
// that is kept in the same way. Chains of bases are short and end in a full set;
// what they lead to was proved when it was stored and is not hashed here.
func (v View) Stored(d fact.Digest) (base fact.Digest, delta fact.Delta, full fact.Set, err error) {
	delta, full, err = stored(v.r, v.tenant, d)
	return delta.Base, delta, full, err
}

// Guarded returns an error that wraps store.ErrCorrupt unless name and folder of
// a CI lead to it.
func (v View) Guarded(ci CI) error {
	for _, k := range []store.Key{nameKey(v.tenant, strings.ToLower(ci.Name)), folderKey(v.tenant, ci.Repo, ci.Folder)} {
		holder, err := store.GetFramed(v.r, k)
		if err != nil {
			return err
		}
		if string(holder) != ci.ID {
			return &store.CorruptError{Key: k, Reason: fmt.Sprintf("it is missing, or does not lead to CI %s", ci.ID)}
		}
	}
	return nil
}

// Count returns the number of revisions that the CIs of the scope have.
func (v View) Count() (n uint64, err error) {
	if !v.scope.All() {
		for ci, err := range v.All() {
			if err != nil {
				return 0, err
			}
			n += ci.Rev
		}
		return n, nil
	}
	b, err := store.GetFramed(v.r, countKey(v.tenant))
	return fromBE64(b), err
}

// Content returns a file content by its SHA-256, or ErrNotFound.
func (v View) Content(d fact.Digest) ([]byte, error) {
	b, err := store.GetBlob(v.r, v.tenant, contentKind, d)
	if errors.Is(err, store.ErrNoBlob) {
		err = fmt.Errorf("content %s: %w", d, ErrNotFound)
	}
	return b, err
}

// Pristine returns a content by the MD5 that dpkg records for a package's
// default; ok is false if no machine of a site that sees accepts had it by the
// stamp at (0 = ever). Anybody's content has an MD5: sees must accept no site that
// the content may not be shown from.
func (v View) Pristine(md5 string, at int64, sees func(site string) bool) (content []byte, ok bool, err error) {
	var k known
	ok, err = store.GetJSON(v.r, md5Key(v.tenant, md5), &k)
	if err != nil || !ok || at != 0 && k.Stamp > at {
		return nil, false, err
	}
	if ok, err = v.heldWhere(k.Content, at, sees); err != nil || !ok {
		return nil, false, err
	}
	content, err = v.Content(k.Content)
	return content, err == nil, err
}

// Place says where one revision stands among all.
type Place struct {
	CI    string
	N     uint64
	Stamp int64
}

// Places returns the places of all revisions, by CI and number. It is for whoever
// copies the whole store: ErrScope is returned unless the scope is Everywhere.
func (v View) Places() ([]Place, error) {
	if !v.scope.All() {
		return nil, fmt.Errorf("read all revisions: %w", ErrScope)
	}
	var all []Place
	from := []byte(v.tenant + "/")
	for p, err := range v.r.Scan(store.Event, from, store.PrefixEnd(from), 0) {
		if err != nil {
			return nil, err
		}
		var r Revision
		if err := store.DecodeJSON(store.Key{Space: store.Event, K: p.K}, p.V, &r); err != nil {
			return nil, err
		}
		all = append(all, Place{r.CI, r.N, r.Stamp})
	}
	return all, nil
}

// LastStamp returns the stamp of the newest revision; 0 if there is none.
func (v View) LastStamp() (int64, error) {
	b, err := store.GetFramed(v.r, stampKey(v.tenant))
	return int64(fromBE64(b)), err
}
