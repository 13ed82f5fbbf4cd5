package ingest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/store"

	"google.golang.org/protobuf/proto"
)

// MaxForks is how many envelopes are kept apart for one key until an operator
// decides. What comes after them is not looked at: fifty clones of one disk tell
// no more than twenty.
const MaxForks = 20

// Fork is one envelope that did not fit its key's chain: the key speaks from two
// places, as after cloning a disk. The envelope itself is stored beside it. What
// it says of the machine is a claim, for an operator who decides.
type Fork struct {
	At       time.Time `json:"at"`
	CI       string    `json:"ci"`
	Seq      uint64    `json:"seq"`
	Prev     []byte    `json:"prev,omitempty"`
	Boot     []byte    `json:"boot,omitempty"` // id of the boot that it was made in
	From     string    `json:"from,omitempty"` // address that it came from
	Claimed  int64     `json:"claimed,omitempty"`
	Hostname string    `json:"hostname,omitempty"` // if the report names it
	MACs     []string  `json:"macs,omitempty"`     // those that the report names
	Tick     bool      `json:"tick,omitempty"`     // it said that nothing has changed

	Hash fact.Digest `json:"-"` // of the envelope
}

// Forks returns the envelopes that were kept apart for a key, the oldest first.
func Forks(r store.Reader, tenant, key string) ([]Fork, error) {
	from := forkPrefix(tenant, key).K
	var forks []Fork
	for p, err := range r.Scan(store.Record, from, store.PrefixEnd(from), 0) {
		if err != nil {
			return nil, err
		}
		var f Fork
		if err := store.DecodeJSON(store.Key{Space: store.Record, K: p.K}, p.V, &f); err != nil {
			return nil, err
		}
		copy(f.Hash[:], p.K[len(from):])
		forks = append(forks, f)
	}
	slices.SortFunc(forks, func(a, b Fork) int {
		return cmp.Or(a.At.Compare(b.At), bytes.Compare(a.Hash[:], b.Hash[:]))
	})
	return forks, nil
}

// Describe tells what an envelope says of itself, without what it says of the
// machine. It returns store.ErrNoBlob if it is not there.
func Describe(g store.Getter, tenant string, hash fact.Digest) (Fork, error) {
	raw, err := Envelope(g, tenant, hash)
	if err != nil {
		return Fork{}, err
	}
	env, err := identity.OpenEnvelope(raw)
	if err != nil {
		return Fork{}, err
	}
	body := &rollcallv1.Body{}
	if err := proto.Unmarshal(env.Body, body); err != nil {
		return Fork{}, fmt.Errorf("envelope %s: %w: %w", hash, ErrMalformed, err)
	}
	return Fork{Seq: body.GetSeq(), Prev: body.GetPrev(), Boot: bootOf(body), Claimed: body.GetTimeClaimedMs(), Hash: hash}, nil
}

func bootOf(body *rollcallv1.Body) []byte { return body.GetBootId()[:min(16, len(body.GetBootId()))] }

// claims finds what a report says of the machine that sent it. It can be
// anything; a report that does not decode says nothing.
func (f *Fork) claims(payload []byte) {
	rep, err := decodeReport(payload)
	if err != nil {
		return
	}
	const maxMACs = 8
	for _, raw := range rep.GetDeltas() {
		d, err := fact.DecodeDelta(raw)
		if err != nil {
			return
		}
		for _, p := range d.Put {
			if p.Check() != nil {
				continue
			}
			isMAC := strings.HasPrefix(p.Path, "net/") && (strings.HasSuffix(p.Path, "/permanent") || strings.HasSuffix(p.Path, "/mac"))
			switch {
			case p.Path == "id/hostname":
				f.Hostname = cut(p.Value)
			case isMAC && len(f.MACs) < maxMACs && !slices.Contains(f.MACs, p.Value):
				f.MACs = append(f.MACs, fact.Cut(p.Value, 40))
			}
		}
	}
}

// enough tells whether an envelope that fits no chain is to be dropped without a
// look: enough are kept of its key.
func (s *Service) enough(key enrol.Key) bool { return key.Cloned && key.Forks >= MaxForks }

// quarantine keeps an envelope that does not fit its chain apart and marks key
// and CI. Neither branch wins by itself: an operator decides.
func (s *Service) quarantine(tx store.Tx, key enrol.Key, body *rollcallv1.Body, env arrival) (Result, error) {
	res := Result{Outcome: Quarantined}
	at := forkKey(s.Tenant, key.ID, env.hash)
	if known, err := tx.Get(at); err != nil || known != nil || s.enough(key) {
		return res, err
	}
	marked, err := enrol.In(tx, s.Tenant, cmdb.In(tx, s.Tenant, cmdb.Everywhere)).MarkCloned(s.now(), key.ID)
	if err != nil {
		return Result{}, err
	}
	res.FirstFork = marked.Forks == 1
	if err := s.putEnvelope(tx, env.hash, env.raw); err != nil {
		return Result{}, err
	}
	leaf := evidence.Entry{Kind: evidence.Fork, CI: key.CI, Seq: body.GetSeq(), Subject: env.hash[:]}
	if _, err := evidence.In(tx, s.Tenant).Append(s.now(), leaf); err != nil {
		return Result{}, err
	}
	f := Fork{
		At: s.now(), CI: key.CI, Seq: body.GetSeq(), Prev: body.GetPrev(), From: env.from, Claimed: body.GetTimeClaimedMs(),
		Boot: bootOf(body), Tick: len(body.GetPayload()) == 0,
	}
	if !f.Tick {
		f.claims(body.GetPayload())
	}
	return res, store.PutJSON(tx, at, f)
}

// forked handles a report that did not fit its chain when it was read: whether
// its base is known does not matter then, it is no report of this machine alone.
func (s *Service) forked(ctx context.Context, key enrol.Key, body *rollcallv1.Body, env arrival) (Result, error) {
	if s.enough(key) {
		return Result{Outcome: Quarantined}, nil
	}
	if err := s.putLargeEnvelope(ctx, env.hash, env.raw); err != nil {
		return Result{}, err
	}
	var res Result
	_, err := s.Writer.Do(ctx, store.Op{Touch: []string{key.CI}, Fn: func(tx store.Tx) error {
		keys := enrol.In(tx, s.Tenant, cmdb.In(tx, s.Tenant, cmdb.Everywhere))
		present, chain, err := s.present(keys, key)
		if err != nil {
			return err
		}
		receipt, err := ReceiptFor(tx, s.Tenant, key.ID, env.hash)
		switch {
		case err != nil:
			return err
		case receipt != nil: // it was on its way twice
			res = Result{Outcome: Recorded, Receipt: receipt}
			return nil
		case follows(present, chain, body) || chain.Restart: // the one before it was on its way, or an operator decided
			res = Result{Outcome: NeedFull}
			return nil
		}
		res, err = s.quarantine(tx, present, body, env)
		return err
	}})
	return res, err
}
