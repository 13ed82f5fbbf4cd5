package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"rollcall/server/api"
	"rollcall/server/auth"
	"rollcall/server/mirror"
)

// Work on a data folder beside or without a running server. A running server has
// the database locked; it answers on a socket in the data folder instead, which
// only the server's own user and root can reach.

func (c Config) socket() string { return filepath.Join(c.Data, "control.sock") }

// listenControl opens the socket; what a server that was killed has left is
// removed.
func (s *Server) listenControl() (net.Listener, error) {
	if err := os.Remove(s.cfg.socket()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	lis, err := net.Listen("unix", s.cfg.socket())
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return lis, nil
}

// control serves the socket until ctx ends.
func (s *Server) control(ctx context.Context, lis net.Listener) error {
	if lis == nil {
		return nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /backup", func(w http.ResponseWriter, r *http.Request) {
		if err := s.engine.Backup(r.Context(), w); err != nil {
			s.log.Error("backup", "err", err)
			panic(http.ErrAbortHandler) // the reader must notice that it is cut off
		}
	})
	mux.HandleFunc("POST /operator", func(w http.ResponseWriter, r *http.Request) {
		var grants []auth.Grant
		var err error
		for _, text := range r.URL.Query()["grant"] {
			g, bad := auth.ParseGrant(text)
			grants, err = append(grants, g), errors.Join(err, bad)
		}
		token := ""
		if err == nil {
			token, err = s.service.Admit(r.Context(), api.NewOperator{Name: r.FormValue("name"), Grants: grants, By: "rollcall-server operator add"})
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, token) // who asked sees that it is missing
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

// ask sends a request to a running server. running is false if there is none.
func ask(ctx context.Context, cfg Config, method, path string) (body io.ReadCloser, running bool, err error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", cfg.socket())
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://server"+path, nil)
	if err != nil {
		return nil, false, fmt.Errorf("ask server: %w", err)
	}
	res, err := (&http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}).Do(req)
	var refused *net.OpError
	if errors.As(err, &refused) && refused.Op == "dial" {
		return nil, false, nil
	}
	if err != nil {
		return nil, true, fmt.Errorf("ask server: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(res.Body, 1000))
		return nil, true, errors.Join(fmt.Errorf("ask server: %s", text), err, res.Body.Close())
	}
	return res.Body, true, nil
}

// AddOperator stores an operator and returns the login token, which nobody can
// get again: how the first one gets in. The server may run.
func AddOperator(ctx context.Context, cfg Config, name string, grants ...auth.Grant) (string, error) {
	q := url.Values{"name": {name}}
	for _, g := range grants {
		q.Add("grant", g.String())
	}
	path := "/operator?" + q.Encode()
	body, running, err := ask(ctx, cfg, http.MethodPost, path)
	if err != nil {
		return "", err
	}
	if running {
		token, err := io.ReadAll(io.LimitReader(body, 10_000))
		return string(token), errors.Join(err, body.Close())
	}
	if len(cfg.Addresses) == 0 {
		return "", errors.New("operator add: the configuration has no address under which this server is reached: set address")
	}
	s, err := New(ctx, cfg, "", slog.New(slog.DiscardHandler))
	if err != nil {
		return "", err
	}
	s.service.Writer = s.engine
	token, err := s.service.Admit(ctx, api.NewOperator{Name: name, Grants: grants, By: "rollcall-server operator add"})
	return token, errors.Join(err, s.engine.Close())
}

// RebuildMirror renders the whole git mirror anew from the store. The server
// must not run.
func RebuildMirror(ctx context.Context, cfg Config, log *slog.Logger) error {
	o, err := openOffline(cfg)
	if err != nil {
		return err
	}
	m := newMirror(cfg, o.engine, o.engine, o.sets, mirrorHooks{}, log)
	return errors.Join(rebuild(ctx, cfg, m), o.engine.Close())
}

func rebuild(ctx context.Context, cfg Config, m *mirror.Mirror) error {
	next := cfg.mirrorDir() + ".new"
	if err := os.RemoveAll(next); err != nil { // of a rebuild that was interrupted
		return fmt.Errorf("rebuild mirror: %w", err)
	}
	return m.Rebuild(ctx, next)
}
