package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/store"

	"github.com/klauspost/compress/zstd"
)

func TestAnEnvelopeIsBoundToItsKeyAndItsServer(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		a, b := h.machine("pc07"), h.machine("pc08")
		raw := a.seal(a.draft(map[string]fact.Set{"pkg": packages(5)}, true))
		before := h.dump()
		if _, err := b.submit(raw); !errors.Is(err, ErrKey) {
			t.Errorf("over the connection of another key: %v, want ErrKey", err)
		}
		d := a.draft(map[string]fact.Set{"pkg": packages(5)}, true)
		d.body.Realm = identity.RealmOf(identity.Public(testKey("another server")))
		if _, err := a.submit(a.seal(d)); !errors.Is(err, ErrRealm) {
			t.Errorf("for another server: %v, want ErrRealm", err)
		}
		// Signed by b, with the id of a's key.
		forged := b.seal(b.draft(map[string]fact.Set{"pkg": packages(5)}, true))
		copy(forged[4:20], raw[4:20])
		if _, err := a.submit(forged); !errors.Is(err, identity.ErrSignature) {
			t.Errorf("signed by another key: %v, want ErrSignature", err)
		}
		// Signed as something else.
		receipt := identity.Receipt{Envelope: [32]byte{1}}.Sign(a.key)
		other := append(append([]byte("RCE1"), raw[4:20]...), append(receipt[len(receipt)-64:], receipt[:len(receipt)-64]...)...)
		if _, err := a.submit(other); !errors.Is(err, identity.ErrSignature) {
			t.Errorf("signed as a receipt: %v, want ErrSignature", err)
		}
		h.wantUnchanged("refused envelopes", before)
	})
}

func TestNoBitOfAnEnvelopeCanBeFlipped(t *testing.T) {
	h := newHouse(t, openBolt(t, t.TempDir()+"/db"))
	a := h.machine("pc07")
	raw := a.seal(a.draft(map[string]fact.Set{"pkg": packages(5)}, true))
	before := h.dump()
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 1 << (i % 8)
		_, err := a.submit(bad)
		if !errors.Is(err, identity.ErrSignature) && !errors.Is(err, identity.ErrEnvelope) && !errors.Is(err, ErrKey) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	for _, bad := range [][]byte{raw[:len(raw)-1], append(bytes.Clone(raw), 0), raw[1:], nil, raw[:84]} {
		if _, err := a.submit(bad); err == nil {
			t.Errorf("%d bytes of %d are accepted", len(bad), len(raw))
		}
	}
	h.wantUnchanged("changed envelopes", before)
}

