package uplink

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/identity"
)

// Somebody between the agent and its server, with a key of his own, gets a TLS
// handshake that the agent breaks off, and not a byte of what is inside: no token,
// no proof, no report, not even the agent's certificate.
func TestAManInTheMiddleGetsNoApplicationByte(t *testing.T) {
	good, evil := key(t), key(t)
	pin, err := identity.PinOf(identity.Public(good))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := identity.ServerTLS(evil)
	if err != nil {
		t.Fatal(err)
	}
	var inside, certificates, came atomic.Int64
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			came.Add(1)
			_ = raw.SetDeadline(time.Now().Add(5 * time.Second))
			c := tls.Server(raw, cfg)
			_ = c.HandshakeContext(context.Background()) // it fails: that is the point
			n, _ := io.Copy(io.Discard, c)
			inside.Add(n)
			certificates.Add(int64(len(c.ConnectionState().PeerCertificates)))
			_ = c.Close()
		}
	}()
	client := Client{Addresses: []string{l.Addr().String()}, Pins: []string{pin}, Key: key(t), Timeout: 5 * time.Second}
	for range 3 {
		if s, err := client.Connect(t.Context()); !errors.Is(err, identity.ErrPin) {
			t.Errorf("Connect = %v, %v, want ErrPin", s, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	<-done
	if came.Load() != 3 || inside.Load() != 0 || certificates.Load() != 0 {
		t.Errorf("%d connections: %d bytes and %d certificates came through", came.Load(), inside.Load(), certificates.Load())
	}
}
