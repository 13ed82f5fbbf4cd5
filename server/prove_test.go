package server

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/evidence"
	"rollcall/server/proof"
	"rollcall/server/store"

	"google.golang.org/grpc/codes"
)

// prove asks for a proof and reads it.
func (r *running) prove(ci string, at time.Time) proof.File {
	r.t.Helper()
	reply, err := r.kari.Prove(r.t.Context(), &rollcallv1.ProveRequest{Ci: ci, AtMs: at.UnixMilli()})
	if err != nil {
		r.t.Fatal(err)
	}
	f, err := proof.Parse(reply.GetProof())
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

// allLeaves is what an auditor who has fetched all leaves trusts.
func (r *running) allLeaves() proof.Leaves {
	r.t.Helper()
	reply, err := r.kari.Leaves(r.t.Context(), &rollcallv1.LeavesRequest{})
	if err != nil {
		r.t.Fatal(err)
	}
	return func(yield func([]byte, error) bool) {
		for _, l := range reply.GetLeaves() {
			if !yield(l, nil) {
				return
			}
		}
	}
}

func (r *running) trust(witnesses ...evidence.Witness) proof.Trust {
	return proof.Trust{Server: identity.Public(r.srv.key), Witnesses: witnesses}
}

// proved is a machine with a past, seen by a witness.
type proved struct {
	*running
	m       *machine
	witness evidence.Witness
	times   []time.Time // after each of its reports
}

func newProved(t *testing.T) *proved {
	t.Helper()
	p := &proved{running: start(t)}
	p.m = p.machine(1)
	for i := range 3 {
		p.m.keep(t, map[string]string{"motd": fmt.Sprintf("report %d\n", i)})
		p.times = append(p.times, time.Now())
		time.Sleep(5 * time.Millisecond)
	}
	if _, err := p.kari.Set(t.Context(), &rollcallv1.SetRequest{Ci: p.m.ci, Fields: map[string]string{"name": "pc07"}}); err != nil {
		t.Fatal(err)
	}
	p.tick(p.m)
	p.srv.logTicks(t.Context(), true)
	p.sign()
	key := mustKey(t)
	var err error
	if p.witness, err = evidence.NewWitness("auditor", identity.Public(key)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.cosign("auditor", key); err != nil {
		t.Fatal(err)
	}
	return p
}

func motd(t *testing.T, r proof.Result) string {
	t.Helper()
	v, ok := r.Facts.Get("etc/motd")
	if !ok {
		t.Fatalf("no /etc/motd was proved: %v", r.Err())
	}
	return v
}

func TestAStateIsProvedForTheDayThatIsAskedAbout(t *testing.T) {
	p := newProved(t)
	seen := map[string]bool{}
	for i, at := range p.times {
		res := proof.Verify(p.prove("pc07", at), p.trust(p.witness))
		if err := res.Err(); err != nil {
			t.Fatalf("report %d: %v", i, err)
		}
		if v := motd(t, res); seen[v] {
			t.Errorf("report %d: /etc/motd is %s, as before", i, v)
		} else {
			seen[v] = true
		}
		if last := i == len(p.times)-1; last != res.Until.IsZero() || res.Received.After(at) || !last && !res.Until.After(at) {
			t.Errorf("report %d: received %s, until %s, asked for %s", i, res.Received, res.Until, at)
		}
		trust := p.trust(p.witness)
		trust.Leaves = p.allLeaves()
		if err := proof.Verify(p.prove("pc07", at), trust).Err(); err != nil {
			t.Errorf("report %d, with all leaves: %v", i, err)
		}
		// With the log's key alone it takes all leaves.
		c := p.sign()
		trust = proof.Trust{Log: c.GetLogKey(), Leaves: p.allLeaves()}
		if err := proof.Verify(p.prove("pc07", at), trust).Err(); err != nil {
			t.Errorf("report %d, by the log's key: %v", i, err)
		}
		trust.Leaves = nil
		if err := proof.Verify(p.prove("pc07", at), trust).Err(); err == nil || !strings.Contains(err.Error(), "nothing left out") {
			t.Errorf("report %d, by the log's key without leaves: %v", i, err)
		}
	}
	_, err := p.kari.Prove(t.Context(), &rollcallv1.ProveRequest{Ci: "pc07", AtMs: 1000})
	wantCode(t, "before it existed", err, codes.NotFound)
	_, err = p.kari.Prove(t.Context(), &rollcallv1.ProveRequest{Ci: p.machine(2).ci})
	wantCode(t, "it never reported", err, codes.NotFound)
}

// TestEveryForgedByteOfAProofIsFound is CVE classes 19 and 20: each leaf, hash,
// salt, content, signature, set, statement and number in turn.
func TestEveryForgedByteOfAProofIsFound(t *testing.T) {
	p := newProved(t)
	trust := p.trust(p.witness)
	trust.Leaves = p.allLeaves()
	good, err := p.prove("pc07", p.times[0]).Encode()
	if err != nil {
		t.Fatal(err)
	}
	forgeries := 0
	try := func(what string, forge func(f *proof.File)) {
		t.Helper()
		f, err := proof.Parse(good)
		if err != nil {
			t.Fatal(err)
		}
		forge(&f)
		forgeries++
		if res := proof.Verify(f, trust); res.OK() {
			t.Errorf("%s: still proved: %+v", what, res.Steps)
		} else if res.Facts != nil {
			t.Errorf("%s: facts are told that nothing proves", what)
		}
	}
	f, err := proof.Parse(good)
	if err != nil {
		t.Fatal(err)
	}
	if err := proof.Verify(f, trust).Err(); err != nil {
		t.Fatal(err)
	}
	eachBytes(reflect.ValueOf(&f).Elem(), "file", func(path string, b []byte) {
		step := max(1, len(b)/40)
		for i := 0; i < len(b); i += step {
			try(fmt.Sprintf("%s, byte %d of %d", path, i, len(b)), func(f *proof.File) {
				eachBytes(reflect.ValueOf(f).Elem(), "file", func(p string, b []byte) {
					if p == path {
						b[i] ^= 1
					}
				})
			})
		}
	})
	if forgeries < 500 {
		t.Errorf("only %d forgeries were tried", forgeries)
	}
	for what, forge := range map[string]func(f *proof.File){
		"another CI":                   func(f *proof.File) { f.CI = "ci00" },
		"a time before":                func(f *proof.File) { f.At -= 3_600_000 },
		"a time after":                 func(f *proof.File) { f.At += 3_600_000 },
		"another log":                  func(f *proof.File) { f.LogKey = strings.Replace(f.LogKey, "/main", "/other", 1) },
		"no checkpoint":                func(f *proof.File) { f.Checkpoint = nil },
		"no witness":                   func(f *proof.File) { f.Witnessed = nil },
		"no admission":                 func(f *proof.File) { f.Keys = nil },
		"no statement":                 func(f *proof.File) { f.Statement = nil },
		"a section less":               func(f *proof.File) { f.Sets = f.Sets[1:] },
		"a section twice":              func(f *proof.File) { f.Sets = append(f.Sets, f.Sets[0]) },
		"no sections":                  func(f *proof.File) { f.Sets = nil },
		"another index":                func(f *proof.File) { f.Report.Index++ },
		"the next report in its place": func(f *proof.File) { f.Report = f.Later[0] },
		"a later report as an old one": func(f *proof.File) { f.Later = append(f.Later, f.Report) },
		"the report follows itself":    func(f *proof.File) { f.Later = []proof.Leaf{f.Report} },
		"the admission twice":          func(f *proof.File) { f.Keys = append(f.Keys, f.Keys[0]) },
		"a report as an admission":     func(f *proof.File) { f.Keys = append(f.Keys, f.Report) },
		"no later report": func(f *proof.File) {
			f.Later = nil
			f.At = time.Now().UnixMilli()
		},
		"alive: another place":                        func(f *proof.File) { f.Alive.Pos++ },
		"alive: another number":                       func(f *proof.File) { f.Alive.Count++ },
		"alive: a report instead":                     func(f *proof.File) { f.Alive.Leaf = f.Report },
		"a signature of the report over another type": func(f *proof.File) { f.Statement = f.Endorsement },
		"the endorsement is a statement":              func(f *proof.File) { f.Endorsement = f.Statement },
	} {
		try(what, forge)
	}
}

// TestAReportBetweenCannotBeLeftOut claims that a state held longer than it did, by
// leaving out the report that ended it: the one after names the missing one.
func TestAReportBetweenCannotBeLeftOut(t *testing.T) {
	p := newProved(t)
	first, second := p.prove("pc07", p.times[0]), p.prove("pc07", p.times[1])
	if len(first.Later) != 1 || len(second.Later) != 1 {
		t.Fatalf("%d and %d later reports, want one each", len(first.Later), len(second.Later))
	}
	forged := first
	forged.At, forged.Later = second.At, second.Later
	if err := proof.Verify(forged, p.trust()).Err(); err == nil || !strings.Contains(err.Error(), "is not the report that follows") {
		t.Errorf("a report left out: %v", err)
	}
	// With no later report at all the file says so, and all leaves speak against it.
	forged.Later = nil
	res := proof.Verify(forged, p.trust())
	if text := res.Steps[slices.IndexFunc(res.Steps, func(s proof.Step) bool { return s.Name == "time" })].Text; !res.OK() || !strings.Contains(text, "is the server's word") {
		t.Errorf("without later reports: %v, %q", res.Err(), text)
	}
	trust := p.trust()
	trust.Leaves = p.allLeaves()
	if err := proof.Verify(forged, trust).Err(); err == nil || !strings.Contains(err.Error(), "is a report of this CI") {
		t.Errorf("without later reports, with all leaves: %v", err)
	}
}

// eachBytes gives every byte slice of a value with the way to it.
func eachBytes(v reflect.Value, path string, fn func(path string, b []byte)) {
	switch {
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		fn(path, v.Bytes())
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			eachBytes(v.Index(i), fmt.Sprintf("%s[%d]", path, i), fn)
		}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			eachBytes(v.Field(i), path+"."+v.Type().Field(i).Name, fn)
		}
	}
}