// zeros is the zstd of n zeros, without their number in its head.
func zeros(t *testing.T, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	chunk := make([]byte, 1<<20)
	for range n >> 20 {
		if _, err := z.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestClass08UnboundedBodyOfAReportIsRefusedInLittleMemory(t *testing.T) {
	h := newHouse(t, openBolt(t, t.TempDir()+"/db"))
	a := h.machine("pc07")
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	bombs := map[string][]byte{
		"1 GiB of zeros":               zeros(t, 1<<30),
		"64 MiB, its size in its head": enc.EncodeAll(make([]byte, 64<<20), nil),
		"many frames":                  bytes.Repeat(enc.EncodeAll(make([]byte, 1<<20), nil), 1000),
		"two million empty entries":    enc.EncodeAll(bytes.Repeat([]byte{4<<3 | 2, 0}, 2<<20-8), nil), // collectors
		"unknown entries":              enc.EncodeAll(bytes.Repeat([]byte{15<<3 | 2, 0}, 2<<20-8), nil),
		"a window of 2 GiB":            {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 1, 0, 0},
	}
	for name, bomb := range bombs {
		d := a.draft(nil, true)
		d.packed = bomb
		raw := a.seal(d)
		if len(raw) > identity.MaxEnvelope {
			t.Fatalf("%s: %d bytes are no bomb", name, len(raw))
		}
		runtime.GC()
		var was, is runtime.MemStats
		runtime.ReadMemStats(&was)
		_, err := a.submit(raw)
		runtime.ReadMemStats(&is)
		if !errors.Is(err, identity.ErrTooLarge) && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want ErrTooLarge", name, err)
		}
		if grown := is.TotalAlloc - was.TotalAlloc; grown > 64<<20 {
			t.Errorf("%s: %d MiB were allocated", name, grown>>20)
		}
	}
	if _, err := a.submit(make([]byte, identity.MaxEnvelope+1)); !errors.Is(err, identity.ErrTooLarge) {
		t.Errorf("an envelope that is too large: %v", err)
	}
}

func TestMalformedReportsAreRefusedAtEachLayer(t *testing.T) {
	good := map[string]fact.Set{"pkg": packages(5)}
	foreign := func(facts ...fact.Fact) func(a *agent, d *draft) { // a section of facts that nobody checked
		return func(_ *agent, d *draft) {
			set := fact.Set(facts)
			delta := fact.Delta{Result: set.Digest(), Put: facts}
			d.report.Deltas = [][]byte{delta.Encode()}
			state := fact.State{facts[0].Section(): set.Digest()}.Digest()
			d.body.State = state[:]
		}
	}
	one := func(path, value string) func(a *agent, d *draft) { return foreign(fact.Fact{Path: path, Value: value}) }
	dir := fact.File{Kind: fact.KindDir, Owner: "root", Group: "root"}.String()
	tests := map[string]func(a *agent, d *draft){
		"prev of 31 bytes":                func(_ *agent, d *draft) { d.body.Prev = make([]byte, 31) },
		"no state":                        func(_ *agent, d *draft) { d.body.State = nil },
		"no sequence number":              func(_ *agent, d *draft) { d.body.Seq = 0 },
		"payload that was not signed for": func(_ *agent, d *draft) { d.body.PayloadDigest = make([]byte, 32) },
		"payload that is not zstd":        func(_ *agent, d *draft) { d.packed = []byte("garbage") },
		"zstd that is cut off":            func(a *agent, d *draft) { p := pack(a.house.t, make([]byte, 5000)); d.packed = p[:len(p)-3] },
		"zstd of garbage":                 func(_ *agent, d *draft) { d.plain = []byte("\xff\xff\xffgarbage") },
		"a delta that is garbage":         func(_ *agent, d *draft) { d.report.Deltas = [][]byte{[]byte("garbage")} },
		"an empty delta":                  func(_ *agent, d *draft) { d.report.Deltas = [][]byte{nil} },
		"65 sections":                     func(_ *agent, d *draft) { d.report.Deltas = make([][]byte, 65) },
		"201 collectors":                  func(_ *agent, d *draft) { d.report.Collectors = make([]*rollcallv1.CollectorStatus, 201) },
		"2001 events":                     func(_ *agent, d *draft) { d.report.Events = make([]*rollcallv1.Event, 2001) },
		"the same section twice":          func(_ *agent, d *draft) { d.report.Deltas = append(d.report.Deltas, d.report.GetDeltas()...) },
		"a state that is not reached":     func(_ *agent, d *draft) { d.body.State = make([]byte, 32) },
		"a result that is not reached": func(_ *agent, d *draft) {
			delta := fact.Diff(nil, packages(5))
			delta.Result[0] ^= 1
			d.report.Deltas = [][]byte{delta.Encode()}
		},
		"a base that nobody has": func(_ *agent, d *draft) {
			delta := fact.Diff(packages(7), packages(5))
			d.report.Deltas = [][]byte{delta.Encode()}
		},
		"a delta about nothing": func(_ *agent, d *draft) {
			delta := fact.Delta{Result: fact.Set(nil).Digest()}
			d.report.Deltas = [][]byte{delta.Encode()}
		},
		"facts out of order": func(_ *agent, d *draft) {
			delta := fact.Delta{Put: []fact.Fact{{Path: "pkg/b/version", Value: "1"}, {Path: "pkg/a/version", Value: "1"}}}
			d.report.Deltas = [][]byte{delta.Encode()}
		},
		"the same fact twice": foreign(fact.Fact{Path: "pkg/a/version", Value: "1"}, fact.Fact{Path: "pkg/a/version", Value: "2"}),
		"two sections in one": foreign(fact.Fact{Path: "hw/a", Value: "1"}, fact.Fact{Path: "pkg/a/version", Value: "1"}),

		"a newline in a value":            one("hw/a", "x\ny"),
		"an escape code in a value":       one("hw/a", "\x1b[31m"),
		"text direction in a value":       one("hw/a", "\u202egpj.exe"),
		"bytes that are not UTF-8":        one("hw/a", "\xff"),
		"an escape code in a path":        one("hw/\x1b", "x"),
		"a path without a name":           one("hw", "x"),
		"a path without a section":        one("/a", "x"),
		"a section in capitals":           one("HW/a", "x"),
		"a path of 5000 bytes":            one("hw/"+strings.Repeat("a", 5000), "x"),
		"a value of 9000 bytes":           one("hw/a", strings.Repeat("a", 9000)),
		"a file that goes up":             one("etc/../passwd", dir),
		"a file that goes up in disguise": one("etc/%2E%2E/passwd", dir),
		"a file with a slash in disguise": one("etc/a%2Fb", dir),
		"a file with a NUL":               one("etc/a%00b", dir),
		"a file with an open escape":      one("etc/a%", dir),
		"a file with two slashes":         one("etc//x", dir),
		"a file with a dot":               one("etc/./x", dir),
		"a file that ends in a slash":     one("etc/x/", dir),
		"a file that is no file":          one("etc/x", "garbage"),
		"a file of bad mode":              one("etc/x", "dir 99999 root:root"),

		"measurements that are garbage": func(_ *agent, d *draft) { d.body.Measurements = []byte("garbage") },
		"measurements with an escape code": func(_ *agent, d *draft) {
			d.body.Measurements = fact.Set{{Path: "m/load", Value: "\x1b]0;x\a"}}.Encode()
		},
		"measurements without end":             func(_ *agent, d *draft) { d.body.Measurements = make([]byte, maxMeasurements+1) },
		"a base beside a full report's deltas": func(_ *agent, d *draft) { d.report.Deltas = [][]byte{fact.Diff(packages(5), packages(5, 1)).Encode()} },
	}
	onEngines(t, func(t *testing.T, h *house) {
		a := h.machine("pc07")
		a.report(good, true)
		before := h.dump()
		for name, spoil := range tests {
			for _, full := range []bool{true, false} {
				next := map[string]fact.Set{"pkg": packages(5, 2)}
				d := a.draft(next, full)
				spoil(a, d)
				res, err := a.submit(a.seal(d))
				if !errors.Is(err, ErrMalformed) {
					t.Errorf("%s, full %v: %v, %v, want ErrMalformed", name, full, res.Outcome, err)
				}
			}
		}
		h.wantUnchanged("malformed reports", before)
		a.report(map[string]fact.Set{"pkg": packages(5, 3)}, false) // it still may speak
	})
}

func TestADeltaCannotNameTheSetsOfOthers(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		a, b := h.machine("pc07"), h.machine("pc08")
		secret := packages(40, 3)
		b.report(map[string]fact.Set{"pkg": secret}, true)
		a.report(map[string]fact.Set{"pkg": packages(40)}, true)
		var texts []string
		for _, base := range []fact.Set{secret, packages(40, 4)} { // one that the store has, one that it has not
			d := a.draft(map[string]fact.Set{"pkg": packages(40, 5)}, false)
			delta := fact.Diff(base, packages(40, 5))
			d.report.Deltas = [][]byte{delta.Encode()}
			_, err := a.submit(a.seal(d))
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("%v, want ErrMalformed", err)
			}
			texts = append(texts, fmt.Sprint(err))
		}
		if texts[0] != texts[1] {
			t.Errorf("the answer tells whether another machine has a set: %q and %q", texts[0], texts[1])
		}
	})
}

