package api

import (
	"context"
	"fmt"
	"strings"

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
			for site := ci.Site; site != "" && ci.Into() == ""; site = parentOf(site) {
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
