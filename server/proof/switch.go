package proof

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"rollcall/internal/identity"
	"rollcall/server/evidence"
)

// SwitchEntry is the leaf about a server whose key changes: the old key signs for
// the new one, so that whoever trusts the old one can go on verifying.
func SwitchEntry(old identity.Key, next ed25519.PublicKey) evidence.Entry {
	pub := identity.Public(old)
	return evidence.Entry{
		Kind: evidence.ServerState, By: "rollcall-server switch-key", Subject: next,
		Detail: map[string]string{
			"do": "key switched", "old": identity.IDOf(pub).String(), "new": identity.IDOf(next).String(),
			"old_key": hex.EncodeToString(pub), "statement": hex.EncodeToString(identity.SignStatement(old, identity.TypeServerKey, next)),
		},
	}
}

// openSwitch reads the leaf's content and verifies the old key's signature.
func openSwitch(content []byte) (old, next ed25519.PublicKey, err error) {
	e, err := evidence.ParseEntry(content)
	if err != nil {
		return nil, nil, err
	}
	if old, err = hex.DecodeString(e.Detail["old_key"]); err != nil || e.Kind != evidence.ServerState {
		return nil, nil, errors.New("not about a change of the server's key")
	}
	statement, err := hex.DecodeString(e.Detail["statement"])
	if err == nil {
		next, err = identity.OpenStatement(old, identity.TypeServerKey, statement)
	}
	if err == nil && len(next) != ed25519.PublicKeySize {
		err = errors.New("it names no key")
	}
	return old, next, err
}

// serverKeys follows the changes of the server's key in the file: each is signed by
// the key before. It finds the key that the server has now, and the first one,
// which founded the realm. Where there was no change both are the trusted one.
func (v *verifier) serverKeys() (first, present ed25519.PublicKey, err error) {
	chain := []ed25519.PublicKey{}
	for _, l := range v.Switches {
		old, next, err := openSwitch(l.Content)
		if err != nil {
			return nil, nil, fmt.Errorf("leaf %d: %w", l.Index, err)
		}
		if n := len(chain); n == 0 {
			chain = append(chain, old)
		} else if !chain[n-1].Equal(old) {
			return nil, nil, fmt.Errorf("leaf %d ends another key than the one before began", l.Index)
		}
		chain = append(chain, next)
	}
	if len(chain) == 0 {
		return v.trust.Server, v.trust.Server, nil
	}
	if !slices.ContainsFunc(chain, func(k ed25519.PublicKey) bool { return bytes.Equal(k, v.trust.Server) }) {
		return nil, nil, errors.New("the server never had the key that is trusted")
	}
	return chain[0], chain[len(chain)-1], nil
}

// switched checks that the changes of the server's key are in the log, in their
// order: nobody was shown them alone.
func (v *verifier) switched() (string, error) {
	last := ""
	for i, l := range v.Switches {
		leaf, err := v.open(l)
		if err != nil {
			return "", err
		}
		if leaf.Kind != evidence.ServerState || i > 0 && l.Index <= v.Switches[i-1].Index {
			return "", fmt.Errorf("leaf %d is a %s, or out of order", l.Index, leaf.Kind)
		}
		last = fmt.Sprint(l.Index)
	}
	return fmt.Sprintf("the trusted key leads to the present one: %d changes of the server's key, each signed by the key before, the last in leaf %s", len(v.Switches), last), nil
}