func TestSectionsAreBoundedOverManyReports(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		a := h.machine("pc07")
		state := map[string]fact.Set{}
		for i := range 100 {
			name := fmt.Sprintf("x%c%c", 'a'+i/26, 'a'+i%26)
			next := map[string]fact.Set{}
			maps.Copy(next, state)
			next[name] = some(name+"/a", "1")
			raw := a.seal(a.draft(next, i == 0))
			if res, err := a.submit(raw); err != nil {
				if !errors.Is(err, ErrMalformed) || i != maxSections {
					t.Errorf("section %d: %v, %v", i, res.Outcome, err)
				}
				return
			}
			a.acknowledged(raw, next)
			state = next
		}
		t.Error("100 sections are accepted")
	})
}

func TestWhatAReportSaysBesideFactsIsInertAndFits(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		a := h.machine("pc07")
		d := a.draft(map[string]fact.Set{"pkg": packages(5)}, true)
		d.report.Reason, d.report.AgentVersion = "\x1b[31m"+strings.Repeat("<", 2000), "\x1b[31m"
		for range 200 {
			d.report.Collectors = append(d.report.Collectors, &rollcallv1.CollectorStatus{Name: "\x1b", Detail: strings.Repeat("<\n", 1000), Status: 99})
		}
		for range 2000 {
			d.report.Events = append(d.report.Events, &rollcallv1.Event{TimeMs: 1 << 62, Kind: "\x1b", Text: strings.Repeat("&\x07", 500)})
		}
		var m []fact.Fact
		for i := range 1000 {
			m = append(m, fact.Fact{Path: fmt.Sprintf("m/%04d", i), Value: strings.Repeat("x", 40)})
		}
		d.body.Measurements = fact.NewSet(m).Encode()
		raw := a.seal(d)
		if res, err := a.submit(raw); err != nil || res.Outcome != Recorded {
			t.Fatalf("%v, %v, want recorded", res.Outcome, err)
		}
		for k, v := range h.dump() {
			binary := strings.HasPrefix(k, "blob ") || strings.HasPrefix(k, "record "+tenant+"/log/")
			if !binary && (strings.Contains(v, "\\u001b") || strings.Contains(v, "\\u0007") || strings.Contains(v, "\\n")) {
				t.Errorf("%q holds a control character", k)
			}
		}
	})
}

