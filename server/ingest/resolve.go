package ingest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/store"
)

// resolved is a report whose sets have been worked out, outside of any lane: a
// set is named by its digest, so nothing that happens meanwhile can change it.
type resolved struct {
	base    fact.State // what the deltas start from; nil for a full report
	next    fact.State
	sets    []cmdb.Prepared
	missing []fact.Digest
	full    bool
}

// resolve applies the deltas to the sets they start from, checks every fact, and
// finds the contents that the store lacks. A base that is not the CI's present
// state leaves next nil.
func (s *Service) resolve(r store.Reader, id string, body *rollcallv1.Body, rep report) (resolved, error) {
	items := cmdb.At(r, s.Tenant, s.Sets, cmdb.Everywhere)
	ci, err := items.CI(id)
	if err != nil {
		return resolved{}, err
	}
	ws := resolved{full: rep.GetFull(), next: fact.State{}}
	if !ws.full {
		d := ci.State.Digest()
		if !bytes.Equal(body.GetBase(), d[:]) {
			return resolved{}, nil
		}
		ws.base = ci.State
		maps.Copy(ws.next, ci.State)
	}
	lacking := map[fact.Digest]bool{}
	for _, d := range rep.deltas {
		if !d.Base.IsZero() && !holds(ws.next, d.Base) { // before any set is read: this is no way to ask for those of others
			return resolved{}, fmt.Errorf("delta to %.12s: %w: it starts from a set that the CI does not have", d.Result, ErrMalformed)
		}
		name, set, err := s.apply(items, d)
		if err != nil {
			return resolved{}, err
		}
		if !d.Base.IsZero() && ws.next[name] != d.Base || d.Base.IsZero() && !ws.next[name].IsZero() {
			return resolved{}, fmt.Errorf("section %s: %w: the delta starts from another set", name, ErrMalformed)
		}
		if len(set) == 0 {
			delete(ws.next, name)
			continue
		}
		p, err := s.Sets.Prepare(r, s.Tenant, set, d)
		if err != nil {
			return resolved{}, err
		}
		ws.next[name] = d.Result
		ws.sets = append(ws.sets, p)
		if err := s.lacks(items, ci.Site, name, d.Put, lacking); err != nil {
			return resolved{}, err
		}
	}
	if got := ws.next.Digest(); !bytes.Equal(got[:], body.GetState()) {
		return resolved{}, fmt.Errorf("report of CI %s: %w: it does not lead to the state it signs", id, ErrMalformed)
	}
	if len(ws.next) > maxSections {
		return resolved{}, fmt.Errorf("report of CI %s: %w: %d sections, at most %d", id, ErrMalformed, len(ws.next), maxSections)
	}
	for d := range lacking {
		ws.missing = append(ws.missing, d)
	}
	slices.SortFunc(ws.missing, func(a, b fact.Digest) int { return bytes.Compare(a[:], b[:]) })
	ws.missing = ws.missing[:min(maxMissing, len(ws.missing))]
	return ws, nil
}

func holds(s fact.State, d fact.Digest) bool {
	for _, have := range s {
		if have == d {
			return true
		}
	}
	return false
}

func (s *Service) apply(items cmdb.View, d fact.Delta) (name string, set fact.Set, err error) {
	var base fact.Set
	if !d.Base.IsZero() {
		if base, err = items.LoadSet(d.Base); err != nil {
			return "", nil, err
		}
	}
	if name, err = section(d, base); err != nil {
		return "", nil, err
	}
	if set, err = d.Onto(base); err != nil {
		return "", nil, fmt.Errorf("section %s: %w: %w", name, ErrMalformed, err)
	}
	// The base was checked when it was stored, and keeps its order: only what is
	// new in it can break a rule.
	if err = fact.Set(d.Put).Check(name); err != nil {
		return "", nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if len(base) > 0 && base[0].Section() != name || len(set) > fact.MaxFacts {
		return "", nil, fmt.Errorf("section %s: %w: more than %d facts, or a base of another section", name, ErrMalformed, fact.MaxFacts)
	}
	return name, set, checkCount(name, set)
}

// What one machine may have: ten times what is usual. Who has more is told, and
// costs nobody else anything.
const (
	maxFiles    = 20_000 // files, folders and links below /etc
	maxPackages = 20_000
)

func checkCount(section string, set fact.Set) error {
	switch section {
	case "etc":
		if len(set) > maxFiles {
			return fmt.Errorf("section etc: %w: %d files, at most %d: exclude some on the machine", ErrQuota, len(set), maxFiles)
		}
	case "pkg":
		n, last := 0, ""
		for _, f := range set {
			if name := strings.SplitN(f.Path, "/", 3); len(name) > 1 && name[1] != last {
				n, last = n+1, name[1]
			}
		}
		if n > maxPackages {
			return fmt.Errorf("section pkg: %w: %d packages, at most %d", ErrQuota, n, maxPackages)
		}
	}
	return nil
}

// lacks collects the contents of new or changed files that no machine of the same
// site has uploaded: what others have elsewhere cannot be had by naming it.
func (s *Service) lacks(items cmdb.View, site, name string, put []fact.Fact, lacking map[fact.Digest]bool) error {
	if name != "etc" {
		return nil
	}
	for _, f := range put {
		file, err := fact.ParseFile(f.Value)
		if err != nil {
			return fmt.Errorf("fact %.80q: %w: %w", f.Path, ErrMalformed, err)
		}
		if err := checkTreePath(f.Path); err != nil {
			return err
		}
		if !file.HasContent() || lacking[file.Digest] {
			continue
		}
		have, err := items.Holds(site, file.Digest)
		if err != nil {
			return err
		}
		if !have {
			lacking[file.Digest] = true
		}
	}
	return nil
}

// checkTreePath refuses a path that no walk of a file system can give, also
// one that becomes such a path when it is unescaped: who restores does that.
func checkTreePath(path string) error {
	for part := range strings.SplitSeq(path, "/") {
		raw, err := fact.Unescape(part)
		if err != nil || fact.Escape(raw) != part || raw == "" || raw == "." || raw == ".." || strings.ContainsAny(raw, "/\x00") {
			return fmt.Errorf("fact %.80q: %w: no file has such a path", path, ErrMalformed)
		}
	}
	return nil
}
