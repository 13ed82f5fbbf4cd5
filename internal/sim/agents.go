package sim

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"
)

// Version is what simulated agents say of themselves.
const Version = "sim"

// Agents are the agents of a fleet, as far as a server can tell: their keys, and
// what each has reported. Different machines may be used at the same time, one
// machine by one goroutine only.
type Agents struct {
	fleet *Fleet
	realm []byte
	zip   *zstd.Encoder
	links []link

	mu        sync.Mutex
	now, last map[setKey]fact.Digest // digests of sets
}

// link is the end of one agent's chain.
type link struct {
	seq     uint64
	prev    [sha256.Size]byte // of the last recorded envelope
	receipt []byte
	began   bool // it has reported
	sent    state
	digests [len(sectionNames)]fact.Digest // of what was reported
	lost    uint8                          // keys that were lost, as at every boot from the network
}

// NewAgents gives the machines of a fleet agents that report to the installation
// realm, see identity.RealmOf.
func NewAgents(f *Fleet, realm []byte) (*Agents, error) {
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(512<<10), zstd.WithEncoderConcurrency(4))
	if err != nil {
		return nil, fmt.Errorf("simulate agents: %w", err)
	}
	return &Agents{fleet: f, realm: realm, zip: zip, links: make([]link, f.Len())}, nil
}

// Key is the present key of an agent. The seed decides it.
func (a *Agents) Key(i int) identity.Key {
	var b []byte
	for _, w := range []uint64{a.fleet.seed, uint64(i), uint64(a.fleet.now[i].installs), uint64(a.links[i].lost)} {
		b = binary.BigEndian.AppendUint64(b, w)
	}
	seed := sha256.Sum256(append([]byte("rollcall sim key "), b...))
	return ed25519.NewKeyFromSeed(seed[:])
}

// Hello is what a machine says of itself when it asks for admission: section id
// and the permanent MAC.
func (a *Agents) Hello(i int) fact.Set {
	m := a.fleet.Member(i)
	return fact.NewSet(slices.Concat([]fact.Fact(a.fleet.identification(m, a.fleet.now[i]).Set()), a.fleet.network(m).Put))
}

// Began tells whether the agent's first report was recorded.
func (a *Agents) Began(i int) bool { return a.links[i].began }

// Report is an envelope on its way.
type Report struct {
	Number   int // of the machine
	Envelope []byte
	Full     bool
	Changed  int // facts that it puts or drops

	next link
}

// Report makes the envelope of what has changed since the last recorded report,
// or of everything, if full or for the first time. Where no fact has changed there
// is no envelope: it is a Tick's turn.
func (a *Agents) Report(i int, reason string, full bool) (Report, error) {
	l := &a.links[i]
	full = full || !l.began
	m := a.fleet.Member(i)
	now := a.fleet.now[i]
	rep := &rollcallv1.Report{AgentVersion: Version, Full: full, Reason: reason, Collectors: collectors}
	r := Report{Number: i, Full: full, next: *l}
	add := func(n int, d fact.Delta) {
		r.next.digests[n] = d.Result
		r.Changed += len(d.Put) + len(d.Drop)
		rep.Deltas = append(rep.Deltas, d.Encode())
	}
	if full {
		for n, name := range sectionNames {
			to := a.fleet.section(name, m, now)
			if set := to.Set(); len(set) > 0 {
				add(n, fact.Delta{Put: set, Result: a.digest(to)})
			}
		}
	} else {
		a.changed(m, l, func(n int, from Section, d fact.Delta) {
			add(n, d)
			rep.Events = append(rep.Events, events(from, d, now)...)
		})
	}
	if r.Changed == 0 && !full { // such as a day on which updates came for others only
		l.sent = now
		return r, nil
	}
	plain, err := proto.Marshal(rep)
	if err != nil {
		return Report{}, fmt.Errorf("encode report of %s: %w", m.Name, err)
	}
	body := a.body(i, l)
	body.Payload = a.zip.EncodeAll(plain, nil)
	sum := sha256.Sum256(body.GetPayload())
	body.PayloadDigest, body.LastReceipt = sum[:], l.receipt
	state := stateOf(r.next.digests)
	body.State = state[:]
	if !full {
		base := stateOf(l.digests)
		body.Base = base[:]
	}
	if r.Envelope, err = seal(a.Key(i), body); err != nil {
		return Report{}, fmt.Errorf("encode body of %s: %w", m.Name, err)
	}
	r.next.seq, r.next.sent, r.next.began = l.seq, now, true
	r.next.prev = sha256.Sum256(r.Envelope)
	return r, nil
}

// changed calls see with the delta of each section that is not as it was sent.
func (a *Agents) changed(m Member, l *link, see func(n int, from Section, d fact.Delta)) {
	for n, name := range sectionNames {
		from, to := a.fleet.section(name, m, l.sent), a.fleet.section(name, m, a.fleet.now[m.Number])
		d := fact.Delta{Base: l.digests[n]}
		if d.Put, d.Drop = changes(from, to, a.fleet.bases.between); !d.Empty() {
			d.Result = a.digest(to)
			see(n, from, d)
		}
	}
}

// Recorded moves the agent on: the server has acknowledged the report, with a
// receipt.
func (a *Agents) Recorded(r Report, receipt []byte) {
	r.next.seq = a.links[r.Number].seq
	r.next.receipt = receipt
	a.links[r.Number] = r.next
}

