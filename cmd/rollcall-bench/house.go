package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server"
	"rollcall/server/auth"
)

// house is a server in this process with a folder of its own, reached over TLS,
// and an operator who may do everything.
type house struct {
	rollcallv1.ItemsClient
	rollcallv1.AdminClient
	conn *grpc.ClientConn
	now  atomic.Int64 // what its clock says, in nanoseconds
	stop func() error
}

// openHouse starts a server below dir, whose path has to be short: there is a
// socket in it.
func openHouse(ctx context.Context, dir string, now time.Time) (*house, error) {
	cfg := server.Defaults()
	cfg.Data, cfg.Listen, cfg.Metrics = filepath.Join(dir, "server"), "127.0.0.1:0", ""
	if _, err := server.Init(ctx, cfg); err != nil {
		return nil, err
	}
	s, err := server.New(ctx, cfg, version, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	h := &house{}
	h.setClock(now)
	s.SetClock(h.clock)
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ready, done := make(chan net.Addr, 1), make(chan error, 1)
	go func() { done <- s.Run(running, func(a net.Addr) { ready <- a }) }()
	h.stop = func() error { cancel(); return <-done }
	var addr net.Addr
	select {
	case addr = <-ready:
	case err := <-done:
		cancel()
		return nil, errors.Join(err, errors.New("the server ended at once"))
	}
	cfg.Addresses = []string{addr.String()}
	if err := h.login(ctx, cfg); err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

func (h *house) clock() time.Time     { return time.Unix(0, h.now.Load()).UTC() }
func (h *house) setClock(t time.Time) { h.now.Store(t.UnixNano()) }

func (h *house) close() error {
	var err error
	if h.conn != nil {
		err = h.conn.Close()
	}
	return errors.Join(err, h.stop())
}

// login makes an operator and connects as she does.
func (h *house) login(ctx context.Context, cfg server.Config) error {
	text, err := server.AddOperator(ctx, cfg, "bench", auth.Everywhere(auth.Roles...)...)
	if err != nil {
		return err
	}
	token, err := identity.ParseToken(identity.LoginPrefix, text)
	if err != nil {
		return err
	}
	tls, err := identity.ClientTLS(token.Pins, nil)
	if err != nil {
		return err
	}
	h.conn, err = grpc.NewClient("passthrough:///"+cfg.Addresses[0],
		grpc.WithTransportCredentials(credentials.NewTLS(tls)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)),
		grpc.WithPerRPCCredentials(bearer("Bearer "+token.ID+":"+hex.EncodeToString(token.Secret))))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	h.ItemsClient, h.AdminClient = rollcallv1.NewItemsClient(h.conn), rollcallv1.NewAdminClient(h.conn)
	return nil
}

// bearer shows the login with each call.
type bearer string

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": string(b)}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (bearer) RequireTransportSecurity() bool { return true }

// token makes an enrolment token for one machine.
func (h *house) token(ctx context.Context, site, name string) (identity.Token, error) {
	reply, err := h.NewToken(ctx, &rollcallv1.NewTokenRequest{Site: site, Name: name, Class: "workstation"})
	if err != nil {
		return identity.Token{}, fmt.Errorf("make a token for %s: %w", name, err)
	}
	return identity.ParseToken(identity.EnrolPrefix, reply.GetToken())
}
