package evidence

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"rollcall/internal/identity"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// ErrCheckpoint is wrapped by every error about bytes that are not a checkpoint
// signed by the key that is asked for.
var ErrCheckpoint = errors.New("not a checkpoint signed by this log")

// MaxCheckpoint bounds the bytes of a checkpoint with its signatures.
const MaxCheckpoint = 16 << 10

// Checkpoint says how many leaves a log had and what their root was. Its form is
// that of C2SP tlog-checkpoint: a signed note of three lines, the origin, the
// number of leaves, the root in base64.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   tlog.Hash
}

// Origin names a log in its checkpoints: the realm of its server, which is the
// beginning of the SHA-256 of the server's key, and the tenant.
func Origin(realm []byte, tenant string) string {
	return "rollcall/" + hex.EncodeToString(realm) + "/" + tenant
}

func (c Checkpoint) text() string { return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, c.Root) }

// parse reads a note's text. There is one form of each checkpoint; further lines,
// which C2SP allows, are refused because we write none.
func parse(text string) (Checkpoint, error) {
	var c Checkpoint
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[0] == "" || lines[3] != "" {
		return c, fmt.Errorf("%w: it has not three lines", ErrCheckpoint)
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	root, rootErr := tlog.ParseHash(lines[2])
	c = Checkpoint{Origin: lines[0], Size: size, Root: root}
	if err != nil || rootErr != nil || c.text() != text {
		return Checkpoint{}, fmt.Errorf("%w: size or root cannot be read", ErrCheckpoint)
	}
	return c, nil
}

// LogVerifier returns the verifier key of a log in the form of signed notes,
// NAME+HASH+KEY: what an auditor keeps.
func LogVerifier(origin string, pub ed25519.PublicKey) (string, error) {
	v, err := note.NewEd25519VerifierKey(origin, pub)
	if err != nil {
		return "", fmt.Errorf("verifier key of %s: %w", origin, err)
	}
	return v, nil
}

// LogVerifierKey returns origin and public key of a verifier key that LogVerifier
// gave.
func LogVerifierKey(vkey string) (origin string, pub ed25519.PublicKey, err error) {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return "", nil, fmt.Errorf("verifier key %.80q: %w", vkey, err)
	}
	_, _, last := cut2(vkey)
	b, err := base64.StdEncoding.DecodeString(last)
	if err != nil || len(b) != 1+ed25519.PublicKeySize {
		return "", nil, fmt.Errorf("verifier key %.80q: want an Ed25519 key", vkey)
	}
	return v.Name(), b[1:], nil
}

// cut2 cuts NAME+HASH+KEY; the key itself may hold plus signs.
func cut2(vkey string) (name, hash, key string) {
	name, rest, _ := strings.Cut(vkey, "+")
	hash, key, _ = strings.Cut(rest, "+")
	return name, hash, key
}

// signer signs notes with a key of ours. It implements note.Signer.
type signer struct {
	note.Verifier
	key  identity.Key
	wrap func(msg []byte) (head, signed []byte)
}

// Sign implements note.Signer.
func (s signer) Sign(msg []byte) ([]byte, error) {
	head, signed := s.wrap(msg)
	return append(head, ed25519.Sign(s.key, signed)...), nil
}

// Sign gives the checkpoint as a note signed by the log's key.
func (c Checkpoint) Sign(k identity.Key) ([]byte, error) {
	vkey, err := LogVerifier(c.Origin, identity.Public(k))
	if err != nil {
		return nil, err
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	b, err := note.Sign(&note.Note{Text: c.text()}, signer{v, k, func(msg []byte) ([]byte, []byte) { return nil, msg }})
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	return b, nil
}

// OpenCheckpoint verifies a checkpoint by a log's verifier key, and every
// signature on it of a witness that is named; it returns those that are there.
// What is returned was read from the very bytes that were verified. Errors wrap
// ErrCheckpoint; a signature of a known key that does not verify is one, one of an
// unknown key is passed over.
func OpenCheckpoint(msg []byte, log string, witnesses ...Witness) (Checkpoint, []Cosignature, error) {
	if len(msg) > MaxCheckpoint {
		return Checkpoint{}, nil, fmt.Errorf("%w: %d bytes", ErrCheckpoint, len(msg))
	}
	v, err := note.NewVerifier(log)
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("%w: the log's verifier key %.80q: %w", ErrCheckpoint, log, err)
	}
	known := []note.Verifier{v}
	for _, w := range witnesses {
		known = append(known, w)
	}
	n, err := note.Open(msg, note.VerifierList(known...))
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	c, err := parse(n.Text)
	if err != nil {
		return Checkpoint{}, nil, err
	}
	var cosigned []Cosignature
	own := false
	for _, sig := range n.Sigs {
		if sig.Name == v.Name() && sig.Hash == v.KeyHash() {
			own = true
			continue
		}
		cosigned = append(cosigned, cosignatureOf(sig, witnesses))
	}
	if !own || c.Origin != v.Name() {
		return Checkpoint{}, nil, fmt.Errorf("%w: it is not signed by %s", ErrCheckpoint, v.Name())
	}
	return c, cosigned, nil
}

// CheckInclusion returns an error unless the leaf is number index of the tree that
// the checkpoint is about.
func (c Checkpoint) CheckInclusion(index uint64, leaf []byte, proof []tlog.Hash) error {
	if index >= c.Size {
		return fmt.Errorf("leaf %d: the checkpoint is about %d leaves", index, c.Size)
	}
	if err := tlog.CheckRecord(proof, int64(c.Size), c.Root, int64(index), tlog.RecordHash(leaf)); err != nil {
		return fmt.Errorf("leaf %d is not in the tree of %d leaves: %w", index, c.Size, err)
	}
	return nil
}

// CheckGrowth returns an error unless the checkpoint's log only grew out of that
// of an older one: nothing in it was changed, left out or reordered since.
func (c Checkpoint) CheckGrowth(old Checkpoint, proof []tlog.Hash) error {
	switch {
	case c.Origin != old.Origin:
		return fmt.Errorf("the log %s is not %s", c.Origin, old.Origin)
	case c.Size < old.Size:
		return fmt.Errorf("the log has %d leaves and had %d before", c.Size, old.Size)
	case old.Size == 0:
		return nil // anything grows out of nothing
	case c.Size == old.Size && c.Root != old.Root:
		return fmt.Errorf("there are two logs of %d leaves", c.Size)
	case c.Size == old.Size:
		return nil
	}
	if err := tlog.CheckTree(proof, int64(c.Size), c.Root, int64(old.Size), old.Root); err != nil {
		return fmt.Errorf("the log of %d leaves does not hold that of %d: %w", c.Size, old.Size, err)
	}
	return nil
}
