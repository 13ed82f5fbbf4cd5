package api

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/evidence"
	"rollcall/server/store"
)

// Sites lists the sites with the number of CIs in and below each.
func (s *Service) Sites(ctx context.Context, _ *rollcallv1.SitesRequest) (*rollcallv1.SitesReply, error) {
	reply := &rollcallv1.SitesReply{}
	err := s.view(ctx, func(_ store.Reader, items cmdb.View) error {
		sites, err := items.Sites()
		if err != nil {
			return err
		}
		counts := map[string]uint64{}
		for ci, err := range items.All() {
			if err != nil {
				return err
			}
			for site := ci.Site; site != ""; site = parentOf(site) {
				counts[site]++
			}
		}
		for _, site := range sites {
			reply.Sites = append(reply.Sites, &rollcallv1.Site{Path: site.Path, Title: site.Title, Items: counts[site.Path]})
		}
		return nil
	})
	return reply, err
}

func parentOf(site string) string {
	i := strings.LastIndexByte(site, '/')
	return site[:max(0, i)]
}

// SetSite adds a site or changes its title.
func (s *Service) SetSite(ctx context.Context, req *rollcallv1.SetSiteRequest) (*rollcallv1.SetSiteReply, error) {
	site := cmdb.Site{Path: req.GetSite().GetPath(), Title: req.GetSite().GetTitle()}
	err := s.act(ctx, func(tx store.Tx) (evidence.Entry, error) {
		e := evidence.Entry{Kind: evidence.Site, Detail: map[string]string{"do": "set", "site": site.Path, "title": site.Title}}
		return e, s.items(ctx, tx).SetSite(site)
	})
	return &rollcallv1.SetSiteReply{Site: &rollcallv1.Site{Path: site.Path, Title: site.Title}}, err
}

// RemoveSite removes a site in and below which there is nothing.
func (s *Service) RemoveSite(ctx context.Context, req *rollcallv1.RemoveSiteRequest) (*rollcallv1.RemoveSiteReply, error) {
	path := req.GetPath()
	err := s.view(ctx, func(_ store.Reader, items cmdb.View) error {
		sites, err := items.Sites()
		if err != nil {
			return err
		}
		for _, site := range sites {
			if site.Path != path && cmdb.InSite(site.Path, path) {
				return fmt.Errorf("site %s: %w: %s is below it", path, cmdb.ErrInvalid, site.Path)
			}
		}
		for ci, err := range items.All() {
			if err != nil {
				return err
			}
			if cmdb.InSite(ci.Site, path) {
				return fmt.Errorf("site %s: %w: CI %s is in it, move it first", path, cmdb.ErrInvalid, ci.Name)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = s.act(ctx, func(tx store.Tx) (evidence.Entry, error) {
		e := evidence.Entry{Kind: evidence.Site, Detail: map[string]string{"do": "remove", "site": path}}
		return e, s.items(ctx, tx).RemoveSite(path)
	})
	return &rollcallv1.RemoveSiteReply{}, err
}

// likeness finds the CI that a machine without a known key most resembles, for
// the approver of a reinstalled machine. All of it can be forged: it is a hint.
type likeness struct {
	by    map[string][]string // identifying value → CI names
	words map[string]string   // identifying value → what it is
}

// identifying facts, the most telling first.
var identifying = []struct{ section, pattern, words string }{
	{"id", "id/serial/*", "serial number"},
	{"id", "id/uuid", "SMBIOS UUID"},
	{"net", "net/*/permanent", "permanent MAC"},
	{"net", "net/*/mac", "MAC"},
	{"id", "id/machine-id", "machine-id"},
	{"id", "id/hostname", "host name"},
}

func newLikeness(items cmdb.View) (*likeness, error) {
	l := &likeness{by: map[string][]string{}, words: map[string]string{}}
	for ci, err := range items.All() {
		if err != nil {
			return nil, err
		}
		for _, id := range identifying {
			set, err := items.Set(ci.State, id.section)
			if err != nil {
				return nil, err
			}
			for _, v := range matching(set, id.pattern) {
				l.by[v] = append(l.by[v], ci.Name)
				l.words[v] = id.words
			}
		}
	}
	return l, nil
}

// best returns the name of the CI that shares most with the facts, and why. A
// value that more than one CI has tells nothing.
func (l *likeness) best(facts fact.Set) (name, why string) {
	score, reasons := map[string]int{}, map[string][]string{}
	for i, id := range identifying {
		for _, v := range matching(facts, id.pattern) {
			names := slices.Compact(slices.Clone(l.by[v]))
			if len(names) == 1 {
				score[names[0]] += len(identifying) - i
				reasons[names[0]] = append(reasons[names[0]], id.words)
			}
		}
	}
	best := 0
	for n, points := range score {
		if points > best || points == best && n < name {
			best, name, why = points, n, "same "+strings.Join(slices.Compact(reasons[n]), ", ")
		}
	}
	return name, why
}
