// Package uplink speaks to the server: it enrols, submits reports, uploads the
// file contents that the server lacks, and fetches what a restore needs.
//
// It promises that nothing but a TLS handshake reaches a server whose key is not
// pinned, that a receipt is believed only if the pinned server key signed it for
// exactly this envelope, that no answer is larger than a bound, and that an
// error tells by its class whether to try again, to ask for something else or to
// call a person. A connection lives for one exchange: thousands of idle agents
// hold none.
//
// The server can ask nothing: what a reply can say is received, seen, send it
// all, send these contents, wait. What to send is left to others.
package uplink

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"rollcall/internal/identity"
)

// Classes of errors, for callers that branch on them. identity.ErrPin is one of
// them: another server answers at the address.
var (
	ErrAway     = errors.New("server cannot be reached")               // try again later
	ErrBusy     = errors.New("server has no room now")                 // try again later
	ErrKey      = errors.New("server does not know this key or token") // a person has to act
	ErrRejected = errors.New("server rejects the message")             // the same bytes will never be accepted
	ErrReply    = errors.New("server gave an answer that makes no sense")
)

const (
	defaultTimeout = 2 * time.Minute
	dialTimeout    = 15 * time.Second
	maxReply       = 1 << 20 // bytes of one message from the server
	maxHeaders     = 8 << 10
	maxText        = 500 // bytes of a server's words that are shown
)

// Client is where the server is and who speaks. The zero value of the optional
// fields is useful.
type Client struct {
	Addresses []string     // host:port, tried in order, or the name of a Service
	Pins      []string     // of the present key and of one that is announced, see identity.PinOf
	Key       identity.Key // nil for an operator
	Pass      []byte       // see identity.PassOf; nil before the first

	Timeout time.Duration // of one exchange with all its calls; 0: two minutes
	// Dial opens the connection; nil: the network.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Domains gives the domains in which a Service without one is looked for; nil: none.
	Domains func() []string
	// LookupSRV asks for the SRV records of a name; nil: the network's name servers.
	LookupSRV func(ctx context.Context, name string) ([]*net.SRV, error)
}

// Session is one exchange over one connection.
type Session struct {
	conn     *grpc.ClientConn
	address  string
	server   ed25519.PublicKey
	public   ed25519.PublicKey
	exporter []byte
	deadline time.Time
	raw      net.Conn
}

// Connect opens a connection to the first address that answers with a pinned
// key. The error wraps identity.ErrPin if any showed another key, else ErrAway.
// The caller closes the session; every call on it ends with the client's
// timeout at the latest.
func (c *Client) Connect(ctx context.Context) (*Session, error) {
	cfg, err := identity.ClientTLS(c.Pins, c.Key)
	if err != nil {
		return nil, err
	}
	if c.Key != nil {
		cfg.ServerName = identity.PassName(identity.IDOf(identity.Public(c.Key)), c.Pass)
	}
	if len(c.Addresses) == 0 {
		return nil, errors.New("connect: no server address is known: enrol first")
	}
	addresses, err := c.resolve(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	var problems []error
	for _, address := range addresses {
		conn, err := c.handshake(ctx, address, cfg)
		if err == nil {
			return c.session(conn, address)
		}
		problems = append(problems, fmt.Errorf("%s: %w", address, err))
		if ctx.Err() != nil {
			break
		}
	}
	all := errors.Join(problems...)
	if errors.Is(all, identity.ErrPin) {
		return nil, fmt.Errorf("connect: %w", all)
	}
	return nil, fmt.Errorf("connect: %w: %w", ErrAway, all)
}

// handshake is done here and not by gRPC, so that the addresses are tried in
// order, errors keep their type, and the exporter value can be taken.
func (c *Client) handshake(ctx context.Context, address string, cfg *tls.Config) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, min(dialTimeout, c.timeout()))
	defer cancel()
	dial := c.Dial
	if dial == nil {
		dial = func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", address)
		}
	}
	raw, err := dial(ctx, address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	if p := conn.ConnectionState().NegotiatedProtocol; p != "h2" {
		return nil, errors.Join(fmt.Errorf("no HTTP/2 at this address (ALPN %.20q)", p), conn.Close())
	}
	return conn, nil
}

