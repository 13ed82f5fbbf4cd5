package server

import (
	"context"
	"time"

	"rollcall/server/observer"
)

// observe makes what turns the clients of boot servers into CIs.
func (s *Server) observe() {
	s.observers = &observer.Service{
		Engine: s.engine, Writer: s.writer, Tenant: s.cfg.Tenant, Sets: s.service.Sets, Presence: s.presence, Index: s.index,
		Beside: s.service.Ingest.Beside, Merge: s.service.MergeObserved, Log: s.log, Now: func() time.Time { return s.service.Now() }, Most: s.cfg.ObservedClients,
	}
	s.service.Ingest.Told = s.observers.Told
	s.service.Observations = s.observers.Of
}

// followObservers goes on with it until ctx ends.
func (s *Server) followObservers(ctx context.Context) error { return s.observers.Run(ctx, s.feed) }
