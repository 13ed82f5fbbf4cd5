package identity

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
)

// shake runs a handshake over a pipe and returns what both sides saw.
func shake(t *testing.T, server, client *tls.Config) (srv, cli tls.ConnectionState, srvErr, cliErr error) {
	t.Helper()
	a, b := net.Pipe()
	s, c := tls.Server(a, server), tls.Client(b, client)
	done := make(chan error, 1)
	go func() {
		err := s.HandshakeContext(t.Context())
		if err != nil {
			a.Close() // the other side must not wait
		}
		done <- err
	}()
	cliErr = c.HandshakeContext(t.Context())
	if cliErr != nil {
		b.Close()
	}
	srvErr = <-done
	t.Cleanup(func() { a.Close(); b.Close() })
	return s.ConnectionState(), c.ConnectionState(), srvErr, cliErr
}

func configs(t *testing.T, pins []string, agent Key) (server, client *tls.Config) {
	t.Helper()
	server, err := ServerTLS(keyOf(1))
	if err != nil {
		t.Fatal(err)
	}
	if pins == nil {
		pin, err := PinOf(Public(keyOf(1)))
		if err != nil {
			t.Fatal(err)
		}
		pins = []string{"sha256:next", pin}
	}
	if client, err = ClientTLS(pins, agent); err != nil {
		t.Fatal(err)
	}
	return server, client
}

func TestPinnedServerLearnsTheAgentsKey(t *testing.T) {
	server, client := configs(t, nil, keyOf(2))
	srv, cli, srvErr, cliErr := shake(t, server, client)
	if srvErr != nil || cliErr != nil {
		t.Fatalf("handshake: server %v, client %v", srvErr, cliErr)
	}
	if pub, err := PeerKey(srv); err != nil || !pub.Equal(Public(keyOf(2))) {
		t.Errorf("server sees %x, %v, want the agent's key", pub, err)
	}
	if pub, err := PeerKey(cli); err != nil || !pub.Equal(Public(keyOf(1))) {
		t.Errorf("agent sees %x, %v, want the server's key", pub, err)
	}
	if srv.Version != tls.VersionTLS13 {
		t.Errorf("version %x, want TLS 1.3", srv.Version)
	}
	a, err := srv.ExportKeyingMaterial(ExporterLabel, nil, 32)
	b, err2 := cli.ExportKeyingMaterial(ExporterLabel, nil, 32)
	if errors.Join(err, err2) != nil || string(a) != string(b) {
		t.Errorf("exporter values differ, or %v, %v", err, err2)
	}
}

func TestOperatorNeedsNoKey(t *testing.T) {
	server, client := configs(t, nil, nil)
	srv, _, srvErr, cliErr := shake(t, server, client)
	if srvErr != nil || cliErr != nil {
		t.Fatalf("handshake: server %v, client %v", srvErr, cliErr)
	}
	if pub, err := PeerKey(srv); err == nil {
		t.Errorf("PeerKey without a certificate = %x, want an error", pub)
	}
}

func TestServerWithAnotherKeyIsRefused(t *testing.T) {
	pin, err := PinOf(Public(keyOf(3)))
	if err != nil {
		t.Fatal(err)
	}
	server, client := configs(t, []string{pin}, keyOf(2))
	if _, _, _, err := shake(t, server, client); !errors.Is(err, ErrPin) {
		t.Errorf("handshake = %v, want ErrPin", err)
	}
	if _, err := ClientTLS(nil, keyOf(2)); err == nil {
		t.Error("ClientTLS without a pin = nil, want an error")
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	server, client := configs(t, nil, keyOf(2))
	client.MinVersion, client.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if _, _, _, err := shake(t, server, client); err == nil {
		t.Error("handshake with TLS 1.2 went well, want an error")
	}
}

func TestCertificateNeverExpires(t *testing.T) {
	cert, err := Certificate(keyOf(1))
	if err != nil {
		t.Fatal(err)
	}
	x, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil || x.NotBefore.Year() != 1970 || x.NotAfter.Year() != 9999 {
		t.Errorf("certificate from %v to %v, %v, want 1970 to 9999", x.NotBefore, x.NotAfter, err)
	}
	if pub, ok := x.PublicKey.(ed25519.PublicKey); !ok || !pub.Equal(Public(keyOf(1))) {
		t.Errorf("certificate holds %T, want the key", x.PublicKey)
	}
}

func TestPinIsTheHashOfTheWholeKeyInfo(t *testing.T) {
	a, err := PinOf(Public(keyOf(1)))
	b, err2 := PinOf(Public(keyOf(2)))
	if errors.Join(err, err2) != nil || a == b || len(a) != len("sha256:")+64 || !strings.HasPrefix(a, "sha256:") {
		t.Errorf("PinOf = %q, %q, %v, %v", a, b, err, err2)
	}
	if len(RealmOf(Public(keyOf(1)))) != 16 {
		t.Error("a realm has not 16 bytes")
	}
}
