package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/store"
)

// resolved is a report whose sets have been worked out, outside of any lane: a
// set is named by its digest, so nothing that happens meanwhile can change it.
type resolved struct {
	base    fact.State // what the deltas start from; nil for a full report
	next    fact.State
	sets    []cmdb.Prepared
	lacking map[fact.Digest]bool // contents that are not stored
	missing []fact.Digest        // those of them that are asked for
	full    bool
	image   bool   // the deltas start from what the image has that the machine booted
	site    string // of the CI
}

// resolve applies the deltas to the sets they start from, checks every fact, and
// finds the contents that the store lacks. A base that is not the CI's present
// state leaves next nil.
//
// A seat may tell what it has otherwise than the image that it booted: its base is
// the present state of that image's CI then, which the operator named who made its
// token. No machine chooses an image itself.
func (s *Service) resolve(r store.Reader, key enrol.Key, body *rollcallv1.Body, rep *rollcallv1.Report) (resolved, error) {
	items := cmdb.At(r, s.Tenant, s.Sets, cmdb.Everywhere)
	id := key.CI
	ci, err := items.CI(id)
	if err != nil {
		return resolved{}, err
	}
	ws := resolved{full: rep.GetFull(), site: ci.Site, next: fact.State{}, lacking: map[fact.Digest]bool{}}
	if !ws.full {
		if ws.base, ws.image, err = baseOf(items, ci, key.Image, body.GetBase()); err != nil || ws.base == nil {
			return resolved{}, err
		}
		maps.Copy(ws.next, ws.base)
	}
	for _, d := range rep.GetDeltas() {
		if err := s.section(r, items, ci.Site, d, &ws); err != nil {
			return resolved{}, err
		}
	}
	for _, p := range ws.sets {
		if err := checkImage(key, p); err != nil {
			return resolved{}, err
		}
	}
	if got := ws.next.Digest(); !bytes.Equal(got[:], body.GetState()) {
		return resolved{}, fmt.Errorf("report of CI %s: %w: it does not lead to the state it signs", id, ErrMalformed)
	}
	if len(ws.next) > maxSections {
		return resolved{}, fmt.Errorf("report of CI %s: %w: %d sections, at most %d", id, ErrMalformed, len(ws.next), maxSections)
	}
	ws.ask()
	return ws, nil
}

// baseOf finds the state with that digest: that of the CI, or of the image that it
// booted. It is nil if neither is.
func baseOf(items cmdb.View, ci cmdb.CI, image string, digest []byte) (base fact.State, fromImage bool, err error) {
	if d := ci.State.Digest(); bytes.Equal(digest, d[:]) {
		if ci.State == nil {
			ci.State = fact.State{}
		}
		return ci.State, false, nil
	}
	if image == "" {
		return nil, false, nil
	}
	of, err := items.CI(image)
	if errors.Is(err, cmdb.ErrNotFound) {
		return nil, false, nil
	}
	if d := of.State.Digest(); err != nil || len(of.State) == 0 || !bytes.Equal(digest, d[:]) {
		return nil, false, err
	}
	return of.State, true, nil
}

// checkImage refuses a report that names another image than the one that the
// machine's token lies in.
func checkImage(key enrol.Key, p cmdb.Prepared) error {
	if named, ok := p.Get("id/image"); ok && named != key.Image {
		return fmt.Errorf("report of CI %s: %w: it names image %.40q, its token lies in %q", key.CI, ErrMalformed, named, key.Image)
	}
	return nil
}

// ask lists what is asked for of the contents that are lacking.
func (ws *resolved) ask() {
	ws.missing = slices.SortedFunc(maps.Keys(ws.lacking), func(a, b fact.Digest) int { return bytes.Compare(a[:], b[:]) })
	ws.missing = ws.missing[:min(maxMissing, len(ws.missing))]
}

func holds(s fact.State, d fact.Digest) bool {
	for _, have := range s {
		if have == d {
			return true
		}
	}
	return false
}

// section works out one section of a report.
func (s *Service) section(r store.Reader, items cmdb.View, site string, delta []byte, ws *resolved) error {
	base, result, err := fact.DeltaEnds(delta)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if !base.IsZero() && !holds(ws.next, base) { // before any set is read: this is no way to ask for those of others
		return fmt.Errorf("delta to %.12s: %w: it starts from a set that the CI does not have", result, ErrMalformed)
	}
	p, err := s.Sets.Derive(r, s.Tenant, delta)
	if errors.Is(err, fact.ErrBase) || errors.Is(err, fact.ErrEncoding) {
		err = fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	switch {
	case err != nil:
		return err
	case p.Section == "":
		return fmt.Errorf("delta to %.12s: %w: it has no section", result, ErrMalformed)
	case ws.next[p.Section] != base:
		return fmt.Errorf("section %.20q: %w: the delta starts from another set", p.Section, ErrMalformed)
	}
	if err := fact.Set(p.News).Check(p.Section); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err := checkCount(p); err != nil {
		return err
	}
	if p.Len == 0 {
		delete(ws.next, p.Section)
		return nil
	}
	ws.next[p.Section] = p.Digest
	ws.sets = append(ws.sets, p)
	if p.Section != "etc" {
		return nil
	}
	if err := checkFiles(p.News); err != nil {
		return err
	}
	return s.findContents(items, site, p, base.IsZero(), ws.lacking)
}

// What one machine may have: ten times what is usual. Who has more is told, and
// costs nobody else anything.
const (
	maxFiles    = 20_000 // files, folders and links below /etc
	maxPackages = 20_000
)

func checkCount(p cmdb.Prepared) error {
	switch {
	case p.Len > fact.MaxFacts:
		return fmt.Errorf("section %s: %w: %d facts, at most %d", p.Section, ErrMalformed, p.Len, fact.MaxFacts)
	case p.Section == "etc" && p.Len > maxFiles:
		return fmt.Errorf("section etc: %w: %d files, at most %d: exclude some on the machine", ErrQuota, p.Len, maxFiles)
	case p.Section == "pkg" && p.Len > maxPackages:
		n, last := 0, ""
		for _, f := range p.Facts() {
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

// checkFiles refuses facts below etc/ that are not about files.
func checkFiles(facts []fact.Fact) error {
	for _, f := range facts {
		if _, err := fact.ParseFile(f.Value); err != nil {
			return fmt.Errorf("fact %.80q: %w: %w", f.Path, ErrMalformed, err)
		}
		if err := checkTreePath(f.Path); err != nil {
			return err
		}
	}
	return nil
}

// findContents collects the contents that a set of files names and that no machine
// of the same site has uploaded: what others have elsewhere cannot be had by naming
// it. Those of a set that the CI has were looked for before.
func (s *Service) findContents(items cmdb.View, site string, p cmdb.Prepared, full bool, lacking map[fact.Digest]bool) error {
	if err := contentsOf(items, site, p.News, lacking); err != nil || !full || p.Base.IsZero() {
		return err
	}
	missing, err := s.gaps.of(items, site, p.Base)
	for _, m := range missing {
		if v, ok := p.Get(m.path); ok && v == m.value { // it has the file as its base has it
			lacking[m.content] = true
		}
	}
	return err
}

// contentsOf collects the contents that files name and that are not held at a site.
func contentsOf(items cmdb.View, site string, files []fact.Fact, lacking map[fact.Digest]bool) error {
	for _, f := range files {
		file, err := fact.ParseFile(f.Value)
		if err != nil || !file.HasContent() || lacking[file.Digest] {
			continue // checkFiles has said what is wrong
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
