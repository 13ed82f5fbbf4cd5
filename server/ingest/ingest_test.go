package ingest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/store"
)

func TestAMachineFromItsFirstReportToATick(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		a := h.machine("pc07")
		if got := h.Presence.Of(a.ci, day); got != cmdb.NeverSeen {
			t.Errorf("presence %s before the first report", got)
		}
		first := map[string]fact.Set{"pkg": packages(300), "id": some("id/class", "laptop", "id/hostname", "pc07")}
		raw, receipt := a.report(first, true)
		r, err := identity.OpenReceipt(identity.Public(h.Key), receipt)
		if err != nil || r.Envelope != sha256.Sum256(raw) || r.Index != 1 {
			t.Errorf("receipt %+v, %v", r, err)
		}
		ci := h.head(a)
		if ci.Rev != 2 || ci.Class != "laptop" || ci.State.Digest() != stateOf(first).Digest() {
			t.Errorf("after the first report: revision %d, class %q", ci.Rev, ci.Class)
		}
		second := map[string]fact.Set{"pkg": packages(300, 7), "id": first["id"], "hw": some("hw/tpm", "2.0")}
		a.report(second, false)
		third := map[string]fact.Set{"pkg": second["pkg"], "hw": second["hw"]} // a section is gone
		a.report(third, false)
		if ci := h.head(a); ci.Rev != 4 || ci.State.Digest() != stateOf(third).Digest() {
			t.Errorf("after two deltas: revision %d, state %v", ci.Rev, ci.State)
		}
		before := h.dump()
		for range 3 {
			if res, err := a.tick(); err != nil || res.Outcome != Seen {
				t.Errorf("tick: %v, %v, want seen", res.Outcome, err)
			}
		}
		h.wantUnchanged("a tick", before)
		if got := h.Presence.Of(a.ci, h.now()); got != cmdb.Live {
			t.Errorf("presence %s after ticks", got)
		}
		a.report(map[string]fact.Set{"pkg": packages(300, 9)}, false) // seq after ticks: gaps are legal
	})
}

func TestARepeatedReportGetsItsFirstReceipt(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		a := h.machine("pc07")
		var raws, receipts [][]byte
		for i := range 5 {
			raw, receipt := a.report(map[string]fact.Set{"pkg": packages(50, i)}, i == 0)
			raws, receipts = append(raws, raw), append(receipts, receipt)
		}
		before := h.dump()
		h.clock.Add(400 * 86400)
		for range 2 {
			for i, raw := range raws {
				res, err := a.submit(raw)
				if err != nil || res.Outcome != Recorded || !bytes.Equal(res.Receipt, receipts[i]) {
					t.Errorf("report %d again: %v, %v, another receipt", i, res.Outcome, err)
				}
			}
			h.restart()
		}
		h.wantUnchanged("a repetition", before)
	})
}

func TestTheSameReportAtTheSameTimeIsRecordedOnce(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		a := h.machine("pc07")
		raw := a.seal(a.draft(map[string]fact.Set{"pkg": packages(50)}, true))
		receipts := make([][]byte, 20)
		var wg sync.WaitGroup
		for i := range receipts {
			wg.Go(func() {
				res, err := a.submit(raw)
				if err != nil || res.Outcome != Recorded {
					t.Errorf("%v, %v", res.Outcome, err)
				}
				receipts[i] = res.Receipt
			})
		}
		wg.Wait()
		for _, r := range receipts {
			if !bytes.Equal(r, receipts[0]) {
				t.Error("two receipts differ")
			}
		}
		if ci := h.head(a); ci.Rev != 2 || ci.Cloned {
			t.Errorf("revision %d, cloned %v", ci.Rev, ci.Cloned)
		}
	})
}

func TestAnotherBaseNeedsAFullReportAndWritesNothing(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		a := h.machine("pc07")
		a.report(map[string]fact.Set{"pkg": packages(50)}, true)
		a.sent = map[string]fact.Set{"pkg": packages(50, 3)} // it believes what the server does not know
		before := h.dump()
		res, err := a.submit(a.seal(a.draft(map[string]fact.Set{"pkg": packages(50, 4)}, false)))
		if err != nil || res.Outcome != NeedFull || res.Receipt != nil {
			t.Errorf("%v, %v, want need-full", res.Outcome, err)
		}
		if res, err := a.tick(); err != nil || res.Outcome != NeedFull {
			t.Errorf("tick of another state: %v, %v, want need-full", res.Outcome, err)
		}
		h.wantUnchanged("a report on another base", before)
		a.report(map[string]fact.Set{"pkg": packages(50, 4)}, true)
	})
}

