// Package sim plays machines. A Fleet is a country of schools made from real data:
// Debian's packages with their versions over three and a half years, the hardware
// of real computers, the files of real installations, the same for the same seed.
// A Machine is the smallest that a server takes for one, for tests that need but a
// few facts.
//
// It is for rollcall-bench and for tests; no other program links it in. How
// envelopes travel is left to the caller.
package sim

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"
)

// Machine is one simulated agent. It believes that every envelope it made was
// recorded. It is not safe for concurrent use.
type Machine struct {
	Key   identity.Key
	Name  string
	Facts map[string]fact.Set // present facts by section
	// Measured is told with each report and tick.
	Measured fact.Set

	Policy *uint64 // version of the policy that it says it has; nil: it takes none

	realm []byte
	seq   uint64
	prev  []byte
	sent  map[string]fact.Set
	zip   *zstd.Encoder
	known map[*fact.Fact]fact.Digest // digests of sets, by their first fact
}

// NewMachine makes the machine with a number, which decides its key, of the
// installation that server founded.
func NewMachine(number uint64, server ed25519.PublicKey) (*Machine, error) {
	seed := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("rollcall sim "), number))
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("simulate machine %d: %w", number, err)
	}
	return &Machine{
		Key: ed25519.NewKeyFromSeed(seed[:]), Name: fmt.Sprintf("sim-%05d", number), Facts: map[string]fact.Set{},
		realm: identity.RealmOf(server), sent: map[string]fact.Set{}, zip: zip,
		known: map[*fact.Fact]fact.Digest{},
	}, nil
}

// Install gives the machine n packages and files of /etc whose content is empty
// and known to every server that has seen one of them.
func (m *Machine) Install(packages, files int) {
	var pkg, etc []fact.Fact
	for i := range packages {
		pkg = append(pkg, fact.Fact{Path: fmt.Sprintf("pkg/package-%04d/version", i), Value: fmt.Sprintf("1.%d.2-3+deb12u%d", i%7, i%5)})
	}
	for i := range files {
		f := fact.File{Kind: fact.KindKeyed, Fingerprint: fmt.Sprintf("%064x", i), Mode: 0o644, Owner: "root", Group: "root"}
		etc = append(etc, fact.Fact{Path: fmt.Sprintf("etc/d%02d/file-%04d.conf", i%40, i), Value: f.String()})
	}
	m.Facts["pkg"], m.Facts["etc"] = fact.NewSet(pkg), fact.NewSet(etc)
	m.Facts["id"] = fact.Set{{Path: "id/hostname", Value: m.Name}}
}

// Upgrade gives one package another version.
func (m *Machine) Upgrade(number, version int) {
	set := slices.Clone(m.Facts["pkg"])
	i := number % len(set)
	set[i].Value = fmt.Sprintf("2.%d-1", version)
	m.Facts["pkg"] = set
}

// Report returns the envelope of what has changed since the last one, or of
// everything if full or first.
func (m *Machine) Report(full bool) ([]byte, error) {
	full = full || len(m.sent) == 0
	base := m.stateOf(m.sent)
	rep := &rollcallv1.Report{AgentVersion: "sim", Full: full, Reason: "interval"}
	for _, section := range slices.Sorted(maps.Keys(m.Facts)) {
		old := m.sent[section]
		if full {
			old = nil
		}
		if len(old) > 0 && &old[0] == &m.Facts[section][0] {
			continue // the very set that was sent
		}
		if d := m.diff(old, m.Facts[section]); !d.Empty() {
			rep.Deltas = append(rep.Deltas, d.Encode())
		}
	}
	plain, err := proto.Marshal(rep)
	if err != nil {
		return nil, fmt.Errorf("encode report of %s: %w", m.Name, err)
	}
	body := m.body()
	body.Payload = m.zip.EncodeAll(plain, nil)
	sum := sha256.Sum256(body.GetPayload())
	body.PayloadDigest = sum[:]
	if !full {
		d := base.Digest()
		body.Base = d[:]
	}
	raw, err := m.seal(body)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(raw)
	m.prev, m.sent = hash[:], maps.Clone(m.Facts)
	return raw, nil
}

// diff is fact.Diff for the sets of Upgrade, which have the same paths; it hashes
// nothing that is known.
func (m *Machine) diff(old, now fact.Set) fact.Delta {
	if len(old) != len(now) {
		return fact.Diff(old, now)
	}
	d := fact.Delta{Base: m.digest(old), Result: m.digest(now)}
	for i := range now {
		if now[i] != old[i] {
			d.Put = append(d.Put, now[i])
		}
	}
	return d
}

func (m *Machine) digest(set fact.Set) fact.Digest {
	d, ok := m.known[&set[0]]
	if !ok {
		d = set.Digest()
		m.known[&set[0]] = d
	}
	return d
}

// Tick returns the envelope of an unchanged machine.
func (m *Machine) Tick() ([]byte, error) {
	body := m.body()
	body.Base = body.GetState()
	return m.seal(body)
}

func (m *Machine) body() *rollcallv1.Body {
	m.seq++
	state := m.stateOf(m.Facts).Digest()
	body := &rollcallv1.Body{Policy: m.Policy, Realm: m.realm, Seq: m.seq, Prev: m.prev, State: state[:], TimeClaimedMs: 1}
	if len(m.Measured) > 0 {
		body.Measurements = m.Measured.Encode()
	}
	return body
}

func (m *Machine) seal(body *rollcallv1.Body) ([]byte, error) {
	raw, err := seal(m.Key, body)
	if err != nil {
		return nil, fmt.Errorf("encode body of %s: %w", m.Name, err)
	}
	return raw, nil
}

func seal(key identity.Key, body *rollcallv1.Body) ([]byte, error) {
	b, err := proto.Marshal(body)
	if err != nil {
		return nil, err
	}
	return identity.Seal(key, b), nil
}

// stateOf hashes each set once: a simulated fleet must not cost more than the
// server that it measures. Sets are replaced, never changed in place.
func (m *Machine) stateOf(sets map[string]fact.Set) fact.State {
	s, known := fact.State{}, map[*fact.Fact]fact.Digest{}
	for section, set := range sets {
		if len(set) == 0 {
			continue
		}
		d := m.digest(set)
		known[&set[0]], s[section] = d, d
	}
	if len(m.known) > 64 {
		m.known = known
	}
	return s
}
