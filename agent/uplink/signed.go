package uplink

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// signer checks that a manifest is what a machine has signed, and returns the key
// that signed it: the envelope's signature covers the digest of the whole state,
// that of each section is in the state, and the sections name every content by its
// digest, a sealed one by that of its ciphertext.
func signer(reply *rollcallv1.ManifestReply, sets []fact.Set) (ed25519.PublicKey, error) {
	env, err := identity.OpenEnvelope(reply.GetEnvelope())
	if err != nil {
		return nil, err
	}
	key := ed25519.PublicKey(reply.GetKey())
	if err := env.Verify(key); err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(reply.GetEnvelope()); reply.GetReport() != "" && reply.GetReport() != hex.EncodeToString(sum[:]) {
		return nil, errors.New("the report is not the one that it is said to be")
	}
	var body rollcallv1.Body // decoded after the signature was verified over its bytes
	if err := proto.Unmarshal(env.Body, &body); err != nil {
		return nil, fmt.Errorf("decode report: %w", err)
	}
	state := fact.State{}
	for section, d := range reply.GetState() {
		if len(d) != len(fact.Digest{}) {
			return nil, fmt.Errorf("section %.20q: a digest of %d bytes", section, len(d))
		}
		state[section] = fact.Digest(d)
	}
	if signed := state.Digest(); !bytes.Equal(signed[:], body.GetState()) {
		return nil, errors.New("the machine has signed another state")
	}
	here := map[string]fact.Digest{}
	for _, set := range sets {
		if len(set) > 0 {
			here[set[0].Section()] = set.Digest()
		}
	}
	for _, section := range []string{"etc", "conffile"} {
		if here[section] != state[section] { // both zero: there is none
			return nil, fmt.Errorf("section %s is not the one that the machine has signed", section)
		}
	}
	return key, nil
}
