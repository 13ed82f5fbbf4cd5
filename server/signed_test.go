package server

import (
	"crypto/ed25519"
	"testing"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// A restore is wanted when a machine was installed anew, whose key of before is
// revoked by its adoption.
func TestAManifestCarriesTheSignatureOfAKeyThatIsRevokedByNow(t *testing.T) {
	r := start(t)
	old := r.machine(1)
	old.report(t, true)
	m := r.stranger(2)
	if _, err := r.enrol(m, r.token(&rollcallv1.NewTokenRequest{Ci: old.ci})); err != nil {
		t.Fatal(err)
	}
	reply, err := r.kari.Manifest(t.Context(), &rollcallv1.ManifestRequest{Ci: old.ci})
	if err != nil {
		t.Fatal(err)
	}
	env, err := identity.OpenEnvelope(reply.GetEnvelope())
	if err != nil {
		t.Fatal(err)
	}
	if err := env.Verify(ed25519.PublicKey(reply.GetKey())); err != nil || string(reply.GetKey()) != string(identity.Public(old.Key)) {
		t.Errorf("signed by %x, %v", reply.GetKey(), err)
	}
}
