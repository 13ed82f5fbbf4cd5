// Package seal keeps secrets of /etc unreadable on their way and in the store:
// it knows which files are secret by their path ([Secret]) and by their content
// ([Sniff]), encrypts them to offline recipients in the age format
// (age-encryption.org/v1) and opens them again, and makes keyed fingerprints
// that show a change without giving the content away.
//
// What is sealed here opens with plain programs, "age -d | gunzip", so that a
// restore does not depend on Rollcall. age does not say who sealed: that is the
// business of the signature on the report. The size of a sealed content shows in
// steps of 1 KiB, see pad.go.
package seal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"
)

// ErrNoIdentity is returned by [Open] if none of the identities belongs to a
// recipient of the sealed content.
var ErrNoIdentity = errors.New("sealed to other recipients; none of the given identities opens it")

// ErrTooLarge is returned by [Open] if the content exceeds the limit.
var ErrTooLarge = errors.New("sealed content exceeds the size limit")

// ErrNoRecipient is returned by [Recipients.Seal] of no recipients.
var ErrNoRecipient = errors.New("no recipients to seal to")

const (
	maxRecipients = 64
	maxIdentities = 1 << 20 // bytes of an identity file
)

// Recipients are the public keys that contents are sealed to; each of their
// private halves opens them alone. The zero value has none and seals nothing.
type Recipients struct {
	keys  []age.Recipient
	names []string // text forms, sorted
}

// ParseRecipients reads native age recipients, one a string: all of the X25519
// form age1…, or all of the post-quantum form age1pq1…. It refuses anything
// else (plugins, SSH keys, passphrases), recipients given twice, a mixture of
// the two forms (its weakest member would decide its strength), and more than
// 64. An empty list gives Recipients that seal nothing. A private key that was
// put here by mistake does not appear in the error.
func ParseRecipients(texts []string) (Recipients, error) {
	if len(texts) > maxRecipients {
		return Recipients{}, fmt.Errorf("%d recipients; at most %d are supported", len(texts), maxRecipients)
	}
	var r Recipients
	hybrid := 0
	for i, text := range texts {
		key, name, err := parseRecipient(text)
		if err != nil {
			return Recipients{}, fmt.Errorf("recipient %d: %w", i+1, err)
		}
		if slices.Contains(r.names, name) {
			return Recipients{}, fmt.Errorf("recipient %d: %s was given before", i+1, name)
		}
		if _, ok := key.(*age.HybridRecipient); ok {
			hybrid++
		}
		r.keys = append(r.keys, key)
		r.names = append(r.names, name)
	}
	if hybrid != 0 && hybrid != len(texts) {
		return Recipients{}, errors.New("recipients of the forms age1… and age1pq1… do not mix; use one form for all")
	}
	slices.Sort(r.names)
	if r.Len() > 0 {
		// A well-formed key can still be unusable (a point of low order). Show
		// that when the configuration is read, not when the first secret is.
		if _, err := r.Seal(nil); err != nil {
			return Recipients{}, err
		}
	}
	return r, nil
}

func parseRecipient(text string) (age.Recipient, string, error) {
	switch {
	case strings.HasPrefix(strings.ToUpper(text), "AGE-SECRET-KEY-"):
		return nil, "", errors.New("this is a private key; keep it offline and give its public half, which age-keygen -y prints")
	case strings.HasPrefix(text, "age1pq1"):
		key, err := age.ParseHybridRecipient(text)
		if err != nil {
			return nil, "", err
		}
		return key, key.String(), nil
	case strings.HasPrefix(text, "age1"):
		key, err := age.ParseX25519Recipient(text)
		if err != nil {
			return nil, "", fmt.Errorf("only native age keys are supported, no plugins: %w", err)
		}
		return key, key.String(), nil
	}
	return nil, "", errors.New("not a native age recipient, which begins with age1")
}

// Len returns the number of recipients.
func (r Recipients) Len() int { return len(r.keys) }

// Names returns the text forms of the recipients in sorted order.
func (r Recipients) Names() []string { return slices.Clone(r.names) }

// ID returns the hex SHA-256 of the sorted recipients and the way of sealing. A
// sealed content is reused while its content and this ID stay the same.
func (r Recipients) ID() string {
	sum := sha256.Sum256([]byte(padStanza + " " + padV1 + "\n" + strings.Join(r.names, "\n")))
	return hex.EncodeToString(sum[:])
}