func TestAFullReportOfWhatIsKnownIsNoRevision(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		a := h.machine("pc07")
		state := map[string]fact.Set{"pkg": packages(100), "hw": some("hw/tpm", "2.0")}
		a.report(state, true)
		rev, sets := h.head(a).Rev, h.blobs("set")
		var last []byte
		for i := range 100 {
			_, receipt := a.report(state, i%2 == 0)
			if bytes.Equal(receipt, last) {
				t.Fatal("two reports share a receipt")
			}
			last = receipt
		}
		if ci := h.head(a); ci.Rev != rev {
			t.Errorf("100 equal reports made %d revisions", ci.Rev-rev)
		}
		if n := h.blobs("set"); n != sets {
			t.Errorf("100 equal reports stored %d sets", n-sets)
		}
	})
}

func TestOnlyWhatIsMissingIsAskedFor(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		a, other := h.machine("pc07"), h.machine("pc08")
		other.upload("known")
		sealed := fact.File{Kind: fact.KindSealed, Fingerprint: "ab", Digest: sha256.Sum256([]byte("age-encryption.org/v1\n…")), Owner: "root", Group: "root"}
		keyed := fact.File{Kind: fact.KindKeyed, Fingerprint: "ab", Owner: "root", Group: "root"}
		big := fact.File{Kind: fact.KindTooBig, Digest: sha256.Sum256([]byte("big")), Owner: "root", Group: "root"}
		dir := fact.File{Kind: fact.KindDir, Owner: "root", Group: "root"}
		link := fact.File{Kind: fact.KindLink, Target: "../x", Owner: "root", Group: "root"}
		state := map[string]fact.Set{"etc": some(
			"etc/a", file("one"), "etc/b", file("two"), "etc/c", file("one"), "etc/d", file("known"),
			"etc/shadow", sealed.String(), "etc/k", keyed.String(), "etc/big", big.String(), "etc/dir", dir.String(), "etc/l", link.String(),
		)}
		raw := a.seal(a.draft(state, true))
		before := h.dump()
		want := map[fact.Digest]bool{
			sha256.Sum256([]byte("one")): true, sha256.Sum256([]byte("two")): true, sealed.Digest: true,
		}
		for range 2 {
			res, err := a.submit(raw)
			if err != nil || res.Outcome != NeedContent || len(res.Missing) != len(want) {
				t.Fatalf("%v, %v, %d missing, want %d", res.Outcome, err, len(res.Missing), len(want))
			}
			for _, d := range res.Missing {
				if !want[d] {
					t.Errorf("it asks for %s", d)
				}
			}
		}
		h.wantUnchanged("a report that lacks contents", before)
		a.upload("one", "two")
		if res, err := a.submit(raw); err != nil || len(res.Missing) != 1 || res.Missing[0] != sealed.Digest {
			t.Errorf("%v, %v, missing %v", res.Outcome, err, res.Missing)
		}
		a.upload("age-encryption.org/v1\n…")
		if res, err := a.submit(raw); err != nil || res.Outcome != Recorded {
			t.Fatalf("%v, %v, want recorded", res.Outcome, err)
		}
		a.acknowledged(raw, state)
		// Another machine with the same files uploads nothing.
		other.report(state, true)
	})
}

func TestUploadedContentMustHaveItsDigest(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		id := identity.IDOf(identity.Public(h.machine("pc07").key))
		for name, tt := range map[string]struct {
			digest  fact.Digest
			content []byte
		}{
			"another content": {sha256.Sum256([]byte("a")), []byte("b")},
			"no digest":       {fact.Digest{}, []byte("b")},
			"too large":       {sha256.Sum256(make([]byte, MaxContent+1)), make([]byte, MaxContent+1)},
		} {
			if _, err := h.CheckContent(id, tt.digest, tt.content); !errors.Is(err, ErrContent) {
				t.Errorf("%s: %v, want ErrContent", name, err)
			}
		}
	})
}

func TestEqualMachinesShareTheirSets(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		state := map[string]fact.Set{"pkg": packages(500), "hw": some("hw/tpm", "2.0")}
		for i := range 10 {
			h.machine(fmt.Sprintf("pc%d", i)).report(state, true)
		}
		if n := h.blobs("set"); n != 2 {
			t.Errorf("10 equal machines have %d sets in the store, want 2", n)
		}
	})
}