func TestAProofOfAnotherServerIsNotBelieved(t *testing.T) {
	p := newProved(t)
	f := p.prove("pc07", time.Time{})
	other := mustKey(t)
	res := proof.Verify(f, proof.Trust{Server: identity.Public(other)})
	if err := res.Err(); err == nil || len(res.Steps) != 1 || !strings.Contains(err.Error(), "log key: the server that is trusted does not vouch for it") {
		t.Errorf("steps = %+v", res.Steps)
	}
	if proof.Verify(f, proof.Trust{}).OK() {
		t.Error("a proof is believed though nothing is trusted")
	}
	stranger, err := evidence.NewWitness("stranger", identity.Public(other))
	if err != nil {
		t.Fatal(err)
	}
	if err := proof.Verify(f, p.trust(p.witness, stranger)).Err(); err == nil || !strings.Contains(err.Error(), "witness stranger: it has not cosigned") {
		t.Errorf("a witness that has seen nothing: %v", err)
	}
}

// TestARevokedKeyProvesOnlyWhatCameBefore: order in the log is the time that
// counts.
func TestARevokedKeyProvesOnlyWhatCameBefore(t *testing.T) {
	p := newProved(t)
	if _, err := p.kari.Revoke(t.Context(), &rollcallv1.DecideRequest{Key: "pc07", Reason: "stolen"}); err != nil {
		t.Fatal(err)
	}
	f := p.prove("pc07", time.Time{})
	if err := proof.Verify(f, p.trust(p.witness)).Err(); err != nil {
		t.Errorf("what came before the revocation: %v", err)
	}
	if len(f.Keys) != 2 {
		t.Fatalf("%d leaves about the key, want its admission and its end", len(f.Keys))
	}
	// Whoever has the stolen key and the server's disk, but not the server's key,
	// records a report after the revocation.
	env, err := p.m.Report(true)
	if err != nil {
		t.Fatal(err)
	}
	forged := p.forgeReport(env)
	res := proof.Verify(forged, p.trust())
	if err := res.Err(); err == nil || !strings.Contains(err.Error(), "was ended before the report, by leaf") {
		t.Errorf("a report after the revocation: %v", err)
	}
	// Without the revocation in it, the server's word and all leaves speak against.
	forged.Keys = forged.Keys[:1]
	if err := proof.Verify(forged, p.trust()).Err(); err == nil || !strings.Contains(err.Error(), "nothing left out: leaf") {
		t.Errorf("the revocation left out: %v", err)
	}
	trust := p.trust()
	trust.Leaves = p.allLeaves()
	if err := proof.Verify(forged, trust).Err(); err == nil || !strings.Contains(err.Error(), "(revoke of this CI") {
		t.Errorf("the revocation left out, with all leaves: %v", err)
	}
}

