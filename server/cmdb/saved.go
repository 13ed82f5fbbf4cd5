package cmdb

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/store"
)

// What people gave a name to, to use it in filters: a filter, or a baseline. It
// belongs to a site. Who may write about all of that site may change it; who sees
// anything in that site, or the whole of what the site lies in, may use it: whoever
// saves something for a school saves it for the people of its rooms, too.

const (
	maxAbout = 500
	// baselinePart is the size of one value of a baseline's facts, and
	// maxBaseline how many there are at most: as much as one transaction takes.
	baselinePart = 48 << 10
	maxBaseline  = 10
)

// Filter is a filter that has a name.
type Filter struct {
	Name   string    `json:"name"`
	Site   string    `json:"site,omitempty"`
	Text   string    `json:"text"`             // with "$word" for each parameter
	Params []string  `json:"params,omitempty"` // without the "$"
	About  string    `json:"about,omitempty"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
}

// Baseline is what machines should have in common: the facts that the machines had
// from which it was made.
type Baseline struct {
	Name   string    `json:"name"`
	Site   string    `json:"site,omitempty"`
	Filter string    `json:"filter"`          // which machines it was made from
	AsOf   time.Time `json:"as_of,omitzero"`  // and as of when; zero: when it was made
	Of     int       `json:"of"`              // how many machines
	Share  int       `json:"share"`           // of 100 machines that have each fact
	Paths  []string  `json:"paths,omitempty"` // beginnings of paths that it is limited to
	Facts  int       `json:"facts"`
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Parts  int       `json:"parts"` // values that its facts take
}

// concerns tells whether what was saved for a site is of use in the scope.
func (s Scope) concerns(site string) bool {
	return site == "" || s.Sees(site) || slices.ContainsFunc(s.sites, func(subtree string) bool { return InSite(subtree, site) })
}

// Filters returns the saved filters that concern the scope, by name.
func (v View) Filters() ([]Filter, error) {
	all, err := store.ListJSON[Filter](v.r, store.Record, filterKey(v.tenant, "").K)
	return slices.DeleteFunc(all, func(f Filter) bool { return !v.scope.concerns(f.Site) }), err
}

// Filter returns the text of a saved filter; false if none of that name concerns
// the scope.
func (v View) Filter(name string) (text string, ok bool, err error) {
	var f Filter
	ok, err = store.GetJSON(v.r, filterKey(v.tenant, name), &f)
	return f.Text, ok && v.scope.concerns(f.Site), err
}

// Relations implements query.Related. A CI outside of the scope does not exist.
func (v View) Relations(idOrName string) (id string, names []string, ok bool, err error) {
	ci, err := v.CI(idOrName)
	if errors.Is(err, ErrNotFound) {
		return "", nil, false, nil
	}
	if err != nil {
		return "", nil, false, err
	}
	if d, ok := ci.State["id"]; ok {
		image, has, err := v.Value(d, "id/image")
		if err != nil {
			return "", nil, false, err
		}
		if has {
			names = append(names, image)
		}
	}
	if into := ci.Into(); into != "" {
		names = append(names, into)
	}
	return ci.ID, names, true, nil
}

// Baselines returns the baselines that concern the scope, by name.
func (v View) Baselines() ([]Baseline, error) {
	all, err := store.ListJSON[Baseline](v.r, store.Record, baselineKey(v.tenant, "").K)
	return slices.DeleteFunc(all, func(b Baseline) bool { return !v.scope.concerns(b.Site) }), err
}

// BaselineNamed returns a baseline, or ErrNotFound if none of that name concerns
// the scope.
func (v View) BaselineNamed(name string) (Baseline, error) {
	var b Baseline
	ok, err := store.GetJSON(v.r, baselineKey(v.tenant, name), &b)
	if err == nil && !(ok && v.scope.concerns(b.Site)) {
		err = fmt.Errorf("baseline %.80q: %w", name, ErrNoName)
	}
	return b, err
}

// Baseline returns the facts of a baseline; false if none of that name concerns
// the scope.
func (v View) Baseline(name string) (fact.Set, bool, error) {
	var b Baseline
	ok, err := store.GetJSON(v.r, baselineKey(v.tenant, name), &b)
	if err != nil || !ok || !v.scope.concerns(b.Site) {
		return nil, false, err
	}
	var all []byte
	for n := range b.Parts {
		k := baselinePartKey(v.tenant, name, n)
		part, err := store.GetFramed(v.r, k)
		if err == nil && part == nil {
			err = &store.CorruptError{Key: k, Reason: "it is missing"}
		}
		if err != nil {
			return nil, false, fmt.Errorf("baseline %s: %w", name, err)
		}
		all = append(all, part...)
	}
	facts, err := fact.DecodeSet(all)
	if err != nil {
		return nil, false, &store.CorruptError{Key: baselineKey(v.tenant, name), Reason: err.Error()}
	}
	return facts, true, nil
}

// mayName returns an error unless the scope holds all of the site and, where
// something of that name is saved, of its site.
func (w Writer) mayName(what, name, site, old string, there bool) error {
	if site != "" {
		if err := w.HasSite(site); err != nil {
			return err
		}
	}
	if there && !w.scope.Sees(old) || !w.scope.Sees(site) {
		return fmt.Errorf("%s %s: %w: they are %s", what, name, ErrScope, w.scope)
	}
	return nil
}

// SaveFilter stores a filter, in the place of one with its name. Name and text are
// for the caller to check.
func (w Writer) SaveFilter(f Filter) error {
	old, there, err := w.filter(f.Name)
	if err != nil {
		return err
	}
	if err := w.mayName("filter", f.Name, f.Site, old.Site, there); err != nil {
		return err
	}
	f.About = fact.Value(fact.Cut(strings.TrimSpace(f.About), maxAbout))
	return w.put(filterKey(w.tenant, f.Name), f)
}

// RemoveFilter removes a saved filter. It returns ErrNoName if there is none.
func (w Writer) RemoveFilter(name string) (Filter, error) {
	f, there, err := w.filter(name)
	if err == nil && !(there && w.scope.concerns(f.Site)) {
		err = fmt.Errorf("filter %.80q: %w", name, ErrNoName)
	}
	if err == nil {
		err = w.mayName("filter", name, f.Site, f.Site, true)
	}
	if err != nil {
		return f, err
	}
	return f, w.tx.Delete(filterKey(w.tenant, name))
}

func (w Writer) filter(name string) (f Filter, there bool, err error) {
	there, err = store.GetJSON(w.tx, filterKey(w.tenant, name), &f)
	return f, there, err
}

// SetBaseline stores a baseline and its facts, in the place of one with its name.
// It returns ErrInvalid if it holds nothing or too much.
func (w Writer) SetBaseline(b Baseline, facts fact.Set) (Baseline, error) {
	enc := facts.Encode()
	switch most := maxBaseline * baselinePart; {
	case len(facts) == 0:
		return b, fmt.Errorf("baseline %s: %w: the machines have nothing in common there", b.Name, ErrInvalid)
	case len(enc) > most:
		return b, fmt.Errorf("baseline %s: %w: %d facts take %d bytes, at most %d: name the paths that matter, such as pkg or etc/cups", b.Name, ErrInvalid, len(facts), len(enc), most)
	}
	old, there, err := w.baseline(b.Name)
	if err == nil {
		err = w.mayName("baseline", b.Name, b.Site, old.Site, there)
	}
	if err == nil {
		err = w.dropFacts(old)
	}
	if err != nil {
		return b, err
	}
	b.Facts, b.Parts = len(facts), 0
	b.Reason = fact.Value(fact.Cut(strings.TrimSpace(b.Reason), maxAbout))
	for part := range slices.Chunk(enc, baselinePart) {
		if err := store.PutFramed(w.tx, baselinePartKey(w.tenant, b.Name, b.Parts), part); err != nil {
			return b, err
		}
		b.Parts++
	}
	return b, w.put(baselineKey(w.tenant, b.Name), b)
}

// RemoveBaseline removes a baseline. It returns ErrNoName if there is none.
func (w Writer) RemoveBaseline(name string) (Baseline, error) {
	b, there, err := w.baseline(name)
	if err == nil && !(there && w.scope.concerns(b.Site)) {
		err = fmt.Errorf("baseline %.80q: %w", name, ErrNoName)
	}
	if err == nil {
		err = w.mayName("baseline", name, b.Site, b.Site, true)
	}
	if err == nil {
		err = w.dropFacts(b)
	}
	if err != nil {
		return b, err
	}
	return b, w.tx.Delete(baselineKey(w.tenant, name))
}

func (w Writer) baseline(name string) (b Baseline, there bool, err error) {
	there, err = store.GetJSON(w.tx, baselineKey(w.tenant, name), &b)
	return b, there, err
}

func (w Writer) dropFacts(b Baseline) error {
	for n := range b.Parts {
		if err := w.tx.Delete(baselinePartKey(w.tenant, b.Name, n)); err != nil {
			return err
		}
	}
	return nil
}