// after runs a function after the n-th View.
type after struct {
	store.Engine
	mu sync.Mutex
	n  int
	do func()
}

func (e *after) View(ctx context.Context, fn func(store.Reader) error) error {
	err := e.Engine.View(ctx, fn)
	e.mu.Lock()
	e.n--
	now := e.n == 0
	e.mu.Unlock()
	if now {
		e.do()
	}
	return err
}

func (h *house) revoke(a *agent) {
	h.t.Helper()
	if err := h.Writer.Update(h.t.Context(), func(tx store.Tx) error {
		_, err := enrol.In(tx, tenant, cmdb.In(tx, tenant, cmdb.Everywhere)).Revoke(h.now(), a.id(), "operator kari", "")
		return err
	}); err != nil {
		h.t.Fatal(err)
	}
}

func TestAKeyThatIsRevokedMeanwhileRecordsNothing(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		engine := h.Engine
		for n := 1; n <= 2; n++ { // as many views as a report takes
			a := h.machine(fmt.Sprint("pc", n))
			a.report(map[string]fact.Set{"pkg": packages(10)}, true)
			raw := a.seal(a.draft(map[string]fact.Set{"pkg": packages(10, 1)}, false))
			h.Engine = &after{Engine: engine, n: n, do: func() { h.revoke(a) }}
			res, err := a.submit(raw)
			h.Engine = engine
			if !errors.Is(err, enrol.ErrUnknown) {
				t.Errorf("revoked after view %d: %v, %v, want ErrUnknown", n, res.Outcome, err)
			}
			if ci := h.head(a); ci.Rev != 3 { // the third says that the key was revoked
				t.Errorf("revoked after view %d: revision %d", n, ci.Rev)
			}
			if _, err := a.tick(); !errors.Is(err, enrol.ErrUnknown) {
				t.Errorf("a tick of a revoked key: %v", err)
			}
		}
	})
}

func TestOneMachineCannotSendWithoutEnd(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		a, b := h.machine("pc07"), h.machine("pc08")
		h.Burst = 60
		stop := h.now()
		h.Now = func() time.Time { return stop }
		var err error
		n := 0
		for ; n < 100 && err == nil; n++ {
			_, err = a.tick()
		}
		if !errors.Is(err, ErrQuota) || n != 61 {
			t.Errorf("after %d envelopes: %v, want ErrQuota after 60", n, err)
		}
		if _, err := b.tick(); err != nil {
			t.Errorf("another machine: %v", err)
		}
		stop = stop.Add(5 * time.Second)
		if _, err := a.tick(); err != nil {
			t.Errorf("five seconds later: %v", err)
		}
		h.BytesPerDay = 5000
		content := make([]byte, 1000)
		for n, err = 0, nil; n < 10 && err == nil; n++ {
			_, err = h.CheckContent(identity.IDOf(identity.Public(b.key)), sha256.Sum256(content), content)
		}
		if !errors.Is(err, ErrQuota) || n > 4 {
			t.Errorf("%d contents of 1000 bytes: %v, want ErrQuota below 4", n, err)
		}
		stop = stop.Add(24 * time.Hour)
		if _, err := h.CheckContent(identity.IDOf(identity.Public(b.key)), sha256.Sum256(content), content); err != nil {
			t.Errorf("the next day: %v", err)
		}
	})
}

func TestEmptyContentsCountToo(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		id := identity.IDOf(identity.Public(h.machine("pc07").key))
		h.BytesPerDay = 100_000
		var err error
		n := 0
		for ; n < 10_000 && err == nil; n++ {
			_, err = h.CheckContent(id, sha256.Sum256(nil), nil)
		}
		if !errors.Is(err, ErrQuota) {
			t.Errorf("%d empty contents: %v, want ErrQuota", n, err)
		}
	})
}

