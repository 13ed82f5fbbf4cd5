package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// ErrBusy is returned where too many passwords are being looked at.
var ErrBusy = errors.New("too many logins at once: try again in a moment")

// Cost of a password: argon2id with 19 MiB, two passes, one lane, as OWASP's
// password storage cheat sheet has it. What is stored names its own cost, so that
// this can change.
const (
	costMemory  = 19 << 10 // KiB
	costPasses  = 2
	costLanes   = 1
	passwordSum = 32
	saltSize    = 16
)

// Bounds of a password.
const (
	minPassword = 12 // characters
	maxPassword = 256
)

// CheckPassword returns ErrInvalid unless a password is good enough to be the only
// thing between a stranger and the server.
func CheckPassword(name, password string) error {
	different := map[rune]bool{}
	for _, r := range password {
		different[r] = true
	}
	switch {
	case !utf8.ValidString(password) || len(password) > maxPassword:
		return fmt.Errorf("password: %w: want at most %d bytes of text", ErrInvalid, maxPassword)
	case utf8.RuneCountInString(password) < minPassword || len(different) < 5:
		return fmt.Errorf("password: %w: want %d characters or more, five of them different", ErrInvalid, minPassword)
	case strings.Contains(strings.ToLower(password), name) && len(name) > 2:
		return fmt.Errorf("password: %w: the name is in it", ErrInvalid)
	}
	return nil
}

// Hasher hashes and compares passwords, a few at once: each takes 19 MiB, and
// strangers may ask for it.
type Hasher struct{ slots chan struct{} }

// NewHasher makes one that works on n passwords at once.
func NewHasher(n int) *Hasher { return &Hasher{make(chan struct{}, n)} }

func (h *Hasher) enter(ctx context.Context) (leave func(), err error) {
	select {
	case h.slots <- struct{}{}:
		return func() { <-h.slots }, nil
	case <-ctx.Done():
		return nil, ErrBusy
	}
}

// Hash gives what is stored of a password, in the PHC string format. ErrBusy is
// returned if ctx ends before there is room.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	leave, err := h.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails, see crypto/rand
	sum := argon2.IDKey([]byte(password), salt, costPasses, costMemory, costLanes, passwordSum)
	return encodeHash(phc{costMemory, costPasses, costLanes, salt, sum}), nil
}

// Same tells whether a password is the stored one. Where nothing is stored, which
// no password matches, it takes as long. ErrBusy is returned if ctx ends before
// there is room.
func (h *Hasher) Same(ctx context.Context, stored, password string) (bool, error) {
	p, err := parseHash(stored)
	known := err == nil
	if stored == "" {
		p, err = phc{costMemory, costPasses, costLanes, make([]byte, saltSize), make([]byte, passwordSum)}, nil
	}
	if err != nil {
		return false, err
	}
	leave, err := h.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	sum := argon2.IDKey([]byte(password), p.salt, p.passes, p.memory, p.lanes, passwordSum)
	return subtle.ConstantTimeCompare(sum, p.sum) == 1 && known, nil
}

// phc is what a string such as "$argon2id$v=19$m=19456,t=2,p=1$SALT$SUM" holds.
type phc struct {
	memory, passes uint32
	lanes          uint8
	salt, sum      []byte
}

func encodeHash(p phc) string {
	e := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.passes, p.lanes, e.EncodeToString(p.salt), e.EncodeToString(p.sum))
}

// errHash is no answer to whoever logs in: the store is damaged.
var errHash = errors.New("the stored password is not readable")

func parseHash(s string) (p phc, err error) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, errHash
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.passes, &p.lanes); err != nil {
		return p, errHash
	}
	var saltErr, sumErr error
	p.salt, saltErr = base64.RawStdEncoding.DecodeString(parts[4])
	p.sum, sumErr = base64.RawStdEncoding.DecodeString(parts[5])
	if saltErr != nil || sumErr != nil || len(p.salt) != saltSize || len(p.sum) != passwordSum {
		return p, errHash
	}
	if p.memory < 8 || p.memory > 256<<10 || p.passes < 1 || p.passes > 20 || p.lanes < 1 || p.lanes > 16 {
		return p, errHash
	}
	return p, nil
}
