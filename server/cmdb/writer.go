package cmdb

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/store"
)

// Writer changes the CIs of a scope within one transaction.
type Writer struct {
	tx     store.Tx
	tenant string
	scope  Scope
}

// In returns the package as a caller with that scope sees it in a transaction.
// Nothing it returns may be used after the transaction.
func In(tx store.Tx, tenant string, scope Scope) Writer { return Writer{tx, tenant, scope} }

// CI returns the head of a CI by id, or ErrNotFound.
func (w Writer) CI(id string) (CI, error) { return getCI(w.tx, w.tenant, w.scope, id) }

// Resolve returns the head of a CI by id or name, or ErrNotFound.
func (w Writer) Resolve(idOrName string) (CI, error) {
	return resolve(w.tx, w.tenant, w.scope, idOrName)
}

// New returns a CI that is not yet stored, with a free name made out of the one
// wanted: "pc07", or "pc07-2" if that is taken. Record stores it.
func (w Writer) New(id, want, class, site string) (CI, error) {
	if err := CheckClass(class); err != nil {
		return CI{}, err
	}
	if err := w.HasSite(site); err != nil {
		return CI{}, err
	}
	name, err := w.free(NameFrom(want), func(name string) store.Key { return nameKey(w.tenant, name) }, id)
	if err != nil {
		return CI{}, err
	}
	return CI{ID: id, Name: name, Class: class, Site: site, Status: InProduction}, nil
}

// HasSite returns ErrInvalid unless path is empty or a site that exists, so that
// a typing error is no new place, and ErrScope if it is not in the scope.
func (w Writer) HasSite(site string) error {
	if err := CheckSite(site); err != nil {
		return err
	}
	if err := w.scope.Check(site); err != nil || site == "" {
		return err
	}
	return w.exists(site)
}

func (w Writer) exists(site string) error {
	b, err := w.tx.Get(siteKey(w.tenant, site))
	if err == nil && b == nil {
		err = fmt.Errorf("site %q: %w: there is no such site, add it with 'rollcall site add %s'", site, ErrInvalid, site)
	}
	return err
}

// maxNumbered is how many machines of one name get a number after it. Each costs
// the next one a read.
const maxNumbered = 100

// free returns want, or want-2, want-3 … whichever no other CI holds, or at last
// want with the beginning of the CI's id: a thousand machines may call themselves
// localhost. The key is read as absent and then written, which every engine
// protects.
func (w Writer) free(want string, key func(string) store.Key, ci string) (string, error) {
	for n := 1; n <= maxNumbered+1; n++ {
		name := want
		if n > 1 {
			name = want + "-" + strconv.Itoa(n)
		}
		if n > maxNumbered {
			name = want + "-" + ci[2:min(10, len(ci))]
		}
		holder, err := store.GetFramed(w.tx, key(strings.ToLower(name)))
		if err != nil {
			return "", err
		}
		if holder == nil || string(holder) == ci {
			return name, nil
		}
	}
	return "", fmt.Errorf("name %q: %w, and so are its first %d numbers", want, ErrTaken, maxNumbered)
}

// Record stores next as the present head of the CI and one revision that leads
// to it from old, which is the head as read in this transaction (or the zero CI
// for a new one). r says who, why and from what; the rest is filled in. The
// revision enters the mirror's outbox. ErrTaken is returned if another CI holds
// the new name, ErrScope if the CI leaves or enters the scope: a move needs rights
// on both sides.
func (w Writer) Record(now time.Time, old, next CI, r Revision) (CI, Revision, error) {
	return w.record(old, next, r, func() (int64, error) { return w.stamp(now) })
}

// RecordPast is Record for a revision of a time before, which another program kept.
// Its stamp is of that time, after the CI's own last one, and not after those of other
// CIs: the mirror has to be made anew, and nobody else may use the store meanwhile.
func (w Writer) RecordPast(at time.Time, old, next CI, r Revision) (CI, Revision, error) {
	return w.record(old, next, r, func() (int64, error) {
		stamp := at.Unix()*int64(time.Second) + pastOffset(next.ID) // two histories may know one second
		if old.Rev > 0 {
			stamp = max(stamp, old.Changed.UnixNano()+1)
		}
		return stamp, nil
	})
}

// pastOffset spreads the stamps of several CIs over one second.
func pastOffset(ci string) int64 {
	sum := sha256.Sum256([]byte(ci))
	return int64(binary.BigEndian.Uint64(sum[:]) % uint64(time.Second))
}

