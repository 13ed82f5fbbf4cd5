package agent

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	"rollcall/agent/collect"
	"rollcall/agent/spool"
	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// maxPayload is the size in bytes of a report before compression that a server
// accepts.
const maxPayload = 4 << 20

// maxReported bounds the events of one report; the newest count.
const maxReported = 1000

// compare finds out what a report has to say: what changed since the expected
// state, which is also where what the look missed comes from. Where the look
// missed nothing and found what the server has acknowledged, that state need not
// be unpacked to know it.
func (a *Agent) compare(g *gathered) (base spool.Base, changes []fact.Delta, err error) {
	if !slices.ContainsFunc(g.incomplete, func(s collect.Status) bool { return !s.State.Complete() }) {
		g.state = stateOf(g.sets).Digest()
		base, same, err := a.spool.StartUnchanged(g.state)
		if err != nil || same {
			return base, nil, err
		}
	}
	if base, err = a.spool.Start(a.now()); err != nil {
		return base, nil, err
	}
	carryForward(g.sets, base.Sets, g.incomplete)
	g.state = stateOf(g.sets).Digest()
	return base, deltas(base, g.sets), nil
}

// deltas returns what leads from the base to now, by section in order.
func deltas(b spool.Base, now map[string]fact.Set) []fact.Delta {
	old := b.Sets
	if b.Full {
		old = nil
	}
	sections := map[string]bool{}
	for s := range old {
		sections[s] = true
	}
	for s := range now {
		sections[s] = true
	}
	var out []fact.Delta
	for _, s := range slices.Sorted(maps.Keys(sections)) {
		if d := fact.Diff(old[s], now[s]); !d.Empty() {
			out = append(out, d)
		}
	}
	return out
}

func stateOf(sets map[string]fact.Set) fact.State {
	s := fact.State{}
	for section, set := range sets {
		if len(set) > 0 {
			s[section] = set.Digest()
		}
	}
	return s
}

// envelope signs a report, or with no deltas and no need for a full one an
// unchanged tick. size is that of the payload on the wire.
func (a *Agent) envelope(b spool.Base, g gathered, changes []fact.Delta, reason string) (env []byte, size int, err error) {
	body := &rollcallv1.Body{
		Realm: a.enrolment.Realm, BootId: a.bootID(), UptimeMs: uint64(a.uptime().Milliseconds()), Seq: b.Seq, Prev: b.Prev,
		State: g.state[:], TimeClaimedMs: a.now().UnixMilli(), Measurements: boundedMeasurements(g.measurements),
	}
	if a.bundles.wanted() && a.seat == nil {
		body.Policy = new(uint64(a.bundles.held.Version))
	}
	body.LastReceipt, body.KeptFrom = a.spool.LastReceipt(), a.spool.KeptFrom()
	if !b.Full {
		base := g.state
		if len(changes) > 0 {
			base = b.State().Digest()
		}
		body.Base = base[:]
	}
	if len(changes) > 0 || b.Full {
		if body.Payload, err = a.payload(b, g, changes, reason); err != nil {
			return nil, 0, err
		}
		body.ReceiptForm = identity.ReceiptForm2
	} else if len(body.GetLastReceipt()) > 0 {
		sum := sha256.Sum256(body.GetLastReceipt())
		body.LastReceipt = sum[:]
	}
	sum := sha256.Sum256(body.Payload)
	body.PayloadDigest = sum[:]
	raw, err := proto.Marshal(body)
	if err != nil {
		return nil, 0, fmt.Errorf("encode report: %w", err)
	}
	return identity.Seal(a.key, raw), len(body.Payload), nil
}

func (a *Agent) payload(b spool.Base, g gathered, changes []fact.Delta, reason string) ([]byte, error) {
	r := &rollcallv1.Report{AgentVersion: a.version, Full: b.Full, Reason: reason}
	if b.Gap != "" {
		r.Reason = fact.Value(reason + "; full report: " + b.Gap)
	}
	for _, d := range changes {
		r.Deltas = append(r.Deltas, d.Encode())
	}
	for _, s := range g.status {
		r.Collectors = append(r.Collectors, &rollcallv1.CollectorStatus{
			Name: s.Name, Status: wireStatus(s.State), Detail: s.Detail, TookMs: uint32(s.Took.Milliseconds()),
		})
	}
	for _, e := range g.events[max(0, len(g.events)-maxReported):] {
		r.Events = append(r.Events, &rollcallv1.Event{TimeMs: e.At.UnixMilli(), Kind: e.Kind, Text: e.Text})
	}
	plain, err := proto.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode report: %w", err)
	}
	if len(plain) > maxPayload {
		return nil, fmt.Errorf("report of %d bytes: a server takes at most %d: exclude something from the inventory of /etc", len(plain), maxPayload)
	}
	return deflate(plain)
}

// deflate compresses with a small window: the encoder's memory counts on a
// machine that has little.
func deflate(b []byte) ([]byte, error) {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(512<<10))
	if err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	out := e.EncodeAll(b, nil)
	return out, errors.Join(e.Close())
}

// boundedMeasurements drops what a server would refuse a report for.
func boundedMeasurements(m fact.Set) []byte {
	const most = 16 << 10
	if b := m.Encode(); len(b) <= most {
		return b
	}
	size := 0
	for i, f := range m {
		if size += len(f.Path) + len(f.Value) + 6; size > most {
			return m[:i].Encode()
		}
	}
	return nil
}

func wireStatus(s collect.State) rollcallv1.CollectorStatus_Status {
	switch s {
	case collect.OK:
		return rollcallv1.CollectorStatus_OK
	case collect.NotHere:
		return rollcallv1.CollectorStatus_NOT_HERE
	case collect.NoPermission:
		return rollcallv1.CollectorStatus_NO_PERMISSION
	case collect.TimedOut:
		return rollcallv1.CollectorStatus_TIMED_OUT
	case collect.Off:
		return rollcallv1.CollectorStatus_OFF
	}
	return rollcallv1.CollectorStatus_FAILED
}
