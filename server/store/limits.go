package store

import (
	"bytes"
	"errors"
	"fmt"
)

// maxTenant is the length in bytes of the longest tenant name in a key.
const maxTenant = 64

var errKeyForm = errors.New(`a key begins with its tenant and "/"`)

// CheckKey returns an error if no engine would take the key for writing:
// ErrLimit if it is longer than MaxKey, another error if its space is unknown
// or it does not begin with a tenant and a slash.
func CheckKey(k Key) error {
	if k.Space == 0 || int(k.Space) > len(Spaces) {
		return fmt.Errorf("key %.200s: unknown space", k)
	}
	if len(k.K) > MaxKey {
		return fmt.Errorf("key %.200s of %d bytes: %w: at most %d", k, len(k.K), ErrLimit, MaxKey)
	}
	if i := bytes.IndexByte(k.K[:min(len(k.K), maxTenant+1)], '/'); i < 1 {
		return fmt.Errorf("key %.200s: %w", k, errKeyForm)
	}
	return nil
}

// checkPut returns ErrLimit if the value is longer than MaxValue, or what
// CheckKey says.
func checkPut(k Key, v []byte) error {
	if err := CheckKey(k); err != nil {
		return err
	}
	if len(v) > MaxValue {
		return fmt.Errorf("value of %.200s of %d bytes: %w: at most %d", k, len(v), ErrLimit, MaxValue)
	}
	return nil
}
