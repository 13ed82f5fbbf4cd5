package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"rollcall/internal/identity"
	"rollcall/internal/sim"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/enrol"
)

// office is where the operators sit: one who makes sites and tokens, and a second
// one who approves servers.
type office struct {
	net           string
	first, second operator

	mu     sync.Mutex
	tokens map[string]*batch
}

// operator is a connection with a login.
type operator struct {
	rollcallv1.AdminClient
	rollcallv1.KeysClient
	rollcallv1.ItemsClient
	rollcallv1.ReportsClient
	conn *grpc.ClientConn
}

// batch is a token and how many machines it still admits.
type batch struct {
	token identity.Token
	left  int
}

func openOffice(logins [2]identity.Token, network string) (*office, error) {
	o := &office{net: network, tokens: map[string]*batch{}}
	for i, to := range []*operator{&o.first, &o.second} {
		if len(logins[i].Secret) == 0 {
			continue
		}
		tls, err := identity.ClientTLS(logins[i].Pins, nil)
		if err != nil {
			return nil, errors.Join(err, o.close())
		}
		conn, err := grpc.NewClient("passthrough:///"+logins[i].URLs[0],
			grpc.WithTransportCredentials(credentials.NewTLS(tls)), grpc.WithPerRPCCredentials(shown(logins[i])),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)), grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "tcp", address)
			}))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("connect: %w", err), o.close())
		}
		*to = operator{rollcallv1.NewAdminClient(conn), rollcallv1.NewKeysClient(conn), rollcallv1.NewItemsClient(conn), rollcallv1.NewReportsClient(conn), conn}
	}
	return o, nil
}

func (o *office) close() (err error) {
	for _, p := range []operator{o.first, o.second} {
		if p.conn != nil {
			err = errors.Join(err, p.conn.Close())
		}
	}
	return err
}

// shown shows a login with each call.
type shown identity.Token

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b shown) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + b.ID + ":" + hex.EncodeToString(b.Secret)}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (shown) RequireTransportSecurity() bool { return true }

// callTimeout bounds one call of an operator.
const callTimeout = 30 * time.Second

// ready waits until the server answers; alive ends the wait if it never will.
func (o *office) ready(ctx context.Context, alive func() error) (*rollcallv1.StatusReply, error) {
	deadline := time.Now().Add(5 * time.Minute)
	for {
		call, stop := context.WithTimeout(ctx, 5*time.Second)
		reply, err := o.first.Status(call, &rollcallv1.StatusRequest{}, grpc.WaitForReady(false))
		stop()
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) || status.Code(err) == codes.PermissionDenied || status.Code(err) == codes.Unauthenticated {
			return reply, err
		}
		if err := alive(); err != nil {
			return nil, err
		}
		o.first.conn.ResetConnectBackoff()
		time.Sleep(20 * time.Millisecond)
	}
}

// state asks how the server is.
func (o *office) state(ctx context.Context) (*rollcallv1.StatusReply, error) {
	ctx, stop := context.WithTimeout(ctx, callTimeout)
	defer stop()
	return o.first.Status(ctx, &rollcallv1.StatusRequest{})
}

// addSite makes a site.
func (o *office) addSite(ctx context.Context, path string) error {
	ctx, stop := context.WithTimeout(ctx, callTimeout)
	defer stop()
	if _, err := o.first.SetSite(ctx, &rollcallv1.SetSiteRequest{Site: &rollcallv1.Site{Path: path}}); err != nil {
		return fmt.Errorf("add site %s: %w", path, err)
	}
	return nil
}

// tokenFor gives the token that a machine is enrolled with: one of its school and
// class, for clients, and for each server one of its own.
func (o *office) tokenFor(ctx context.Context, m sim.Member) (identity.Token, error) {
	class := m.Profile.Class()
	if class == "server" {
		return o.newToken(ctx, &rollcallv1.NewTokenRequest{Site: m.School, Class: class, Nets: []string{o.net}})
	}
	key := m.School + " " + class
	o.mu.Lock()
	defer o.mu.Unlock()
	if b := o.tokens[key]; b != nil && b.left > 0 {
		b.left--
		return b.token, nil
	}
	req := &rollcallv1.NewTokenRequest{Site: m.School, Class: class, Nets: []string{o.net}}
	uses := 1
	if req.Kind = string(enrol.Batch); class == "thin-client" {
		req.Kind = string(enrol.Netboot)
	}
	if l, ok := enrol.LimitsOf(enrol.Kind(req.GetKind())); ok {
		uses = min(l.Uses, 200)
		req.Uses = uint32(uses)
	}
	token, err := o.newToken(ctx, req)
	if err == nil {
		o.tokens[key] = &batch{token: token, left: uses - 1}
	}
	return token, err
}

func (o *office) newToken(ctx context.Context, req *rollcallv1.NewTokenRequest) (identity.Token, error) {
	ctx, stop := context.WithTimeout(ctx, callTimeout)
	defer stop()
	reply, err := o.first.NewToken(ctx, req)
	if err != nil {
		return identity.Token{}, fmt.Errorf("make a token: %w", err)
	}
	return identity.ParseToken(identity.EnrolPrefix, reply.GetToken())
}

// errAlone is returned where a second operator is needed and there is none.
var errAlone = errors.New("servers need a second operator: name her login with --second")

// approve admits a machine that waits: the second operator does, since the first
// one has made its token.
func (o *office) approve(ctx context.Context, key identity.KeyID) error {
	if o.second.conn == nil {
		return errAlone
	}
	ctx, stop := context.WithTimeout(ctx, callTimeout)
	defer stop()
	if _, err := o.second.Approve(ctx, &rollcallv1.DecideRequest{Key: key.String()}); err != nil {
		return fmt.Errorf("approve key %s: %w", key, err)
	}
	return nil
}

// keep decides that a key that spoke from two places is to be believed.
func (o *office) keep(ctx context.Context, key identity.KeyID) error {
	ctx, stop := context.WithTimeout(ctx, callTimeout)
	defer stop()
	if _, err := o.first.Keep(ctx, &rollcallv1.KeepRequest{Key: key.String(), Reason: "restored from an image, the other is gone"}); err != nil {
		return fmt.Errorf("keep key %s: %w", key, err)
	}
	return nil
}
