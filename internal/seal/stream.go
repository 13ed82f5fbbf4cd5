package seal

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

// Encrypt returns a writer whose input goes to w as one binary age file for all
// recipients, in bounded memory. Only Close completes it: what was written to w
// before does not open. It returns ErrNoRecipient if there are no recipients.
func (r Recipients) Encrypt(w io.Writer) (io.WriteCloser, error) {
	if r.Len() == 0 {
		return nil, ErrNoRecipient
	}
	enc, err := age.Encrypt(w, r.keys...)
	if err != nil {
		return nil, fmt.Errorf("seal to %d recipients: %w", r.Len(), err)
	}
	return enc, nil
}

// Decrypt returns the content of an age file as it is read from sealed, in
// bounded memory. It returns ErrNoIdentity if none of ids fits. What a cut or
// changed file gives ends with an error instead of io.EOF; what was read until
// then is authentic.
func Decrypt(sealed io.Reader, ids Identities) (io.Reader, error) {
	if ids.Len() == 0 {
		return nil, ErrNoIdentity
	}
	r, err := age.Decrypt(sealed, ids.keys...)
	if _, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
		return nil, ErrNoIdentity
	}
	if err != nil {
		return nil, fmt.Errorf("open sealed stream: %w", err)
	}
	return r, nil
}

// Magic begins every binary age file.
const Magic = "age-encryption.org/v1\n"

// Witnessed adds a recipient that exists for one run: whoever seals to the
// result can open it with ids while the program lives, and prove so that the
// file is whole. Nobody can afterwards, since the private half is nowhere but in
// ids.
func (r Recipients) Witnessed() (more Recipients, ids Identities, err error) {
	if r.Len() == 0 {
		return r, ids, ErrNoRecipient
	}
	var key age.Identity
	var own age.Recipient
	if strings.HasPrefix(r.names[0], "age1pq1") { // the two forms do not mix
		k, err := age.GenerateHybridIdentity()
		if err != nil {
			return r, ids, fmt.Errorf("make a key for this run: %w", err)
		}
		key, own = k, k.Recipient()
	} else {
		k, err := age.GenerateX25519Identity()
		if err != nil {
			return r, ids, fmt.Errorf("make a key for this run: %w", err)
		}
		key, own = k, k.Recipient()
	}
	more.names = r.names
	more.keys = append(append(more.keys, r.keys...), own)
	return more, Identities{keys: []age.Identity{key}}, nil
}