func (w Writer) record(old, next CI, r Revision, stampOf func() (int64, error)) (CI, Revision, error) {
	if err := CheckName(next.Name); err != nil {
		return CI{}, r, err
	}
	if old.Rev > 0 && !w.scope.Sees(old.Site) {
		return CI{}, r, fmt.Errorf("CI %s: %w", next.ID, ErrNotFound)
	}
	if err := w.scope.Check(next.Site); err != nil {
		return CI{}, r, err
	}
	if err := w.guardName(old, next); err != nil {
		return CI{}, r, err
	}
	next, err := w.placeInMirror(old, next)
	if err != nil {
		return CI{}, r, err
	}
	stamp, err := stampOf()
	if err != nil {
		return CI{}, r, err
	}
	if err := w.count(); err != nil {
		return CI{}, r, err
	}
	at := time.Unix(0, stamp).UTC()
	next.Rev, next.Changed, next.Created = old.Rev+1, at, old.Created
	if old.Rev == 0 {
		next.Created = at
	}
	r.CI, r.N, r.Stamp = next.ID, next.Rev, stamp
	r.State, r.Prev, r.Fields = next.State, old.State, fieldChanges(old, next)
	r.Name, r.Class, r.Site, r.Declared = next.Name, next.Class, next.Site, string(next.Status)
	r.Repo, r.Folder, r.PrevRepo, r.PrevFolder = next.Repo, next.Folder, old.Repo, old.Folder
	if next.LastDeclared = old.LastDeclared; len(r.Fields) > 0 {
		r.PrevDeclared, next.LastDeclared = old.LastDeclared, r.N
	}
	if r.Events, err = newest(r.Events); err != nil {
		return CI{}, r, err
	}
	if err := w.put(revisionKey(w.tenant, next.ID, r.N), r); err != nil {
		return CI{}, r, err
	}
	if err := store.PutFramed(w.tx, MirrorKey(w.tenant, stamp, next.ID), []byte(be64(r.N))); err != nil {
		return CI{}, r, err
	}
	return next, r, w.put(ciKey(w.tenant, next.ID), next)
}

// CheckPlace returns an error unless ci is empty or exists, and site and class
// are ones that a CI may have. Where ci is given it stays at its own site, so site
// may be empty.
func (w Writer) CheckPlace(ci, site, class string) error {
	if err := CheckClass(class); err != nil {
		return err
	}
	if ci != "" {
		head, err := w.CI(ci)
		if err == nil && head.Into() != "" {
			err = head.Apart()
		}
		if err != nil || site == "" {
			return err
		}
	}
	return w.HasSite(site)
}

// Found stores a new CI as its first revision.
func (w Writer) Found(now time.Time, id, hostname, class, site, by, reason string) error {
	ci, err := w.New(id, hostname, class, site)
	if err != nil {
		return err
	}
	_, _, err = w.Record(now, CI{}, ci, Revision{By: by, Reason: reason})
	return err
}

// Standing returns class and trust class of a CI; found is false if there is
// none.
func (w Writer) Standing(id string) (class, trust string, found bool, err error) {
	ci, err := w.CI(id)
	if errors.Is(err, ErrNotFound) {
		return "", "", false, nil
	}
	return ci.Class, ci.TrustClass(), err == nil, err
}

// Note stores a revision that changes nothing of the CI itself but says what
// happened, to its key for one.
func (w Writer) Note(now time.Time, id, by, reason string) error {
	ci, err := w.CI(id)
	if err != nil {
		return err
	}
	_, _, err = w.Record(now, ci, ci, Revision{By: by, Reason: fact.Value(reason)})
	return err
}

// SetTrust notes on a CI how far its key is trusted. That is no revision.
func (w Writer) SetTrust(id, trust string) error {
	ci, err := w.CI(id)
	if err != nil || ci.Trust == trust {
		return err
	}
	ci.Trust = trust
	return w.put(ciKey(w.tenant, id), ci)
}

// SetCloned notes on a CI whether its key speaks from two places. That is no
// revision: nothing about the machine has changed.
func (w Writer) SetCloned(id string, cloned bool) error {
	ci, err := w.CI(id)
	if err != nil || ci.Cloned == cloned {
		return err
	}
	ci.Cloned = cloned
	return w.put(ciKey(w.tenant, id), ci)
}

func (w Writer) guardName(old, next CI) error {
	oldName, name := strings.ToLower(old.Name), strings.ToLower(next.Name)
	if oldName == name && old.Rev > 0 {
		return nil
	}
	holder, err := store.GetFramed(w.tx, nameKey(w.tenant, name))
	if err != nil {
		return err
	}
	if holder != nil && string(holder) != next.ID {
		if _, err := w.CI(string(holder)); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		} else if err != nil { // that the name is taken can be told, not by whom
			return fmt.Errorf("name %q: %w", next.Name, ErrTaken)
		}
		return fmt.Errorf("name %q: %w by CI %s", next.Name, ErrTaken, holder)
	}
	if old.Rev > 0 {
		if err := w.tx.Delete(nameKey(w.tenant, oldName)); err != nil {
			return err
		}
	}
	return store.PutFramed(w.tx, nameKey(w.tenant, name), []byte(next.ID))
}

