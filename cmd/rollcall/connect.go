package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// Bounds of the wire.
const (
	callTimeout = 30 * time.Second
	dialTimeout = 5 * time.Second // for each address
	maxMessage  = 64 << 20
	maxHeaders  = 64 << 10
)

// server is a connection to the server with all services on it.
type server struct {
	rollcallv1.ItemsClient
	rollcallv1.AdminClient
	rollcallv1.RecoveryClient
	rollcallv1.KeysClient
	rollcallv1.ProposalsClient
	rollcallv1.RadarClient
	rollcallv1.AccountClient
	rollcallv1.EvidenceClient
	rollcallv1.TrailClient
	rollcallv1.ReportsClient
	rollcallv1.SavedClient
	rollcallv1.IdentityClient
	rollcallv1.PoliciesClient
	rollcallv1.CourierClient
	conn  *grpc.ClientConn
	login identity.Token
}

// connect prepares the connection that the stored login leads to. Nothing is
// sent before the first call.
func (a *app) connect() (*server, error) {
	t, err := a.loadLogin()
	if err != nil {
		return nil, err
	}
	return dial(t, a.glass)
}

func dial(t identity.Token, glass string) (*server, error) {
	tls, err := identity.ClientTLS(t.Pins, nil)
	if err != nil {
		return nil, err
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(credentials.NewTLS(tls)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return firstOf(ctx, t.URLs) }),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithMaxHeaderListSize(maxHeaders),
		grpc.WithChainUnaryInterceptor(bounded, broken(glass)),
		grpc.WithUserAgent("rollcall/" + version),
	}
	if len(t.Secret) > 0 {
		options = append(options, grpc.WithPerRPCCredentials(bearer{name: t.ID, secret: hex.EncodeToString(t.Secret)}))
	}
	conn, err := grpc.NewClient("passthrough:///rollcall", options...)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &server{
		ItemsClient: rollcallv1.NewItemsClient(conn), AdminClient: rollcallv1.NewAdminClient(conn),
		KeysClient: rollcallv1.NewKeysClient(conn), ProposalsClient: rollcallv1.NewProposalsClient(conn), RadarClient: rollcallv1.NewRadarClient(conn),
		AccountClient: rollcallv1.NewAccountClient(conn), TrailClient: rollcallv1.NewTrailClient(conn), ReportsClient: rollcallv1.NewReportsClient(conn), conn: conn, login: t,
		RecoveryClient: rollcallv1.NewRecoveryClient(conn),
		EvidenceClient: rollcallv1.NewEvidenceClient(conn),
		SavedClient:    rollcallv1.NewSavedClient(conn),
		IdentityClient: rollcallv1.NewIdentityClient(conn),
		PoliciesClient: rollcallv1.NewPoliciesClient(conn),
		CourierClient:  rollcallv1.NewCourierClient(conn),
	}, nil
}

// close ends the connection. An error at this point concerns nobody: every
// answer has been read.
func (s *server) close() { _ = s.conn.Close() }

// firstOf connects to the first address that answers. Whether the right server
// answers is decided by its key: an address that shows another is an alarm and
// not a reason to try the next.
func firstOf(ctx context.Context, addresses []string) (net.Conn, error) {
	var problems []string
	for _, address := range addresses {
		one, cancel := context.WithTimeout(ctx, dialTimeout)
		conn, err := (&net.Dialer{}).DialContext(one, "tcp", address)
		cancel()
		if err == nil {
			return conn, nil
		}
		problems = append(problems, err.Error())
	}
	return nil, errors.New(strings.Join(problems, "; "))
}

// bounded gives each call its deadline.
func bounded(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return invoke(ctx, method, req, reply, cc, opts...)
}

// glassHeader carries the reason of --break-glass, as bytes.
const glassHeader = "rollcall-break-glass-bin"

// broken sends the reason of --break-glass along, if there is one.
func broken(glass string) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if glass != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, glassHeader, glass)
		}
		return invoke(ctx, method, req, reply, cc, opts...)
	}
}

// bearer shows the login with each call; the library sends it over TLS only.
type bearer struct{ name, secret string }

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + b.name + ":" + b.secret}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (bearer) RequireTransportSecurity() bool { return true }
