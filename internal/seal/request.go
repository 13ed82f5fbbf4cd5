package seal

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// A machine that is restored without the identity on it writes a Request: the
// ciphertexts that it needs, the recipient of a key of its own, and a challenge,
// which is a random value sealed to the recipients of its configuration. Offline,
// who has the identity opens all of it and writes an answer: an age file to the
// machine's recipient that holds the contents and the value of the challenge.
//
// age does not say who sealed. But only who can open the challenge, and so the
// secrets themselves, knows its value: an answer with it comes from the identity's
// owner and belongs to this request. That the request's recipient is the
// machine's, people see by its words.

// Bounds of requests and answers.
const (
	MaxRequest   = 128 << 20 // bytes of a request or an answer
	maxFiles     = 20_000
	maxOpened    = 17 << 20 // bytes of one content
	maxOpenedAll = 64 << 20 // bytes of the contents of one answer
	nonceSize    = 32
)

const (
	requestFormat = "rollcall restore request 1"
	answerFormat  = "rollcall restore answer 1"
)

// Request asks for contents to be sealed to another recipient.
type Request struct {
	Format    string       `json:"format"`
	CI        string       `json:"ci"`   // whose secrets are asked for
	Name      string       `json:"name"` // its name
	Target    string       `json:"target"`
	Challenge []byte       `json:"challenge"` // an age file
	Files     []Ciphertext `json:"files"`
}

// Ciphertext is one sealed content and the files that have it.
type Ciphertext struct {
	Paths  []string `json:"paths"` // of facts, "etc/shadow"
	Sealed []byte   `json:"sealed"`
}

// answer is what an answer holds inside.
type answer struct {
	Format string   `json:"format"`
	Nonce  []byte   `json:"nonce"`
	Files  []opened `json:"files"`
}

type opened struct {
	Digest  string `json:"sha256"` // of the ciphertext
	Content []byte `json:"content"`
}

// NewRequest starts a request of a machine whose own recipient is target. The
// nonce stays on the machine, see OpenAnswer. It returns ErrNoRecipient if to has
// none: nobody could answer.
func NewRequest(target string, to Recipients, random io.Reader) (r Request, nonce []byte, err error) {
	if _, err := ParseRecipients([]string{target}); err != nil {
		return Request{}, nil, fmt.Errorf("restore request: %w", err)
	}
	nonce = make([]byte, nonceSize)
	if _, err := io.ReadFull(random, nonce); err != nil {
		return Request{}, nil, fmt.Errorf("restore request: %w", err)
	}
	challenge, err := to.Seal(nonce)
	if err != nil {
		return Request{}, nil, fmt.Errorf("restore request: %w", err)
	}
	return Request{Format: requestFormat, Target: target, Challenge: challenge}, nonce, nil
}

// Encode gives the text of a request.
func (r Request) Encode() ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("restore request: %w", err)
	}
	if len(b) > MaxRequest {
		return nil, fmt.Errorf("restore request: more than %d MiB: name paths, and restore in several steps", MaxRequest>>20)
	}
	return b, nil
}

// ParseRequest reads a request. Names and paths in it are whatever its writer
// wanted.
func ParseRequest(b []byte) (Request, error) {
	var r Request
	if err := json.Unmarshal(b, &r); err != nil {
		return Request{}, fmt.Errorf("read restore request: %w", err)
	}
	switch {
	case r.Format != requestFormat:
		return Request{}, fmt.Errorf("read restore request: format %.40q, want %q", r.Format, requestFormat)
	case len(r.Files) > maxFiles:
		return Request{}, fmt.Errorf("read restore request: %d files, at most %d", len(r.Files), maxFiles)
	}
	if _, err := ParseRecipients([]string{r.Target}); err != nil {
		return Request{}, fmt.Errorf("read restore request: target: %w", err)
	}
	return r, nil
}

// Unopened is a ciphertext of a request that the identities do not open.
type Unopened struct {
	Paths []string
	Err   error
}

// Answer opens what a request asks for and seals it to the request's target. What
// does not open is named and left out. It returns ErrNoIdentity if the identities
// do not open the challenge.
func (r Request) Answer(ids Identities) (sealed []byte, left []Unopened, err error) {
	to, err := ParseRecipients([]string{r.Target})
	if err != nil {
		return nil, nil, fmt.Errorf("answer restore request: target: %w", err)
	}
	a := answer{Format: answerFormat}
	if a.Nonce, err = Open(r.Challenge, ids, nonceSize); err != nil {
		return nil, nil, fmt.Errorf("answer restore request: challenge: %w", err)
	}
	total := 0
	for _, f := range r.Files {
		content, err := Open(f.Sealed, ids, maxOpened)
		if err != nil {
			left = append(left, Unopened{f.Paths, err})
			continue
		}
		if total += len(content); total > maxOpenedAll {
			return nil, nil, fmt.Errorf("answer restore request: more than %d MiB of contents", maxOpenedAll>>20)
		}
		sum := sha256.Sum256(f.Sealed)
		a.Files = append(a.Files, opened{hex.EncodeToString(sum[:]), content})
	}
	plain, err := json.Marshal(a)
	if err != nil {
		return nil, nil, fmt.Errorf("answer restore request: %w", err)
	}
	defer clear(plain)
	sealed, err = to.Seal(plain)
	return sealed, left, err
}

// OpenAnswer opens an answer with the machine's own identity and the nonce of its
// request. It returns the contents by the SHA-256 of the ciphertexts that they
// were sealed as.
func OpenAnswer(sealed []byte, ids Identities, nonce []byte) (map[[32]byte][]byte, error) {
	plain, err := Open(sealed, ids, MaxRequest)
	if errors.Is(err, ErrNoIdentity) {
		return nil, errors.New("open restore answer: it is for another machine, or this machine's key was made anew since the request")
	}
	if err != nil {
		return nil, fmt.Errorf("open restore answer: %w", err)
	}
	defer clear(plain)
	var a answer
	if err := json.Unmarshal(plain, &a); err != nil {
		return nil, errors.New("open restore answer: it is none") // the error could quote a secret
	}
	if a.Format != answerFormat {
		return nil, fmt.Errorf("open restore answer: format %.40q, want %q", a.Format, answerFormat)
	}
	if len(nonce) != nonceSize || subtle.ConstantTimeCompare(a.Nonce, nonce) != 1 {
		return nil, errors.New("open restore answer: it does not answer the last request of this machine: somebody else made it, or it is an old one")
	}
	out := make(map[[32]byte][]byte, len(a.Files))
	for _, f := range a.Files {
		digest, err := hex.DecodeString(f.Digest)
		if err != nil || len(digest) != sha256.Size {
			return nil, errors.New("open restore answer: a digest is malformed")
		}
		out[[32]byte(digest)] = f.Content
	}
	return out, nil
}