// Tick makes the envelope of an agent that sees no change. It returns an error
// before the first report was recorded.
func (a *Agents) Tick(i int) ([]byte, error) {
	l := &a.links[i]
	if !l.began {
		return nil, fmt.Errorf("tick of machine %d: it has not reported yet", i)
	}
	body := a.body(i, l)
	state := stateOf(l.digests)
	body.State, body.Base = state[:], state[:]
	if len(l.receipt) > 0 {
		sum := sha256.Sum256(l.receipt)
		body.LastReceipt = sum[:]
	}
	sum := sha256.Sum256(nil)
	body.PayloadDigest = sum[:]
	return seal(a.Key(i), body)
}

// Forget makes the agent begin anew with another key, as one does that has no disk
// after a boot. After Reinstall of the fleet it is part of it.
func (a *Agents) Forget(i int) {
	a.links[i] = link{lost: a.links[i].lost + 1}
}

// Rewind gives the machine the state folder of an older day, as who restores an
// image of its disk: it has the same key, and what it says does not follow what
// was recorded. The server keeps such a report apart until an operator decides.
func (a *Agents) Rewind(i int) {
	l := &a.links[i]
	l.prev = sha256.Sum256(l.prev[:]) // of an envelope that was recorded before
	l.seq = max(l.seq, 2) - 1
}

func (a *Agents) body(i int, l *link) *rollcallv1.Body {
	l.seq++
	f := a.fleet
	boot := binary.BigEndian.AppendUint64(nil, f.draw(i, "boot", uint64(f.now[i].booted)))
	up := f.draw(i, "uptime", uint64(f.day), l.seq)
	body := &rollcallv1.Body{
		Realm: a.realm, Seq: l.seq, BootId: append(boot, boot...), UptimeMs: up % 86_400_000,
		TimeClaimedMs: f.day.Time().UnixMilli() + int64(up%86_400_000), Measurements: measurements(up).Encode(),
	}
	if l.prev != [sha256.Size]byte{} {
		body.Prev = l.prev[:]
	}
	return body
}

// measurements are those of a PC that is in use.
func measurements(d uint64) fact.Set {
	n := func(k, limit uint64) string { return strconv.FormatUint(draw(d, k)%limit, 10) }
	return fact.Set{
		{Path: "m/cpu/busy", Value: n(1, 5000)},
		{Path: "m/cpu/idle", Value: n(2, 50_000)},
		{Path: "m/free/%2F", Value: n(3, 30_000_000_000)},
		{Path: "m/load", Value: "0." + n(4, 99) + " 0.31 0.25"},
		{Path: "m/memory/available", Value: n(5, 8_000_000_000)},
		{Path: "m/net/eno1/operstate", Value: "up"},
		{Path: "m/swap/free", Value: "4294963200"},
		{Path: "m/uptime", Value: n(6, 86_400)},
	}
}

// collectors are those of package collect, which all found something, or that
// there is nothing.
var collectors = func() (all []*rollcallv1.CollectorStatus) {
	for _, name := range []string{
		"machine-id", "hostname", "dmi", "virtual", "boot", "edu", "smbios", "cpu", "memory", "network", "pci", "disk", "filesystems", "firmware",
		"load", "os", "kernel", "reboot", "dpkg", "apt", "upgrades", "history", "units", "ports", "accounts", "ssh", "etc",
	} {
		all = append(all, &rollcallv1.CollectorStatus{Name: name, Status: rollcallv1.CollectorStatus_OK, TookMs: 3})
	}
	for _, name := range []string{"usb", "raid", "volume", "monitor", "gpu", "battery", "sensors"} {
		all = append(all, &rollcallv1.CollectorStatus{Name: name, Status: rollcallv1.CollectorStatus_NOT_HERE, TookMs: 1})
	}
	return all
}()

// events are what dpkg's log tells of a delta of packages.
func events(from Section, d fact.Delta, now state) (out []*rollcallv1.Event) {
	if from.Name != "pkg" {
		return nil
	}
	at := now.updated.Time().UnixMilli() + 6*3600_000
	for _, f := range d.Put {
		if name, ok := packageOf(f.Path); ok && len(out) < 1000 {
			text := "install " + name + " " + f.Value
			if old, had := from.Get(f.Path); had {
				text = "upgrade " + name + " " + old + " " + f.Value
			}
			out = append(out, &rollcallv1.Event{TimeMs: at, Kind: "dpkg", Text: text})
		}
	}
	return out
}

// setKey names a set by its base and a hash of what is different: sets are
// hashed once, however many machines have them.
type setKey struct {
	base *Base
	own  uint64
}

// digest is Section.Digest, remembered for the present and the last day.
func (a *Agents) digest(s Section) fact.Digest {
	if len(s.Put) == 0 && len(s.Drop) == 0 {
		return s.Base.Digest()
	}
	if s.Name != "pkg" && s.Name != "apt" {
		return s.Digest() // there is no other like it
	}
	key := setKey{base: s.Base}
	for _, f := range s.Put {
		key.own = draw(key.own, word(f.Path), word(f.Value))
	}
	a.mu.Lock()
	d, ok := a.now[key]
	if !ok {
		d, ok = a.last[key]
	}
	a.mu.Unlock()
	if !ok {
		d = s.Digest()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.now == nil || len(a.now) > 100_000 {
		a.last, a.now = a.now, map[setKey]fact.Digest{}
	}
	a.now[key] = d
	return d
}

// stateOf is fact.State.Digest for the sections of the simulator.
func stateOf(digests [len(sectionNames)]fact.Digest) fact.Digest {
	s := fact.State{}
	for n, d := range digests {
		if !d.IsZero() {
			s[sectionNames[n]] = d
		}
	}
	return s.Digest()
}
