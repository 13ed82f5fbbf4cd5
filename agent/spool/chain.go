package spool

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"rollcall/internal/fact"
	"rollcall/internal/failpoint"
)

// Names in the spool's folder. Changing one breaks every installed agent.
const (
	chainFile   = "chain"   // chain: what the server has acknowledged
	chainCopy   = "chain.2" // the same again: its loss would need a person to mend
	seqFile     = "seq"     // decimal: sequence numbers up to it are used up
	statePrefix = "state-"  // state-SEQ: the acknowledged sets after report SEQ
	envSuffix   = ".env"    // SEQ.env: an envelope that waits
	contentDir  = "content" // content/HEX: a content that one of them names
	badDir      = "bad"     // what could not be read
)

// seqBlock is how many sequence numbers are taken from the disk at once.
const seqBlock = 64

// seqLeap is added where the record of used numbers is lost. Gaps are legal,
// reuse is not: it would look like a cloned machine.
const seqLeap = 1 << 20

// chain is the acknowledged end of the chain of envelopes.
type chain struct {
	Seq     uint64 `json:"seq"`               // of the last acknowledged report
	Prev    []byte `json:"prev,omitempty"`    // SHA-256 of it
	Receipt []byte `json:"receipt,omitempty"` // the server's word for it
	At      int64  `json:"at,omitempty"`      // server time of it, milliseconds
	State   []byte `json:"state,omitempty"`   // digest of the acknowledged sets; missing where not known

	// Full says that the first report after DropTo must be a full one, and why.
	// Reports from DropFrom to DropTo are not part of the chain any more: the
	// marks are written before their files go, so that a crash between cannot
	// leave half of them waiting.
	Full     bool   `json:"full,omitempty"`
	Reason   string `json:"reason,omitempty"`
	DropFrom uint64 `json:"drop_from,omitempty"`
	DropTo   uint64 `json:"drop_to,omitempty"`

	// Carried is the number of the newest report that went into a file for the
	// server: it may have been recorded, and is never dropped for want of room.
	Carried uint64 `json:"carried,omitempty"`
}

func (c chain) dropped(seq uint64) bool { return seq <= c.Seq || seq >= c.DropFrom && seq <= c.DropTo }

func (c chain) encode() ([]byte, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode chain: %w", err)
	}
	sum := sha256.Sum256(b)
	return fmt.Appendf(b, "\n%x\n", sum), nil
}

func decodeChain(b []byte) (chain, error) {
	var c chain
	text, sum, _ := strings.Cut(string(b), "\n")
	want := sha256.Sum256([]byte(text))
	if strings.TrimSpace(sum) != hex.EncodeToString(want[:]) {
		return c, errors.New("read chain: checksum differs")
	}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return chain{}, fmt.Errorf("read chain: %w", err)
	}
	if len(c.Prev) != 0 && len(c.Prev) != sha256.Size {
		return chain{}, errors.New("read chain: hash of another length")
	}
	return c, nil
}

func (s *Spool) saveChain(c chain) error {
	b, err := c.encode()
	if err != nil {
		return err
	}
	for _, name := range []string{chainFile, chainCopy} {
		if err := s.files.write(name, b); err != nil {
			return err
		}
		if name == chainFile {
			failpoint.Hit(failpoint.SpoolChain)
		}
	}
	s.chain = c
	return nil
}

// takeSeq returns a number that was never used, and will not be even after a
// crash.
func (s *Spool) takeSeq() (uint64, error) {
	if s.nextSeq == s.reserved {
		if err := s.files.write(seqFile, strconv.AppendUint(nil, s.reserved+seqBlock, 10)); err != nil {
			return 0, fmt.Errorf("reserve sequence numbers: %w", err)
		}
		s.reserved += seqBlock
		failpoint.Hit(failpoint.SeqReserve)
	}
	s.nextSeq++
	return s.nextSeq, nil
}

func (s *Spool) loadSeq(known uint64) error {
	b, err := s.files.read(seqFile)
	switch {
	case errors.Is(err, fs.ErrNotExist) && known == 0:
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	n, perr := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 63)
	if err != nil || perr != nil || n < known {
		s.problem("sequence record lost or damaged: going on from %d", known+seqLeap)
		n = known + seqLeap
	}
	s.nextSeq, s.reserved = n, n
	return nil
}

// The sets of the acknowledged state are one file: "RCS1", the SHA-256 of the
// rest, the zstd of: for each section in order its name, a zero byte, the
// length of its encoded set as uvarint, and that.
const stateMagic = "RCS1"

// maxState bounds the acknowledged sets in memory, in bytes.
const maxState = 64 << 20

// EncodeSets gives the form in which sets are kept in files, with a checksum.
func EncodeSets(sets map[string]fact.Set) ([]byte, error) { return encodeState(sets) }

// DecodeSets reads what EncodeSets wrote, 64 MiB of sets at most.
func DecodeSets(b []byte) (map[string]fact.Set, error) { return decodeState(b) }

func encodeState(sets map[string]fact.Set) ([]byte, error) {
	var plain []byte
	for _, section := range slices.Sorted(maps.Keys(sets)) {
		enc := sets[section].Encode()
		plain = append(append(plain, section...), 0)
		plain = binary.AppendUvarint(plain, uint64(len(enc)))
		plain = append(plain, enc...)
	}
	z, err := deflate(plain)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(z)
	return slices.Concat([]byte(stateMagic), sum[:], z), nil
}

// packedState returns the compressed part of a state file that is whole.
func packedState(b []byte) ([]byte, error) {
	const head = len(stateMagic) + sha256.Size
	if len(b) < head || string(b[:len(stateMagic)]) != stateMagic {
		return nil, errors.New("read state: not a state file")
	}
	if sum := sha256.Sum256(b[head:]); string(sum[:]) != string(b[len(stateMagic):head]) {
		return nil, errors.New("read state: checksum differs")
	}
	return b[head:], nil
}

func decodeState(b []byte) (map[string]fact.Set, error) {
	packed, err := packedState(b)
	if err != nil {
		return nil, err
	}
	plain, err := inflate(packed, maxState)
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	sets := map[string]fact.Set{}
	for len(plain) > 0 {
		name, _, ok := strings.Cut(string(plain[:min(len(plain), 32)]), "\x00")
		n, w := binary.Uvarint(plain[min(len(plain), len(name)+1):])
		from := len(name) + 1 + w
		if !ok || w <= 0 || n > uint64(len(plain)-from) || !fact.ValidSection(name) {
			return nil, fmt.Errorf("read state: bad section %.20q", name)
		}
		if sets[name], err = fact.DecodeSet(plain[from : from+int(n)]); err != nil {
			return nil, fmt.Errorf("read state: section %q: %w", name, err)
		}
		plain = plain[from+int(n):]
	}
	return sets, nil
}
