package server

import (
	"context"
	"fmt"
	"net"
	"time"

	"rollcall/server/sitesummary"
)

// besideSitesummary makes what takes the uploads of sitesummary-client.
func (s *Server) besideSitesummary() {
	if s.cfg.Sitesummary == "" {
		return
	}
	s.sitesummary = &sitesummary.Service{
		Engine: s.engine, Writer: s.writer, Tenant: s.cfg.Tenant, Sets: s.service.Sets, Presence: s.presence, Index: s.index,
		Beside: s.service.Ingest.Beside, Log: s.log, Now: func() time.Time { return s.service.Now() }, Site: s.cfg.SitesummarySite, Most: s.cfg.SitesummaryMachines,
	}
	s.sitesummary.RegisterMetrics(s.registry)
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
