package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// ErrPin is returned when a server shows another key than the pinned ones.
var ErrPin = errors.New("server key is not the pinned one")

// PinOf returns "sha256:" and the hexadecimal SHA-256 of the public key in its
// SubjectPublicKeyInfo form (as RFC 7469 section 2.4 does, in hexadecimal).
func PinOf(pub ed25519.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", fmt.Errorf("pin of key: %w", err)
	}
	sum := sha256.Sum256(der)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// RealmOf names the installation that a server key founded: the first 16 bytes
// of the SHA-256 of the key. A report for one realm is refused by another.
func RealmOf(server ed25519.PublicKey) []byte {
	id := IDOf(server)
	return id[:]
}

// Certificate makes the self-signed certificate that carries a key through the
// TLS handshake. Its dates and names mean nothing and are checked by nobody:
// agents with a dead clock battery must be able to connect.
func Certificate(k Key) (tls.Certificate, error) {
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "rollcall"},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280 section 4.1.2.5: no expiry
		KeyUsage:     x509.KeyUsageDigitalSignature,
		DNSNames:     []string{"rollcall"},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}, nil
}

// ServerTLS returns the configuration of a listener: TLS 1.3 only, no session
// tickets (so that a revoked key cannot resume), client certificates asked for
// and not verified here: who a key belongs to is decided for each call.
func ServerTLS(k Key) (*tls.Config, error) {
	cert, err := Certificate(k)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{cert},
		ClientAuth:             tls.RequestClientCert,
		SessionTicketsDisabled: true,
		NextProtos:             []string{"h2"},
	}, nil
}

// ClientTLS returns the configuration of a caller that accepts a server by pin
// alone. key is nil for an operator, who shows a token instead.
func ClientTLS(pins []string, key Key) (*tls.Config, error) {
	if len(pins) == 0 {
		return nil, errors.New("connect: no server pin is configured: enrol or log in with a token")
	}
	cfg := &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: "rollcall",
		NextProtos: []string{"h2"},
		// Names, dates and issuers are replaced by the pin, not left unchecked:
		// VerifyConnection runs on every handshake, resumed ones included.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			pub, err := PeerKey(cs)
			if err != nil {
				return err
			}
			pin, err := PinOf(pub)
			if err != nil {
				return err
			}
			if !slices.Contains(pins, pin) {
				return fmt.Errorf("%w: it shows %s", ErrPin, pin)
			}
			return nil
		},
	}
	if key != nil {
		cert, err := Certificate(key)
		if err != nil {
			return nil, err
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	return cfg, nil
}

// PeerKey returns the Ed25519 key that the other side of a handshake proved to
// hold.
func PeerKey(cs tls.ConnectionState) (ed25519.PublicKey, error) {
	if len(cs.PeerCertificates) == 0 {
		return nil, errors.New("peer shows no certificate")
	}
	pub, ok := cs.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("peer's key is not an Ed25519 key")
	}
	return pub, nil
}