func TestABadReportDoesNotHurtItsCompany(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		h.Writer = slowWriter(t, h.Engine)
		var good, bad []*agent
		for i := range 12 {
			good = append(good, h.machine(fmt.Sprint("good", i)))
			a := h.machine(fmt.Sprint("bad", i))
			a.report(map[string]fact.Set{"pkg": packages(5)}, true)
			bad = append(bad, a)
		}
		var wg sync.WaitGroup
		for i := range good {
			raw := good[i].seal(good[i].draft(map[string]fact.Set{"pkg": packages(20, i)}, true))
			wg.Go(func() {
				if res, err := good[i].submit(raw); err != nil || res.Outcome != Recorded {
					t.Errorf("good %d: %v, %v", i, res.Outcome, err)
				}
			})
			d := bad[i].draft(map[string]fact.Set{"pkg": packages(5, 1)}, false)
			d.body.Prev = bytes.Repeat([]byte{9}, 32)
			fork := bad[i].seal(d)
			wg.Go(func() {
				if res, err := bad[i].submit(fork); err != nil || res.Outcome != Quarantined {
					t.Errorf("bad %d: %v, %v", i, res.Outcome, err)
				}
			})
		}
		wg.Wait()
	})
}

// slowWriter gathers what comes within a moment into one transaction.
func slowWriter(t *testing.T, e store.Engine) *store.Writer {
	w := store.NewWriter(store.Config{Engine: e, Linger: 20 * time.Millisecond})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return w
}

func TestALargeReportIsRecorded(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		a := h.machine("pc07")
		state := map[string]fact.Set{}
		for _, name := range []string{"pkg", "hw", "net", "svc", "apt", "port"} {
			var facts []fact.Fact
			for i := range 5000 {
				facts = append(facts, fact.Fact{Path: fmt.Sprintf("%s/x%05d", name, i), Value: fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, name, i)))})
			}
			state[name] = fact.NewSet(facts)
		}
		a.report(state, true)
		h.restart()
		if err := h.Engine.View(t.Context(), func(r store.Reader) error {
			v := cmdb.At(r, tenant, h.Sets, cmdb.Everywhere)
			for name, want := range state {
				got, err := v.Set(h.head(a).State, name)
				if err != nil || got.Digest() != want.Digest() {
					t.Errorf("section %s: %d facts, %v", name, len(got), err)
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAReceiptNamesTheLeafWhereTheMachineReadsThat(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		a := h.machine("pc07")
		for i, form := range []uint32{0, 1, 2, 3} { // 3: an agent of the future
			d := a.draft(map[string]fact.Set{"pkg": packages(50, i)}, i == 0)
			d.body.ReceiptForm = form
			raw := a.seal(d)
			res, err := a.submit(raw)
			if err != nil || res.Outcome != Recorded {
				t.Fatalf("form %d: %v, %v", form, res.Outcome, err)
			}
			a.acknowledged(raw, map[string]fact.Set{"pkg": packages(50, i)})
			rec, err := identity.OpenReceipt(identity.Public(h.Key), res.Receipt)
			if err != nil || rec.Logged != (form >= 2) || rec.Index != uint64(i+1) {
				t.Errorf("form %d: %+v, %v", form, rec, err)
			}
			h.see(func(r store.Reader) error {
				leaf, err := evidence.At(r, tenant).IndexOf(sha256.Sum256(raw))
				if err != nil || rec.Logged && rec.Leaf != leaf {
					t.Errorf("form %d: the receipt names leaf %d, it is leaf %d, %v", form, rec.Leaf, leaf, err)
				}
				return nil
			})
			if again, err := a.submit(raw); err != nil || !bytes.Equal(again.Receipt, res.Receipt) {
				t.Errorf("form %d, again: another receipt, %v", form, err)
			}
		}
		trail := Trail{Key: identity.IDOf(identity.Public(a.key)).String(), Public: identity.Public(a.key), Server: h.ServerKeys()}
		walk := func() (err error) {
			h.see(func(r store.Reader) error {
				_, err = Walk(r, tenant, trail)
				return nil
			})
			return err
		}
		if err := walk(); err != nil {
			t.Fatal(err)
		}
		bent := identity.Receipt{Envelope: [32]byte(a.prev), Index: 4, At: 1, Logged: true, Leaf: 99}.Sign(h.Key)
		if err := h.Writer.Update(t.Context(), func(tx store.Tx) error {
			return store.PutFramed(tx, receiptKey(tenant, trail.Key, [32]byte(a.prev)), bent)
		}); err != nil {
			t.Fatal(err)
		}
		if err := walk(); err == nil || !strings.Contains(err.Error(), "names leaf 99") {
			t.Errorf("a receipt that names another leaf: %v", err)
		}
	})
}

func (h *house) see(fn func(store.Reader) error) {
	h.t.Helper()
	if err := h.Engine.View(h.t.Context(), fn); err != nil {
		h.t.Fatal(err)
	}
}