// forgeReport appends a report's leaf behind the server's back and makes the file
// that would prove it.
func (p *proved) forgeReport(env []byte) proof.File {
	p.t.Helper()
	hash := sha256.Sum256(env)
	var index uint64
	err := p.srv.writer.Update(p.t.Context(), func(tx store.Tx) (err error) {
		e := evidence.Entry{Kind: evidence.Report, CI: p.m.ci, Seq: 5, Subject: hash[:]}
		index, err = evidence.In(tx, p.cfg.Tenant).Append(time.Now(), e)
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	f := p.prove("pc07", time.Time{})
	f.Later = nil
	err = p.srv.engine.View(p.t.Context(), func(r store.Reader) error {
		v := evidence.At(r, p.cfg.Tenant)
		c, _, err := evidence.OpenCheckpoint(f.Checkpoint, f.LogKey)
		if err != nil {
			return err
		}
		x, err := v.Explain(index)
		if err != nil {
			return err
		}
		leaf, err := v.Leaf(index)
		if err != nil {
			return err
		}
		hashes, err := v.Inclusion(c.Size, index)
		f.Report = proof.Leaf{Index: index, Leaf: leaf, Salt: x.Salt, Content: env, Proof: evidence.FromHashes(hashes)}
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return f
}

func TestWhatWasErasedIsNotProved(t *testing.T) {
	p := newProved(t)
	before := p.prove("pc07", p.times[0])
	index := before.Report.Index
	err := p.srv.writer.Update(t.Context(), func(tx store.Tx) error { return evidence.In(tx, p.cfg.Tenant).Erase(time.Now(), index) })
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.kari.Prove(t.Context(), &rollcallv1.ProveRequest{Ci: "pc07", AtMs: p.times[0].UnixMilli()})
	wantCode(t, "an erased report", err, codes.NotFound)
	if !strings.Contains(fmt.Sprint(err), "erased") {
		t.Errorf("the operator is told %v", err)
	}
	// The tree is whole: others are proved as before, and the leaf without what
	// explained it proves nothing.
	if err := proof.Verify(p.prove("pc07", p.times[2]), p.trust(p.witness)).Err(); err != nil {
		t.Errorf("another report: %v", err)
	}
	before.Report.Salt, before.Report.Content = nil, nil
	if err := proof.Verify(before, p.trust()).Err(); err == nil || !strings.Contains(err.Error(), "was its content erased?") {
		t.Errorf("the leaf alone: %v", err)
	}
}

func TestProofFileHasOneForm(t *testing.T) {
	p := newProved(t)
	good, err := p.prove("pc07", time.Time{}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	for what, bad := range map[string][]byte{
		"bytes behind it":    append(bytes.Clone(good), '\n'),
		"a field twice":      bytes.Replace(good, []byte(`{"ci":`), []byte(`{"ci":"x","ci":`), 1),
		"an unknown field":   bytes.Replace(good, []byte(`{"ci":`), []byte(`{"x":1,"ci":`), 1),
		"a space":            bytes.Replace(good, []byte(`{"ci":`), []byte(`{ "ci":`), 1),
		"another case":       bytes.Replace(good, []byte(`{"ci":`), []byte(`{"CI":`), 1),
		"another version":    bytes.Replace(good, []byte("v1"), []byte("v2"), 1),
		"cut off":            good[:len(good)/2],
		"nothing":            nil,
		"a login":            []byte("rcop1.abc"),
		"base64 spare bits ": bytes.Replace(good, []byte(`=","`), []byte(`","`), 1),
	} {
		if _, err := proof.Parse(bad); err == nil {
			t.Errorf("%s: it is read", what)
		}
	}
}

// TestGoldenProofStillVerifies holds the file of the first version to what it
// proved; with -update it is written anew.
func TestGoldenProofStillVerifies(t *testing.T) {
	const name, trusted = "proof/testdata/proof-v1", "proof/testdata/proof-v1.trust"
	if *update {
		p := newProved(t)
		b, err := p.prove("pc07", p.times[1]).Encode()
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("%x\n%s\n", identity.Public(p.srv.key), p.witness)
		if err := os.MkdirAll("proof/testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		for file, b := range map[string][]byte{name: b, trusted: []byte(text)} {
			if err := os.WriteFile(file, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(trusted)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(text))
	w, err := evidence.ParseWitness(lines[1])
	if err != nil {
		t.Fatal(err)
	}
	var server []byte
	if _, err := fmt.Sscanf(lines[0], "%x", &server); err != nil {
		t.Fatal(err)
	}
	f, err := proof.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	res := proof.Verify(f, proof.Trust{Server: server, Witnesses: []evidence.Witness{w}})
	if err := res.Err(); err != nil || len(res.Facts) < 10 || !slices.ContainsFunc(res.Steps, func(s proof.Step) bool { return s.Name == "witness auditor" }) {
		t.Errorf("the proof of version 1: %v, %d facts", err, len(res.Facts))
	}
}
