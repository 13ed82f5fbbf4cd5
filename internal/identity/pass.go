package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// PassSize is the length of a pass in bytes.
const PassSize = 16

// passSuffix is what a server name that holds a pass ends with.
const passSuffix = ".rollcall"

// PassOf returns the pass of an agent: what an enrolled key shows in the first
// message of a TLS handshake, so that a server under attack can tell it from the
// strangers before it has done any work for it. It opens nothing: whoever copies it
// from the wire waits no longer at the door than the machine it belongs to.
//
// It is the beginning of the HMAC-SHA-256, keyed with the SHA-256 of "rollcall door
// pass v1" and the seed of the server's key, of the id of the agent's key.
func PassOf(server Key, id KeyID) []byte {
	secret := sha256.Sum256(append([]byte("rollcall door pass v1"), server.Seed()...))
	m := hmac.New(sha256.New, secret[:])
	m.Write(id[:])
	return m.Sum(nil)[:PassSize]
}

// PassName puts a pass into the form of a server name (RFC 6066 section 3): two
// labels of hexadecimal digits. Without a pass of the right length it is the name
// that everybody shows.
func PassName(id KeyID, pass []byte) string {
	if len(pass) != PassSize {
		return passSuffix[1:]
	}
	return hex.EncodeToString(id[:]) + "." + hex.EncodeToString(pass) + passSuffix
}

// OpenPass returns whose pass a server name holds; ok is false if it holds none that
// this server gave.
func OpenPass(server Key, name string) (id KeyID, ok bool) {
	rest, ok := strings.CutSuffix(name, passSuffix)
	if !ok || len(rest) != 2*len(id)+1+2*PassSize || rest[2*len(id)] != '.' {
		return KeyID{}, false
	}
	var pass [PassSize]byte
	if _, err := hex.Decode(id[:], []byte(rest[:2*len(id)])); err != nil {
		return KeyID{}, false
	}
	if _, err := hex.Decode(pass[:], []byte(rest[2*len(id)+1:])); err != nil {
		return KeyID{}, false
	}
	return id, hmac.Equal(pass[:], PassOf(server, id))
}
