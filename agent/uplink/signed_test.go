package uplink

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// sealedAs is /etc with one sealed file whose ciphertext has a digest.
func sealedAs(ciphertext string) fact.Set {
	f := fact.File{Kind: fact.KindSealed, Fingerprint: hex.EncodeToString(make([]byte, 32)), Digest: sha256.Sum256([]byte(ciphertext)), Mode: 0o640, Owner: "root", Group: "shadow"}
	return fact.Set{{Path: "etc/shadow", Value: f.String()}}
}

// signedManifest is what an honest server answers.
func signedManifest(t *testing.T, k identity.Key, etc fact.Set) *rollcallv1.ManifestReply {
	t.Helper()
	pkg := fact.Set{{Path: "pkg/cups/version", Value: "1"}}
	state := fact.State{"etc": etc.Digest(), "pkg": pkg.Digest()}
	digest := state.Digest()
	body, err := proto.Marshal(&rollcallv1.Body{Seq: 1, State: digest[:]})
	if err != nil {
		t.Fatal(err)
	}
	env := identity.Seal(k, body)
	sum := sha256.Sum256(env)
	reply := &rollcallv1.ManifestReply{
		Ci: "id", Name: "pc07", Revision: 7, RecordedMs: 1000, Report: hex.EncodeToString(sum[:]), Sets: [][]byte{etc.Encode()},
		Envelope: env, Key: identity.Public(k), State: map[string][]byte{},
	}
	for section, d := range state {
		reply.State[section] = d[:]
	}
	return reply
}

func TestAManifestThatTheMachineDidNotSignIsRefused(t *testing.T) {
	f := &fake{}
	s := connect(t, serve(t, f))
	machine, thief := key(t), key(t)
	mine, swapped := sealedAs("mine"), sealedAs("the thief's")
	conffile := fact.Set{{Path: "conffile/etc/x", Value: "missing cups 00000000000000000000000000000000"}}
	for _, tt := range []struct {
		name   string
		change func(r *rollcallv1.ManifestReply)
		ok     bool
	}{
		{"as it was signed", func(*rollcallv1.ManifestReply) {}, true},
		{"a sealed content that was exchanged", func(r *rollcallv1.ManifestReply) { r.Sets = [][]byte{swapped.Encode()} }, false},
		{"exchanged, and its section too", func(r *rollcallv1.ManifestReply) {
			d := swapped.Digest()
			r.Sets, r.State["etc"] = [][]byte{swapped.Encode()}, d[:]
		}, false},
		{"signed by another key in its place", func(r *rollcallv1.ManifestReply) { r.Key = identity.Public(thief) }, false},
		{"another envelope of the machine", func(r *rollcallv1.ManifestReply) { r.Envelope = signedManifest(t, machine, swapped).GetEnvelope() }, false},
		{"a changed envelope", func(r *rollcallv1.ManifestReply) { r.Envelope[len(r.GetEnvelope())-1] ^= 1 }, false},
		{"another report's hash", func(r *rollcallv1.ManifestReply) { r.Report = hex.EncodeToString(make([]byte, 32)) }, false},
		{"a section left out", func(r *rollcallv1.ManifestReply) { r.Sets = nil }, false},
		{"a section more", func(r *rollcallv1.ManifestReply) { r.Sets = append(r.Sets, conffile.Encode()) }, false},
		{"a malformed digest", func(r *rollcallv1.ManifestReply) { r.State["pkg"] = []byte("x") }, false},
		{"no key", func(r *rollcallv1.ManifestReply) { r.Key = nil }, false},
		{"no envelope", func(r *rollcallv1.ManifestReply) { r.Envelope = []byte("RCE1") }, false},
	} {
		reply := signedManifest(t, machine, mine)
		tt.change(reply)
		f.manifest = reply
		m, err := s.Manifest(t.Context(), "pc07", time.Time{})
		switch {
		case tt.ok && (err != nil || !m.Signer.Equal(identity.Public(machine))):
			t.Errorf("%s: signed by %x, %v", tt.name, m.Signer, err)
		case !tt.ok && (!errors.Is(err, ErrReply) || m.Signer != nil):
			t.Errorf("%s: %v, want ErrReply", tt.name, err)
		}
	}
	// Signed by another key altogether, it names that key: people compare words.
	f.manifest = signedManifest(t, thief, swapped)
	if m, err := s.Manifest(t.Context(), "pc07", time.Time{}); err != nil || m.Signer.Equal(identity.Public(machine)) {
		t.Errorf("the thief's own: %v", err)
	}
}
