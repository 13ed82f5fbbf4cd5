package seal

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"path"
	"slices"
	"strings"
)

// Kinds of secrets that the radar finds on several machines.
const (
	KindSSHHostKey = "ssh-host-key"
	KindSSHKey     = "ssh-key"
	KindTLSKey     = "tls-key"
	KindKeytab     = "keytab"
	KindWifi       = "wifi"
	KindWireGuard  = "wireguard"
	KindVPN        = "vpn"
)

// SharedKinds lists the kinds.
func SharedKinds() []string {
	return []string{KindKeytab, KindSSHHostKey, KindSSHKey, KindTLSKey, KindVPN, KindWifi, KindWireGuard}
}

// maxRadar bounds the secrets of one kind in one file.
const maxRadar = 16

// ParseRadarKey reads the file that rollcall-recovery radar-key writes: 64
// hexadecimal digits.
func ParseRadarKey(text []byte) ([]byte, error) {
	key, err := hex.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(key) != FingerprintKeySize {
		return nil, fmt.Errorf("radar key: want %d hexadecimal digits, as rollcall-recovery radar-key writes them", 2*FingerprintKeySize)
	}
	return key, nil
}

// Radar returns keyed fingerprints of the secrets in a file of /etc that several
// machines should not share, or whose sharing is worth knowing: by kind, sorted,
// at most 16 of a kind. name is relative to /etc. Two machines with one radar key
// get the same fingerprint for the same secret, whatever is around it: a private
// key counts by itself in any of its usual forms, a password by its characters.
// Without the radar key a fingerprint cannot be compared with a guess.
func Radar(key []byte, name string, content []byte) map[string][]string {
	found := map[string][]string{}
	add := func(kind string, secret []byte) {
		if len(secret) == 0 {
			return
		}
		mark := Fingerprint(key, slices.Concat([]byte("rollcall radar 1\x00"), []byte(kind), []byte{0}, secret))[:32]
		if !slices.Contains(found[kind], mark) && len(found[kind]) < maxRadar {
			found[kind] = append(found[kind], mark)
		}
	}
	content = content[:min(len(content), maxSniff)]
	keysOf(name, content, add)
	if bytes.HasPrefix(content, []byte{5, 2}) {
		keytabKeys(content[2:], func(k []byte) { add(KindKeytab, k) })
	}
	for line := range bytes.Lines(content) {
		radarLine(line, add)
	}
	for kind := range found {
		slices.Sort(found[kind])
	}
	return found
}

// keysOf finds private keys in PEM.
func keysOf(name string, content []byte, add func(kind string, secret []byte)) {
	kind := KindTLSKey
	base := path.Base(name)
	switch {
	case strings.HasPrefix(base, "ssh_host_") || strings.HasPrefix(base, "dropbear_"):
		kind = KindSSHHostKey
	case strings.HasPrefix(base, "id_"):
		kind = KindSSHKey
	}
	if _, after, ok := bytes.Cut(content, []byte("-----BEGIN OpenVPN Static key V1-----")); ok { // its body is hexadecimal
		body, _, _ := bytes.Cut(after, []byte("-----END"))
		add(KindVPN, bytes.ToLower(bytes.Join(bytes.Fields(body), nil)))
	}
	for range maxRadar {
		var block *pem.Block
		if block, content = pem.Decode(content); block == nil {
			break
		}
		switch {
		case block.Type == "OPENSSH PRIVATE KEY":
			if kind == KindTLSKey {
				add(KindSSHKey, publicOfOpenSSH(block.Bytes))
			} else {
				add(kind, publicOfOpenSSH(block.Bytes))
			}
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			add(kind, publicOf(block))
		}
	}
}

// publicOf names a private key by its public half, which is the same in all of
// its forms. A key that cannot be read, as one behind a passphrase, counts by its
// bytes.
func publicOf(block *pem.Block) []byte {
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err == nil {
		if signer, ok := key.(crypto.Signer); ok {
			if b := public(signer.Public()); b != nil {
				return b
			}
		}
	}
	return block.Bytes
}

func public(key any) []byte {
	b, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil
	}
	return b
}