// Whatever one machine sends, nothing of another's changes.
func TestOneMachineCannotChangeAnother(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		a, b := h.machine("evil"), h.machine("victim")
		state := map[string]fact.Set{"pkg": packages(40), "id": some("id/hostname", "victim", "id/uuid", "u-1"), "net": some("net/eth0/mac", "02:00:00:00:00:01")}
		b.upload("victim's file")
		state["etc"] = some("etc/hosts", file("victim's file"))
		rawB, receiptB := b.report(state, true)
		before := h.dump()
		next := func(i int) map[string]fact.Set {
			n := map[string]fact.Set{}
			// it claims to be the victim
			maps.Copy(n, state)
			n["hw"] = some("hw/x", fmt.Sprint(i))
			return n
		}
		for i := range 60 {
			d := a.draft(next(i), i%3 != 0)
			switch i % 6 {
			case 1:
				d.body.Prev = b.prev
			case 2:
				d.body.LastReceipt = receiptB
			case 3:
				d.body.BootId = []byte(b.ci)
			case 4:
				_, _ = a.submit(rawB)
			}
			if raw := a.seal(d); i%6 != 1 || i > 50 {
				if res, err := a.submit(raw); err == nil && res.Outcome == Recorded {
					a.acknowledged(raw, next(i))
				}
			}
		}
		after := h.dump()
		shared := []string{"meta " + tenant + "/stamp", "meta " + tenant + "/revisions", "record " + tenant + "/loghead"}
		for k, v := range before {
			mine := strings.Contains(k, a.ci) || strings.Contains(k, a.id()) || slices.Contains(shared, k)
			if !mine && after[k] != v {
				t.Errorf("%q was changed", k)
			}
		}
		for k := range after {
			if _, was := before[k]; !was && (strings.Contains(k, b.ci) || strings.Contains(k, b.id())) {
				t.Errorf("%q was added", k)
			}
		}
		if h.head(a).Rev < 3 {
			t.Error("the machine did not even get its own reports in")
		}
	})
}

