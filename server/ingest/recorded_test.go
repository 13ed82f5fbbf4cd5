package ingest

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/server/enrol"
	"rollcall/server/store"
)

// asBefore keeps everything that was recorded of a machine as programs before schema
// version 3 did: receipts and envelopes by their hashes.
func (h *house) asBefore(a *agent) {
	h.t.Helper()
	all := map[string]recorded{}
	h.see(func(r store.Reader) error {
		prefix := []byte(tenant + "/report/")
		for p, err := range r.Scan(store.Record, prefix, store.PrefixEnd(prefix), 0) {
			var rec recorded
			if err == nil {
				err = store.DecodeJSON(store.Key{Space: store.Record, K: p.K}, p.V, &rec)
			}
			if err != nil {
				return err
			}
			if rec.key == a.id() {
				all[string(p.K)] = rec
			}
		}
		return nil
	})
	h.change(func(tx store.Tx) error {
		for k, rec := range all {
			if rec.envelope != nil {
				p, err := store.PackPlain(rec.envelope)
				if err = errors.Join(err, p.PutTx(tx, tenant, envelopeKind, rec.hash)); err != nil {
					return err
				}
			}
			err := errors.Join(store.PutFramed(tx, receiptKey(tenant, rec.key, rec.hash), rec.receipt), tx.Delete(store.Key{Space: store.Record, K: []byte(k)}))
			if err != nil {
				return err
			}
		}
		return h.editChain(tx, a, func(c *enrol.Chain) { c.Last = 0 })
	})
}

func (h *house) editChain(tx store.Tx, a *agent, edit func(*enrol.Chain)) error {
	keys := enrol.In(tx, tenant, nil)
	c, err := keys.Chain(a.id())
	edit(&c)
	return errors.Join(err, keys.PutChain(a.id(), c))
}

func (h *house) change(fn func(store.Tx) error) {
	h.t.Helper()
	if err := h.Writer.Update(h.t.Context(), fn); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) walk(a *agent) (last Link, err error) {
	h.see(func(r store.Reader) error {
		last, err = Walk(r, tenant, Trail{Key: a.id(), Public: identity.Public(a.key), Server: h.ServerKeys()})
		return nil
	})
	return last, err
}

// wantKept checks that each report is found as it came, in every way that there is.
func (h *house) wantKept(a *agent, raws, receipts [][]byte) {
	h.t.Helper()
	for i, raw := range raws {
		if res, err := a.submit(raw); err != nil || res.Outcome != Recorded || !bytes.Equal(res.Receipt, receipts[i]) {
			h.t.Errorf("report %d again: %v, %v; want the receipt that it got", i, res.Outcome, err)
		}
	}
	if last, err := h.walk(a); err != nil || last.Index != uint64(len(raws)) {
		h.t.Errorf("the chain ends with report %d, %v; want %d", last.Index, err, len(raws))
	}
	h.see(func(r store.Reader) error {
		var named []fact.Digest
		next, err := Named(r, tenant, 0, func(_ string, hash fact.Digest) { named = append(named, hash) })
		if err != nil || len(named) != len(raws) {
			h.t.Errorf("%d reports are named, %v; want %d", len(named), err, len(raws))
		}
		older := 0
		if again, err := Named(r, tenant, next, func(string, fact.Digest) { older++ }); err != nil || again != next || next > 0 && older == len(raws) {
			h.t.Errorf("from leaf %d on %d reports are named, up to leaf %d, %v", next, older, again, err)
		}
		given := 0
		if err := Receipts(r, tenant, func(key string, rec identity.Receipt) error {
			if given++; key != a.id() || !slices.Contains(named, fact.Digest(rec.Envelope)) {
				return fmt.Errorf("a receipt of key %s for %x", key, rec.Envelope)
			}
			return nil
		}); err != nil || given != len(raws) {
			h.t.Errorf("%d receipts, %v; want %d", given, err, len(raws))
		}
		for i, raw := range raws {
			if got, err := Envelope(r, tenant, sha256.Sum256(raw)); err != nil || !bytes.Equal(got, raw) {
				h.t.Errorf("the envelope of report %d is not kept as it came: %v", i, err)
			}
		}
		return nil
	})
}

func TestReportsOfAStoreOfBeforeGoOnInTheOrderOfTheLog(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		a := h.machine("pc07")
		var raws, receipts [][]byte
		some := func(from, to int) {
			for i := from; i < to; i++ {
				raw, receipt := a.report(map[string]fact.Set{"pkg": packages(30, i)}, i == 0)
				raws, receipts = append(raws, raw), append(receipts, receipt)
			}
		}
		some(0, 3)
		h.wantKept(a, raws, receipts)
		h.asBefore(a)
		h.wantKept(a, raws, receipts)
		some(3, 6)
		h.wantKept(a, raws, receipts)
	})
}

