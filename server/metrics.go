package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// serveMetrics answers Prometheus on the loopback listener, and nothing else.
func (s *Server) serveMetrics(ctx context.Context) error {
	if s.cfg.Metrics == "" {
		return nil
	}
	lis, err := net.Listen("tcp", s.cfg.Metrics)
	if err != nil {
		return fmt.Errorf("listen for metrics on %s: %w", s.cfg.Metrics, err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 8 << 10}
	s.log.Info("metrics", "url", "http://"+lis.Addr().String()+"/metrics")
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}