// placeInMirror gives the CI a folder of its own in the repository of its site;
// it moves when the CI is renamed or changes school.
func (w Writer) placeInMirror(old, next CI) (CI, error) {
	next.Repo = RepoOf(next.Site)
	if old.Rev > 0 && old.Repo == next.Repo && old.Name == next.Name {
		next.Folder = old.Folder
		return next, nil
	}
	key := func(folder string) store.Key { return folderKey(w.tenant, next.Repo, folder) }
	folder, err := w.free(strings.ToLower(next.Name), key, next.ID)
	if err != nil {
		return CI{}, err
	}
	next.Folder = folder
	if err := store.PutFramed(w.tx, key(folder), []byte(next.ID)); err != nil {
		return CI{}, err
	}
	if old.Rev > 0 && (old.Repo != next.Repo || old.Folder != next.Folder) {
		return next, w.tx.Delete(folderKey(w.tenant, old.Repo, old.Folder))
	}
	return next, nil
}

// stamp gives out the server time in nanoseconds, always later than the one
// before, so that stamps order all revisions of a tenant in the order of their
// commits even when the clock is set back.
func (w Writer) stamp(now time.Time) (int64, error) {
	b, err := store.GetFramed(w.tx, stampKey(w.tenant))
	if err != nil {
		return 0, err
	}
	stamp := max(now.UnixNano(), int64(fromBE64(b))+1)
	return stamp, store.PutFramed(w.tx, stampKey(w.tenant), []byte(be64(uint64(stamp))))
}

// count adds one to the number of revisions.
func (w Writer) count() error {
	n, err := store.GetFramed(w.tx, countKey(w.tenant))
	if err != nil {
		return err
	}
	return store.PutFramed(w.tx, countKey(w.tenant), []byte(be64(fromBE64(n)+1)))
}

// SetSite stores a site of the scope. Its parent must exist, unless it has none.
func (w Writer) SetSite(s Site) error {
	if err := CheckSite(s.Path); err != nil {
		return err
	}
	if s.Path == "" {
		return fmt.Errorf("site: %w: it needs a path such as elm/north", ErrInvalid)
	}
	if err := w.scope.Check(s.Path); err != nil {
		return err
	}
	if i := strings.LastIndexByte(s.Path, '/'); i > 0 {
		if err := w.exists(s.Path[:i]); err != nil {
			return err
		}
	}
	if len(s.Title) > 200 {
		return fmt.Errorf("site %s: %w: the title is longer than 200 bytes", s.Path, ErrInvalid)
	}
	s.Title = fact.Value(s.Title)
	return w.put(siteKey(w.tenant, s.Path), s)
}

// RemoveSite removes a site. That nothing is in or below it is for the caller to
// check, in a snapshot.
func (w Writer) RemoveSite(path string) error {
	if err := w.HasSite(path); err != nil {
		return err
	}
	return w.tx.Delete(siteKey(w.tenant, path))
}

func (w Writer) put(k store.Key, v any) error { return store.PutJSON(w.tx, k, v) }

// fieldChanges lists the declared values that differ between two heads.
func fieldChanges(old, next CI) map[string]Change {
	a, b := old.declared(), next.declared()
	changes := map[string]Change{}
	for name, v := range b {
		if a[name] != v {
			changes[name] = Change{Old: a[name], New: v}
		}
	}
	for name, v := range a {
		if _, still := b[name]; !still {
			changes[name] = Change{Old: v}
		}
	}
	if len(changes) == 0 {
		return nil
	}
	return changes
}

// declared gives everything that people decide about the CI by name.
func (c CI) declared() map[string]string {
	m := maps.Clone(c.Fields)
	if m == nil {
		m = map[string]string{}
	}
	for name, v := range map[string]string{"name": c.Name, "class": c.Class, "site": c.Site, "status": string(c.Status)} {
		if v != "" {
			m[name] = v
		}
	}
	return m
}

// getCI reads the head of a CI. One outside of the scope is answered exactly as
// one that does not exist.
func getCI(g store.Getter, tenant string, scope Scope, id string) (CI, error) {
	var ci CI
	found, err := store.GetJSON(g, ciKey(tenant, id), &ci)
	if err != nil {
		return CI{}, err
	}
	if !found || !scope.Sees(ci.Site) {
		return CI{}, notFound(id)
	}
	return ci, nil
}

func notFound(idOrName string) error { return fmt.Errorf("CI %.80q: %w", idOrName, ErrNotFound) }

func resolve(g store.Getter, tenant string, scope Scope, idOrName string) (CI, error) {
	if IsID(idOrName) {
		return getCI(g, tenant, scope, idOrName)
	}
	id, err := store.GetFramed(g, nameKey(tenant, strings.ToLower(idOrName)))
	if err != nil {
		return CI{}, err
	}
	if id == nil {
		return CI{}, notFound(idOrName)
	}
	ci, err := getCI(g, tenant, scope, string(id))
	if errors.Is(err, ErrNotFound) {
		err = notFound(idOrName) // the id would tell that the name is taken
	}
	return ci, err
}