// large is a set whose report does not fit into a record.
func large(t *testing.T) fact.Set {
	var facts []fact.Fact
	for i := range 400 {
		b := make([]byte, 150)
		if _, err := rand.Read(b); err != nil {
			t.Fatal(err)
		}
		facts = append(facts, fact.Fact{Path: fmt.Sprintf("pkg/p%04d/version", i), Value: fmt.Sprintf("%x", b)})
	}
	return fact.NewSet(facts)
}

func TestALargeReportIsKeptAsAContent(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		a := h.machine("pc07")
		raw, receipt := a.report(map[string]fact.Set{"pkg": large(t)}, true)
		if len(raw) <= smallReport || h.blobs(envelopeKind) == 0 {
			t.Fatalf("a report of %d bytes: %d contents", len(raw), h.blobs(envelopeKind))
		}
		h.wantKept(a, [][]byte{raw}, [][]byte{receipt})
	})
}

func TestAReportThatIsMissingOrMovedIsNoticed(t *testing.T) {
	for name, damage := range map[string]func(tx store.Tx, reports []recorded, keys []store.Key) error{
		"one is gone": func(tx store.Tx, _ []recorded, keys []store.Key) error { return tx.Delete(keys[1]) },
		"one is passed over": func(tx store.Tx, all []recorded, keys []store.Key) error {
			all[2].before = all[1].before
			return store.PutJSON(tx, keys[2], all[2])
		},
		"they go in a circle": func(tx store.Tx, all []recorded, keys []store.Key) error {
			all[0].before = all[2].before
			return store.PutJSON(tx, keys[0], all[0])
		},
		"another receipt": func(tx store.Tx, all []recorded, keys []store.Key) error {
			all[1].receipt = all[0].receipt
			return store.PutJSON(tx, keys[1], all[1])
		},
		"another server's receipt": func(tx store.Tx, all []recorded, keys []store.Key) error {
			all[1].receipt = identity.Receipt{Envelope: all[1].hash, Index: 2, At: 1}.Sign(testKey("other"))
			return store.PutJSON(tx, keys[1], all[1])
		},
		"another envelope": func(tx store.Tx, all []recorded, keys []store.Key) error {
			all[1].envelope = all[0].envelope
			return store.PutJSON(tx, keys[1], all[1])
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, openBolt(t, t.TempDir()+"/db"))
			a := h.machine("pc07")
			for i := range 3 {
				a.report(map[string]fact.Set{"pkg": packages(30, i)}, i == 0)
			}
			var keys []store.Key
			var all []recorded
			h.see(func(r store.Reader) error {
				prefix := []byte(tenant + "/report/")
				for p, err := range r.Scan(store.Record, prefix, store.PrefixEnd(prefix), 0) {
					k, rec := store.Key{Space: store.Record, K: bytes.Clone(p.K)}, recorded{}
					if err = errors.Join(err, store.DecodeJSON(k, p.V, &rec)); err != nil {
						return err
					}
					keys, all = append(keys, k), append(all, rec)
				}
				return nil
			})
			if len(all) != 3 {
				t.Fatalf("%d reports, want 3", len(all))
			}
			if _, err := h.walk(a); err != nil {
				t.Fatal(err)
			}
			h.change(func(tx store.Tx) error { return damage(tx, all, keys) })
			if _, err := h.walk(a); err == nil {
				t.Error("nobody notices")
			}
		})
	}
}

func TestAReportLosesItsEnvelopeAndKeepsItsReceipt(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		a := h.machine("pc07")
		first, receipt := a.report(map[string]fact.Set{"pkg": packages(30)}, true)
		a.report(map[string]fact.Set{"pkg": packages(30, 1)}, false)
		hash := fact.Digest(sha256.Sum256(first))
		h.change(func(tx store.Tx) error { return DropEnvelope(tx, tenant, hash) })
		h.see(func(r store.Reader) error {
			if _, err := Envelope(r, tenant, hash); !errors.Is(err, store.ErrNoBlob) {
				t.Errorf("its envelope: %v, want ErrNoBlob", err)
			}
			kept := 0
			err := Envelopes(r, tenant, func(fact.Digest, []byte) error { kept++; return nil })
			if err != nil || kept != 1 {
				t.Errorf("%d envelopes are in their reports, %v; want 1", kept, err)
			}
			return nil
		})
		if res, err := a.submit(first); err != nil || !bytes.Equal(res.Receipt, receipt) {
			t.Errorf("it comes again: %v, %v; want the receipt that it got", res.Outcome, err)
		}
		h.change(func(tx store.Tx) error { return Forget(tx, tenant, a.id(), hash) })
		for k := range h.dump() {
			if strings.Contains(k, string(hash[:])) && strings.Contains(k, "/report/") {
				t.Errorf("%q is left", k)
			}
		}
		h.see(func(r store.Reader) error {
			if b, err := ReceiptFor(r, tenant, a.id(), hash); err != nil || b != nil {
				t.Errorf("after it was forgotten: a receipt, %v", err)
			}
			return nil
		})
	})
}
