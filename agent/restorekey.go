package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"rollcall/internal/conf"
	"rollcall/internal/identity"
	"rollcall/internal/seal"
)

// Files of the state folder for a restore without the identity on the machine.
const (
	restoreKeyFile   = "restore.key"   // this machine's age identity
	restoreNonceFile = "restore.nonce" // of the last request
)

// RestoreKey returns this machine's own age identity and its recipient, to which
// rollcall-recovery seals what a restore needs. It is made when it is first asked
// for, and stays in the state folder.
func RestoreKey(c Config) (ids seal.Identities, recipient string, err error) {
	if err := makeState(c.State); err != nil {
		return seal.Identities{}, "", err
	}
	name := filepath.Join(c.State, restoreKeyFile)
	text, err := conf.ReadSecret(name)
	if errors.Is(err, fs.ErrNotExist) {
		private, _ := seal.GenerateIdentity()
		text = []byte(private + "\n")
		err = identity.WriteFile(name, text)
	}
	if err != nil {
		return seal.Identities{}, "", err
	}
	defer clear(text)
	if ids, err = seal.ParseIdentities(bytes.NewReader(text)); err != nil {
		return seal.Identities{}, "", fmt.Errorf("%s: %w", name, err)
	}
	return ids, ids.Recipients()[0], nil
}

// RemoveRestoreKey removes the key and what the last request left. Answers to
// requests of before open no more.
func RemoveRestoreKey(c Config) error {
	for _, name := range []string{restoreNonceFile, restoreKeyFile} {
		if err := os.Remove(filepath.Join(c.State, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove restore key: %w", err)
		}
	}
	return nil
}

// KeepRestoreNonce remembers the nonce of the last request; that of an earlier one
// is forgotten.
func KeepRestoreNonce(c Config, nonce []byte) error {
	return identity.WriteFile(filepath.Join(c.State, restoreNonceFile), nonce)
}

// RestoreNonce returns the nonce of the last request, or an error that says that
// there was none.
func RestoreNonce(c Config) ([]byte, error) {
	nonce, err := conf.ReadSecret(filepath.Join(c.State, restoreNonceFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("this machine has asked for nothing: restore --sealed-out comes first")
	}
	return nonce, err
}
