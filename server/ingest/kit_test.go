package ingest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/store"
	"rollcall/server/store/bolt"
	"rollcall/server/store/storetest"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"
)

const tenant = "t"

var day = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// house is a server without a wire.
type house struct {
	*Service
	t     testing.TB
	clock atomic.Int64 // seconds since day
}

// onEngines runs a test of the domain on bbolt and on the weak engine.
func onEngines(t *testing.T, test func(t *testing.T, h *house)) {
	t.Run("bolt", func(t *testing.T) { test(t, newHouse(t, openBolt(t, filepath.Join(t.TempDir(), "db")))) })
	t.Run("weak", func(t *testing.T) { test(t, newHouse(t, storetest.Weak(storetest.Seed(t)))) })
}

func openBolt(t testing.TB, path string) store.Engine {
	t.Helper()
	e, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func newHouse(t testing.TB, e store.Engine) *house {
	t.Helper()
	h := &house{t: t}
	h.Service = &Service{
		Engine: e, Writer: storetest.NewWriter(t, e, nil), Tenant: tenant, Key: testKey("server"), Burst: 100_000,
		Now: func() time.Time { return day.Add(time.Duration(h.clock.Add(1)) * time.Second) },
	}
	h.restart()
	return h
}

// restart forgets what lives in memory.
func (h *house) restart() {
	h.t.Helper()
	sets, err := cmdb.NewSets()
	if err != nil {
		h.t.Fatal(err)
	}
	p, err := cmdb.LoadPresence(h.t.Context(), h.Engine, tenant, time.Hour)
	if err != nil {
		h.t.Fatal(err)
	}
	old := h.Service
	h.Service = &Service{
		Engine: old.Engine, Writer: old.Writer, Tenant: old.Tenant, Key: old.Key, Sets: sets, Presence: p, Now: old.Now,
		Burst: old.Burst, BytesPerDay: old.BytesPerDay,
	}
}

func testKey(name string) identity.Key {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// agent is a machine as the wire sees it. The zero envelope is an honest one.
type agent struct {
	house *house
	key   identity.Key
	ci    string
	seq   uint64
	prev  []byte
	sent  map[string]fact.Set // acknowledged
}

// machine enrols a new agent.
func (h *house) machine(name string) *agent {
	h.t.Helper()
	a := &agent{house: h, key: testKey(name), sent: map[string]fact.Set{}}
	secret, exporter, pub := identity.NewSecret(), make([]byte, 32), identity.Public(a.key)
	err := h.Writer.Update(h.t.Context(), func(tx store.Tx) error {
		w := enrol.In(tx, tenant, cmdb.In(tx, tenant, cmdb.Everywhere))
		if _, err := w.AddToken(enrol.Token{ID: name, Hash: identity.HashSecret(secret), Expires: day.Add(1e6 * time.Second)}); err != nil {
			return err
		}
		k, err := w.Admit(day, enrol.Request{
			TokenID: name, Public: pub, Exporter: exporter, Proof: identity.Proof(identity.HashSecret(secret), exporter, pub), Hostname: name,
		})
		a.ci = k.CI
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return a
}

func (a *agent) id() string { return identity.IDOf(identity.Public(a.key)).String() }

// draft is an envelope that is not yet signed.
type draft struct {
	body   *rollcallv1.Body
	report *rollcallv1.Report
	plain  []byte // instead of the encoded report
	packed []byte // instead of the compressed one
}

// draft makes the report that leads to next; it moves nothing.
func (a *agent) draft(next map[string]fact.Set, full bool) *draft {
	rep := &rollcallv1.Report{AgentVersion: "1", Full: full, Reason: "interval"}
	names := map[string]bool{}
	for name := range next {
		names[name] = true
	}
	if !full {
		for name := range a.sent {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		old := a.sent[name]
		if full {
			old = nil
		}
		if d := fact.Diff(old, next[name]); !d.Empty() {
			rep.Deltas = append(rep.Deltas, d.Encode())
		}
	}
	d := &draft{report: rep, body: a.body(next)}
	if !full {
		base := stateOf(a.sent).Digest()
		d.body.Base = base[:]
	}
	return d
}

func (a *agent) body(next map[string]fact.Set) *rollcallv1.Body {
	state := stateOf(next).Digest()
	return &rollcallv1.Body{
		Realm: identity.RealmOf(identity.Public(a.house.Key)), Seq: a.seq + 1, Prev: a.prev, State: state[:],
		TimeClaimedMs: a.house.now().UnixMilli(),
	}
}

// seal compresses, signs and gives the bytes.
func (a *agent) seal(d *draft) []byte {
	a.house.t.Helper()
	if d.report != nil {
		if d.plain == nil {
			d.plain = marshal(a.house.t, d.report)
		}
		if d.packed == nil {
			d.packed = pack(a.house.t, d.plain)
		}
		d.body.Payload = d.packed
		if d.body.PayloadDigest == nil {
			sum := sha256.Sum256(d.packed)
			d.body.PayloadDigest = sum[:]
		}
	}
	return identity.Seal(a.key, marshal(a.house.t, d.body))
}

// acknowledged moves the agent on, as a receipt does.
func (a *agent) acknowledged(raw []byte, next map[string]fact.Set) {
	hash := sha256.Sum256(raw)
	a.seq, a.prev, a.sent = a.seq+1, hash[:], maps.Clone(next)
}

func (a *agent) submit(raw []byte) (Result, error) {
	return a.house.Accept(a.house.t.Context(), identity.Public(a.key), "192.0.2.7", raw)
}

// report sends an honest report that must be recorded, and returns its bytes and
// its receipt.
func (a *agent) report(next map[string]fact.Set, full bool) (raw, receipt []byte) {
	a.house.t.Helper()
	raw = a.seal(a.draft(next, full))
	res, err := a.submit(raw)
	if err != nil || res.Outcome != Recorded {
		a.house.t.Fatalf("report: %v, %v, want recorded", res.Outcome, err)
	}
	a.acknowledged(raw, next)
	return raw, res.Receipt
}

// tick sends the envelope of an unchanged machine.
func (a *agent) tick() (Result, error) {
	d := &draft{body: a.body(a.sent)}
	d.body.Base = d.body.State
	res, err := a.submit(a.seal(d))
	a.seq++
	return res, err
}

func (h *house) head(a *agent) (ci cmdb.CI) {
	h.t.Helper()
	if err := h.Engine.View(h.t.Context(), func(r store.Reader) (err error) {
		ci, err = cmdb.At(r, tenant, h.Sets, cmdb.Everywhere).CI(a.ci)
		return err
	}); err != nil {
		h.t.Fatal(err)
	}
	return ci
}

// dump gives everything in the store but the lanes' own records.
func (h *house) dump() map[string]string {
	h.t.Helper()
	all := map[string]string{}
	if err := h.Engine.View(h.t.Context(), func(r store.Reader) error {
		clear(all)
		for _, space := range store.Spaces {
			if space == store.Feed {
				continue
			}
			for p, err := range r.Scan(space, nil, nil, 0) {
				if err != nil {
					return err
				}
				all[space.String()+" "+string(p.K)] = string(p.V)
			}
		}
		return nil
	}); err != nil {
		h.t.Fatal(err)
	}
	return all
}

// wantUnchanged reports what differs between two dumps.
func (h *house) wantUnchanged(what string, before map[string]string) {
	h.t.Helper()
	after := h.dump()
	for k, v := range after {
		if before[k] != v {
			h.t.Errorf("%s: it wrote %q", what, k)
		}
	}
	for k := range before {
		if _, ok := after[k]; !ok {
			h.t.Errorf("%s: %q is gone", what, k)
		}
	}
}

func (h *house) blobs(kind string) (n int) {
	for k := range h.dump() {
		if strings.HasPrefix(k, "blob "+tenant+"/"+kind+"/") {
			n++
		}
	}
	return n
}

// upload stores contents as Upload does.
func (a *agent) upload(contents ...string) {
	a.house.t.Helper()
	var all []cmdb.Content
	for _, c := range contents {
		got, err := a.house.CheckContent(identity.IDOf(identity.Public(a.key)), sha256.Sum256([]byte(c)), []byte(c))
		if err != nil {
			a.house.t.Fatal(err)
		}
		all = append(all, got)
	}
	if err := a.house.PutContents(a.house.t.Context(), identity.IDOf(identity.Public(a.key)), all); err != nil {
		a.house.t.Fatal(err)
	}
}

func stateOf(sets map[string]fact.Set) fact.State {
	s := fact.State{}
	for name, set := range sets {
		if len(set) > 0 {
			s[name] = set.Digest()
		}
	}
	return s
}

// packages makes n facts; those named have another value.
func packages(n int, changed ...int) fact.Set {
	var facts []fact.Fact
	for i := range n {
		facts = append(facts, fact.Fact{Path: fmt.Sprintf("pkg/p%05d/version", i), Value: fmt.Sprintf("1.%d-1", i*7919%1000)})
	}
	for k, i := range changed {
		facts[i].Value = fmt.Sprintf("2.%d-1", k)
	}
	return fact.NewSet(facts)
}

// file makes the value of a fact about a file with this content.
func file(content string) string {
	return fact.File{Kind: fact.KindPlain, Digest: sha256.Sum256([]byte(content)), Mode: 0o644, Owner: "root", Group: "root"}.String()
}

func some(pairs ...string) fact.Set {
	var facts []fact.Fact
	for i := 0; i < len(pairs); i += 2 {
		facts = append(facts, fact.Fact{Path: pairs[i], Value: pairs[i+1]})
	}
	return fact.NewSet(facts)
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func pack(t testing.TB, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