// publicOfOpenSSH takes the public half out of a key in the form of OpenSSH
// (PROTOCOL.key): magic, cipher, KDF, its options, number of keys, public key. It
// is readable also behind a passphrase.
func publicOfOpenSSH(b []byte) []byte {
	rest, ok := bytes.CutPrefix(b, []byte("openssh-key-v1\x00"))
	for range 3 {
		_, rest = sshString(rest)
	}
	if !ok || len(rest) < 4 {
		return b
	}
	blob, _ := sshString(rest[4:])
	algorithm, fields := sshString(blob)
	first, fields := sshString(fields)
	second, _ := sshString(fields)
	var out []byte
	switch name := string(algorithm); {
	case name == "ssh-rsa" && len(first) <= 8 && len(second) > 0:
		out = public(&rsa.PublicKey{E: int(new(big.Int).SetBytes(first).Int64()), N: new(big.Int).SetBytes(second)})
	case name == "ssh-ed25519" && len(first) == ed25519.PublicKeySize:
		out = public(ed25519.PublicKey(first))
	case strings.HasPrefix(name, "ecdsa-sha2-"):
		out = publicOfCurve(string(first), second)
	}
	if out == nil {
		out = blob
	}
	if len(out) == 0 {
		return b
	}
	return out
}

func publicOfCurve(curve string, point []byte) []byte {
	curves := map[string]elliptic.Curve{"nistp256": elliptic.P256(), "nistp384": elliptic.P384(), "nistp521": elliptic.P521()}
	c, ok := curves[curve]
	if !ok {
		return nil
	}
	key, err := ecdsa.ParseUncompressedPublicKey(c, point)
	if err != nil {
		return nil
	}
	return public(key)
}

// sshString reads a string of RFC 4251 section 5.
func sshString(b []byte) (s, rest []byte) {
	if len(b) < 4 {
		return nil, nil
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return nil, nil
	}
	return b[4 : 4+n], b[4+n:]
}

// keytabKeys finds the keys of a keytab (MIT krb5, "The Kerberos keytab binary
// file format", version 2): entries with a length, which is negative for holes;
// in each a count of components, realm, components, name type, time, version
// number, key type, key.
func keytabKeys(b []byte, add func(key []byte)) {
	for len(b) >= 4 {
		size := int64(int32(binary.BigEndian.Uint32(b)))
		b = b[4:]
		length := max(size, -size)
		if length > int64(len(b)) || length == 0 {
			return
		}
		if size > 0 {
			keytabKey(b[:length], add)
		}
		b = b[length:]
	}
}

func keytabKey(entry []byte, add func(key []byte)) {
	counted := func() []byte { // a length of two bytes and as many bytes
		if len(entry) < 2 {
			entry = nil
			return nil
		}
		n := int(binary.BigEndian.Uint16(entry))
		if n > len(entry)-2 {
			entry = nil
			return nil
		}
		s := entry[2 : 2+n]
		entry = entry[2+n:]
		return s
	}
	if len(entry) < 2 {
		return
	}
	components := int(binary.BigEndian.Uint16(entry))
	entry = entry[2:]
	for range components + 1 { // the realm is one more
		if counted(); entry == nil {
			return
		}
	}
	const between = 4 + 4 + 1 // name type, time, version number
	if len(entry) < between+2 {
		return
	}
	entry = entry[between+2:] // and the key's type
	add(counted())
}

// radarLine finds passwords of networks and keys of WireGuard in one line.
func radarLine(line []byte, add func(kind string, secret []byte)) {
	line = bytes.TrimSpace(line)
	if len(line) == 0 || line[0] == '#' || line[0] == ';' {
		return
	}
	name, value, ok := bytes.Cut(line, []byte("="))
	if !ok {
		at := bytes.IndexAny(line, " \t") // interfaces(5): wpa-psk x
		if at < 0 {
			return
		}
		name, value = line[:at], line[at:]
	}
	text := strings.Trim(strings.TrimSpace(string(value)), `"'`)
	if placeholder(text) {
		return
	}
	switch strings.ToLower(strings.ReplaceAll(string(bytes.TrimSpace(name)), "-", "_")) {
	case "psk", "wpa_psk", "wpa_passphrase", "sae_password", "wpa_password":
		add(KindWifi, []byte(text))
	case "wep_key0", "wep_key1", "wep_key2", "wep_key3", "wireless_key", "wireless_key1":
		add(KindWifi, []byte(text))
	case "privatekey", "private_key", "presharedkey", "preshared_key":
		if key, err := base64.StdEncoding.DecodeString(text); err == nil && len(key) == 32 {
			add(KindWireGuard, key)
		}
	}
}