func (c *Client) timeout() time.Duration {
	if c.Timeout > 0 {
		return c.Timeout
	}
	return defaultTimeout
}

func (c *Client) session(conn *tls.Conn, address string) (*Session, error) {
	state := conn.ConnectionState()
	exporter, err := state.ExportKeyingMaterial(identity.ExporterLabel, nil, 32)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect %s: %w", address, err), conn.Close())
	}
	// The handshake has compared it with the pins.
	server, err := identity.PeerKey(state)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect %s: %w", address, err), conn.Close())
	}
	once := make(chan net.Conn, 1)
	once <- conn
	cc, err := grpc.NewClient("passthrough:///rollcall",
		grpc.WithTransportCredentials(established{state}),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			select {
			case conn := <-once:
				return conn, nil
			default:
				return nil, errors.New("the connection was lost")
			}
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReply), grpc.MaxCallSendMsgSize(identity.MaxEnvelope+64<<10)),
		grpc.WithMaxHeaderListSize(maxHeaders),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithUserAgent("rollcall-agent"),
		grpc.WithAuthority("rollcall"),
		grpc.WithIdleTimeout(0),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect %s: %w", address, err), conn.Close())
	}
	s := &Session{conn: cc, address: address, server: server, exporter: exporter, raw: conn, deadline: time.Now().Add(c.timeout())}
	if c.Key != nil {
		s.public = identity.Public(c.Key)
	}
	return s, nil
}

// Close ends the exchange. The TLS connection is closed here as well: gRPC
// never had it if no call was made.
func (s *Session) Close() error {
	if err := errors.Join(s.conn.Close(), ignoreClosed(s.raw.Close())); err != nil {
		return fmt.Errorf("close connection: %w", err)
	}
	return nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	return err
}

// call bounds one call by what is left of the exchange.
func (s *Session) call(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithDeadline(ctx, s.deadline)
}

// Server is the key that the server has shown, one of the pinned ones: it signs
// the receipts.
func (s *Session) Server() ed25519.PublicKey { return s.server }

// Address tells which address answered.
func (s *Session) Address() string { return s.address }

// established are the credentials of a connection whose handshake is done.
type established struct{ state tls.ConnectionState }

func (e established) ClientHandshake(_ context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return conn, credentials.TLSInfo{
		State:          e.state,
		CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
	}, nil
}

func (e established) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("the agent listens on nothing")
}

func (e established) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

func (e established) Clone() credentials.TransportCredentials { return e }

func (e established) OverrideServerName(string) error { return nil }

// classify gives an error of a call its class. The server's words are shown
// shortened and inert.
func classify(what string, err error) error {
	st, ok := status.FromError(err)
	if !ok {
		return fmt.Errorf("%s: %w", what, err)
	}
	text := shown(st.Message())
	if len(st.Message()) > maxText {
		text += "…"
	}
	class := ErrReply
	switch st.Code() {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Aborted:
		class = ErrAway
	case codes.ResourceExhausted, codes.Internal, codes.DataLoss, codes.Unknown:
		class = ErrBusy
	case codes.Unauthenticated, codes.PermissionDenied:
		class = ErrKey
	case codes.InvalidArgument, codes.FailedPrecondition, codes.AlreadyExists, codes.NotFound, codes.OutOfRange:
		class = ErrRejected
	}
	err = fmt.Errorf("%s: %w: %s", what, class, text)
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return &delayed{err, min(max(info.GetRetryDelay().AsDuration(), 0), MaxRetry)}
		}
	}
	return err
}

// delayed is an error that came with the time when to try again.
type delayed struct {
	error
	after time.Duration
}

func (d *delayed) Unwrap() error { return d.error }

// RetryAfter tells how long the server asked to wait with the refusal that err is,
// MaxRetry at most; 0: it did not say.
func RetryAfter(err error) time.Duration {
	var d *delayed
	if errors.As(err, &d) {
		return d.after
	}
	return 0
}