// Seal encrypts plain to all recipients, as a binary age file that holds a gzip
// member, padded so that the size tells that of plain in steps of 1 KiB. Sealing
// the same content twice gives different results. It returns ErrNoRecipient if
// there are no recipients.
func (r Recipients) Seal(plain []byte) ([]byte, error) {
	if r.Len() == 0 {
		return nil, ErrNoRecipient
	}
	padded, err := pad(plain)
	if err != nil {
		return nil, fmt.Errorf("seal %d bytes: %w", len(plain), err)
	}
	defer clear(padded)
	var sealed bytes.Buffer
	keys := slices.Clone(r.keys)
	keys[0] = padMark{keys[0]}
	w, err := age.Encrypt(&sealed, keys...)
	if err != nil {
		return nil, fmt.Errorf("seal to %d recipients: %w", r.Len(), err)
	}
	if _, err := w.Write(padded); err != nil {
		return nil, fmt.Errorf("seal %d bytes: %w", len(plain), err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("seal %d bytes: %w", len(plain), err)
	}
	return sealed.Bytes(), nil
}

// Identities are private keys that open sealed contents. Their text form never
// appears in an error or through a print verb.
type Identities struct {
	keys []age.Identity
}

// Len returns the number of identities.
func (ids Identities) Len() int { return len(ids.keys) }

// String tells how many identities there are, and nothing about them.
func (ids Identities) String() string { return fmt.Sprintf("%d identities", ids.Len()) }

// GoString is String: %#v would print the keys.
func (ids Identities) GoString() string { return ids.String() }

// ParseIdentities reads native age private keys, one a line, as age-keygen
// writes them; empty lines and lines that begin with "#" are ignored. An error
// names the line and never holds any of its text.
func ParseIdentities(r io.Reader) (Identities, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxIdentities+1))
	if err != nil {
		return Identities{}, fmt.Errorf("read identities: %w", err)
	}
	if len(text) > maxIdentities {
		return Identities{}, fmt.Errorf("read identities: larger than %d bytes", maxIdentities)
	}
	if bytes.HasPrefix(text, []byte("age-encryption.org/")) || bytes.HasPrefix(text, []byte("-----BEGIN AGE ENCRYPTED FILE-----")) {
		return Identities{}, errors.New("read identities: the file is encrypted itself; open it with age -d first")
	}
	keys, err := age.ParseIdentities(bytes.NewReader(text))
	if err != nil {
		return Identities{}, fmt.Errorf("read identities: %w", err)
	}
	return Identities{keys: keys}, nil
}

// Recipients returns the text forms of their public halves, in the order in which
// the identities were read.
func (ids Identities) Recipients() []string {
	var out []string
	for _, key := range ids.keys {
		switch key := key.(type) {
		case *age.X25519Identity:
			out = append(out, key.Recipient().String())
		case *age.HybridIdentity:
			out = append(out, key.Recipient().String())
		}
	}
	return out
}

// Open decrypts a binary age file, takes off the padding if [Recipients.Seal]
// made it, and returns its content of at most limit bytes. It returns ErrNoIdentity if none of ids fits, ErrTooLarge if there is
// more content, and another error if sealed was cut, changed, or never an age
// file; no part of a content that fails authentication is returned.
func Open(sealed []byte, ids Identities, limit int64) ([]byte, error) {
	if ids.Len() == 0 {
		return nil, ErrNoIdentity
	}
	key := &padSeen{keys: ids.keys}
	r, err := age.Decrypt(bytes.NewReader(sealed), key)
	if _, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
		return nil, ErrNoIdentity
	}
	if err != nil {
		return nil, fmt.Errorf("open sealed content: %w", err)
	}
	var plain []byte
	if key.version == "" {
		plain, err = bounded(r, limit)
	} else {
		plain, err = unpad(r, key.version, limit)
	}
	if err != nil {
		return nil, fmt.Errorf("open sealed content: %w", err)
	}
	return plain, nil
}

// GenerateIdentity makes a new X25519 key pair in the text forms of age:
// AGE-SECRET-KEY-1… and age1…. Like crypto/rand, it panics if the system has no
// randomness.
func GenerateIdentity() (private, public string) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		panic("seal: " + err.Error())
	}
	return id.String(), id.Recipient().String()
}

// GenerateHybridIdentity is GenerateIdentity for the post-quantum form:
// AGE-SECRET-KEY-PQ-1… and age1pq1….
func GenerateHybridIdentity() (private, public string) {
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		panic("seal: " + err.Error())
	}
	return id.String(), id.Recipient().String()
}