func FuzzDecodeReport(f *testing.F) {
	rep := &rollcallv1.Report{Full: true, Deltas: [][]byte{fact.Diff(nil, packages(3)).Encode()}, Reason: "boot"}
	f.Add(marshal(f, rep))
	f.Add([]byte{})
	f.Add([]byte("\x1a\x00"))
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, plain []byte) {
		rep, err := decodeReport(enc.EncodeAll(plain, nil))
		if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, identity.ErrTooLarge) {
			t.Errorf("error without a class: %v", err)
		}
		if _, err := decodeReport(plain); err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, identity.ErrTooLarge) {
			t.Errorf("as zstd: error without a class: %v", err)
		}
		for _, raw := range rep.GetDeltas() {
			d, err := fact.DecodeDelta(raw)
			if err != nil {
				continue
			}
			if set, err := d.Apply(nil); err == nil && set.Digest() != d.Result {
				t.Error("a delta leads to another set than it says")
			}
		}
	})
}

func FuzzDecodeBody(f *testing.F) {
	s := &Service{Key: testKey("server")}
	realm := identity.RealmOf(identity.Public(s.Key))
	f.Add(marshal(f, &rollcallv1.Body{Realm: realm, Seq: 1, State: make([]byte, 32), Measurements: fact.Set{{Path: "m/a", Value: "1"}}.Encode()}))
	f.Add(marshal(f, &rollcallv1.Body{Realm: realm, Seq: 1, State: make([]byte, 32), Payload: []byte("x")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		body, err := s.decodeBody(b)
		switch {
		case err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrRealm):
			t.Errorf("error without a class: %v", err)
		case err == nil && (body.GetSeq() == 0 || len(body.GetState()) != 32 || !bytes.Equal(body.GetRealm(), realm)):
			t.Errorf("accepted: %v", body)
		}
	})
}

// stand puts the machine's CI at a site, which it makes.
func (a *agent) stand(site string) {
	a.house.t.Helper()
	err := a.house.Writer.Update(a.house.t.Context(), func(tx store.Tx) error {
		w := cmdb.In(tx, tenant, cmdb.Everywhere)
		for i := range site + "/" {
			if i == len(site) || site[i] == '/' {
				if err := w.SetSite(cmdb.Site{Path: site[:i]}); err != nil {
					return err
				}
			}
		}
		old, err := w.CI(a.ci)
		if err != nil {
			return err
		}
		next := old
		next.Site = site
		_, _, err = w.Record(day, old, next, cmdb.Revision{By: "operator test"})
		return err
	})
	if err != nil {
		a.house.t.Fatal(err)
	}
}

func TestWhoKnowsADigestCannotNameAContentOfAnotherSite(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		state := map[string]fact.Set{"etc": some("etc/wifi.conf", file("psk of the north"))}
		north, room, south, nowhere := h.machine("north"), h.machine("room"), h.machine("south"), h.machine("nowhere")
		north.stand("elm/north")
		room.stand("elm/north/room12")
		south.stand("elm/south")
		north.upload("psk of the north")
		north.report(state, true)
		for name, a := range map[string]*agent{"below": room, "another site": south, "no site": nowhere} {
			raw := a.seal(a.draft(state, true))
			res, err := a.submit(raw)
			if err != nil || res.Outcome != NeedContent || len(res.Missing) != 1 {
				t.Errorf("%s: a machine names what only elm/north has uploaded: %v, %v, want need-content", name, res.Outcome, err)
			}
		}
		before := h.blobs("content")
		south.upload("psk of the north")
		south.report(state, true) // it has shown that it has it
		if n := h.blobs("content"); n != before {
			t.Errorf("the same content of two sites is stored as %d more", n-before)
		}
		same := h.machine("same")
		same.stand("elm/north")
		same.report(state, true) // who sees one CI of a site sees the other
	})
}
