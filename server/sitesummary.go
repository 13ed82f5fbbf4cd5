package server

import (
	"context"
	"fmt"
	"net"
	"time"

	"rollcall/server/sitesummary"
)

// besideSitesummary makes what takes the uploads of sitesummary-client, and what
// keeps entries as sitesummary does.
func (s *Server) besideSitesummary() error {
	var folder *sitesummary.Folder
	if s.cfg.SitesummaryFolder != "" {
		folder = &sitesummary.Folder{Dir: s.cfg.SitesummaryFolder}
		s.entries = &sitesummary.Keeper{
			Folder: folder, Engine: s.engine, Tenant: s.cfg.Tenant, Sets: s.service.Sets, Presence: s.presence, Log: s.log,
			Now: func() time.Time { return s.service.Now() },
		}
		if err := s.entries.Open(); err != nil {
			return err
		}
	}
	if s.cfg.Sitesummary == "" {
		return nil
	}
	s.sitesummary = &sitesummary.Service{
		Engine: s.engine, Writer: s.writer, Tenant: s.cfg.Tenant, Sets: s.service.Sets, Presence: s.presence, Index: s.index,
		Beside: s.service.Ingest.Beside, Log: s.log, Now: func() time.Time { return s.service.Now() }, Site: s.cfg.SitesummarySite, Most: s.cfg.SitesummaryMachines, Folder: folder,
	}
	s.sitesummary.RegisterMetrics(s.registry)
	s.service.Warnings = append(s.service.Warnings, "uploads of sitesummary-client are taken on "+s.cfg.Sitesummary+": plain HTTP, signed by nobody")
	return nil
}

// keepEntries keeps the folder that sitesummary's own tools read.
func (s *Server) keepEntries(ctx context.Context) error {
	if s.entries == nil {
		return nil
	}
	return s.entries.Run(ctx, s.feed)
}

// serveSitesummary answers on its own listener, in plain HTTP: clients speak nothing
// else.
func (s *Server) serveSitesummary(ctx context.Context) error {
	if s.sitesummary == nil {
		return nil
	}
	lis, err := net.Listen("tcp", s.cfg.Sitesummary)
	if err != nil {
		return fmt.Errorf("listen for sitesummary-client on %s: %w", s.cfg.Sitesummary, err)
	}
	s.log.Info("sitesummary", "url", "http://"+lis.Addr().String()+sitesummary.Collector, "protected", false)
	return s.sitesummary.Serve(ctx, lis)
}
