package agent

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"rollcall/agent/spool"
	"rollcall/internal/bundle"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// export is what `rollcall-agent export` does, into a file that it returns.
func (m *machine) export() (Exported, []bundle.Record) {
	m.t.Helper()
	a := m.open()
	out, err := a.Export(m.t.Context(), m.t.TempDir())
	must(m.t, errors.Join(err, a.Close()))
	f, err := os.Open(out.File)
	must(m.t, err)
	defer f.Close()
	r, err := bundle.NewReader(f)
	must(m.t, err)
	var all []bundle.Record
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out, all
		}
		must(m.t, err)
		all = append(all, rec)
	}
}

// carry takes a file in as a server does, and gives the receipts.
func (s *fakeServer) carry(all []bundle.Record) (back []bundle.Record) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rec := range all {
		if rec.Kind == bundle.Content {
			s.contents[sha256.Sum256(rec.Data)] = rec.Data
		}
	}
	for _, rec := range all {
		if rec.Kind != bundle.Envelope {
			continue
		}
		hash := sha256.Sum256(rec.Data)
		if s.receipts[hash] == nil {
			env, err := identity.OpenEnvelope(rec.Data)
			must(s.t, err)
			var body rollcallv1.Body
			must(s.t, proto.Unmarshal(env.Body, &body))
			reply, err := s.record(&body, hash)
			must(s.t, err)
			if reply.GetOutcome() != rollcallv1.SubmitReply_RECORDED {
				s.t.Errorf("report %d: %v, %d contents are missing", body.GetSeq(), reply.GetOutcome(), len(reply.GetMissing()))
			}
		}
		back = append(back, bundle.Record{Kind: bundle.Receipt, Data: s.receipts[hash]})
	}
	return back
}

// answers writes a file that comes back from a server with the key.
func answers(t *testing.T, server identity.Key, all []bundle.Record) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "receipts.rcb")
	must(t, bundle.Create(name, &rollcallv1.BundleHead{Public: identity.Public(server)}, func(w *bundle.Writer) error {
		for _, rec := range all {
			must(t, w.Add(rec.Kind, rec.Data))
		}
		return nil
	}))
	return name
}

func (m *machine) imports(name string) (Imported, error) {
	m.t.Helper()
	a := m.open()
	in, err := a.Import(name)
	must(m.t, a.Close())
	return in, err
}

func (m *machine) status() Status {
	m.t.Helper()
	st, err := ReadStatus(m.cfg)
	must(m.t, err)
	return st
}

func TestReportsGoByFileAndWaitForTheirReceipts(t *testing.T) {
	m := newMachine(t)
	m.srv.setAway(true)
	m.want(m.once(), Spooled, true)
	m.write("etc/motd", "changed\n")
	m.want(m.once(), Spooled, false, "etc")
	out, all := m.export()
	if out.Reports != 2 || out.Contents == 0 || out.Lacking != 0 || out.Asks {
		t.Errorf("the file holds %+v", out)
	}
	if info, err := os.Stat(out.File); err != nil || info.Mode().Perm() != 0o600 || filepath.Base(out.File) != "rollcall-pc07.rcb" {
		t.Errorf("%s: mode %v, %v", out.File, info.Mode(), err)
	}
	back := answers(t, m.srv.key, m.srv.carry(all))
	if n := m.status().Spool.Waiting; n != 2 {
		t.Errorf("%d reports wait for their receipts, want 2", n)
	}
	m.write("etc/motd", "changed again\n")
	m.want(m.once(), Spooled, false, "etc")
	in, err := m.imports(back)
	if must(t, err); in.Receipts != 2 || in.Waiting != 1 {
		t.Errorf("%+v, want 2 receipts, 1 report waits", in)
	}
	if in, err := m.imports(back); err != nil || in.Receipts != 0 || in.Waiting != 1 {
		t.Errorf("once more: %+v, %v, want nothing new", in, err)
	}
	m.srv.setAway(false) // a line comes: what was carried and what was not are one chain
	m.want(m.once(), Unchanged, false)
	if len(m.srv.reports) != 3 || m.srv.ticks != 1 {
		t.Errorf("the server has %d reports and %d ticks, want 3 and 1", len(m.srv.reports), m.srv.ticks)
	}
}

func TestASecretLeavesNoFileReadable(t *testing.T) {
	m := newMachine(t)
	m.srv.setAway(true)
	m.write("etc/shadow", "root:$y$CANARYCANARY:1:0:::::\n")
	m.want(m.once(), Spooled, true)
	out, _ := m.export()
	b, err := os.ReadFile(out.File)
	must(t, err)
	if bytes.Contains(b, []byte("CANARYCANARY")) {
		t.Error("the file holds the password's hash")
	}
}

func TestNothingThatWaitsIsNoFile(t *testing.T) {
	m := newMachine(t)
	m.want(m.once(), Recorded, true)
	dir, a := t.TempDir(), m.open()
	_, err := a.Export(t.Context(), dir)
	must(t, a.Close())
	left, rerr := os.ReadDir(dir)
	if !errors.Is(err, ErrNothing) || rerr != nil || len(left) != 0 {
		t.Errorf("Export = %v, %d files, want ErrNothing and none", err, len(left))
	}
}

func TestOnlyThePinnedServersWordDropsAReport(t *testing.T) {
	m := newMachine(t)
	m.srv.setAway(true)
	m.want(m.once(), Spooled, true)
	_, all := m.export()
	mallory, err := identity.NewKey()
	must(t, err)
	hash := sha256.Sum256(all[0].Data)
	forged := bundle.Record{Kind: bundle.Receipt, Data: identity.Receipt{Envelope: hash, Index: 1, At: 1}.Sign(mallory)}
	sendAll := m.sendAll(mallory, hash)
	for what, name := range map[string]string{
		"of another server":                   answers(t, mallory, []bundle.Record{forged, sendAll}),
		"of another server in the right name": answers(t, m.srv.key, []bundle.Record{forged, sendAll}),
		"an export":                           answers(t, m.key(), all),
	} {
		in, err := m.imports(name)
		if in.Receipts != 0 || in.SendAll != "" || m.status().Spool.Waiting != 1 || (err == nil) != strings.Contains(what, "right name") {
			t.Errorf("%s: %+v, %v, want that it counts for nothing", what, in, err)
		}
	}
	other := newMachine(t)
	other.srv.setAway(true)
	other.want(other.once(), Spooled, true)
	if in, err := m.imports(answers(t, m.srv.key, []bundle.Record{other.sendAll(m.srv.key, hash)})); err != nil || in.SendAll != "" {
		t.Errorf("an answer to another machine: %+v, %v", in, err)
	}
}

func (m *machine) key() identity.Key {
	m.t.Helper()
	k, err := identity.LoadKey(filepath.Join(m.cfg.State, keyFile))
	must(m.t, err)
	return k
}

// sendAll is what a server says to a report that it will not take.
func (m *machine) sendAll(server identity.Key, envelope [32]byte) bundle.Record {
	m.t.Helper()
	e, err := loadEnrolment(m.cfg.State)
	must(m.t, err)
	me := identity.IDOf(identity.Public(m.key()))
	body, err := proto.Marshal(&rollcallv1.CarriedAnswer{Word: rollcallv1.CarriedAnswer_SEND_ALL, Realm: e.Realm, KeyId: me[:], Envelope: envelope[:], Note: "it has another state"})
	must(m.t, err)
	return bundle.Record{Kind: bundle.Answer, Data: identity.SignStatement(server, identity.TypeCarriedAnswer, body)}
}

func TestAReportThatIsNotTakenIsFollowedByAFullOne(t *testing.T) {
	m := newMachine(t)
	m.want(m.once(), Recorded, true)
	m.srv.setAway(true)
	m.write("etc/motd", "changed\n")
	m.want(m.once(), Spooled, false, "etc")
	out, all := m.export()
	if out.Reports != 1 || out.Again != 1 {
		t.Errorf("the file holds %+v, want one report and the acknowledged one again", out)
	}
	i := slices.IndexFunc(all, func(r bundle.Record) bool {
		return r.Kind == bundle.Envelope && m.srv.receipts[sha256.Sum256(r.Data)] == nil
	})
	back := answers(t, m.srv.key, []bundle.Record{m.sendAll(m.srv.key, sha256.Sum256(all[i].Data))})
	if in, err := m.imports(back); err != nil || in.SendAll == "" || in.Waiting != 0 {
		t.Fatalf("%+v, %v, want that everything is sent", in, err)
	}
	m.want(m.once(), Spooled, true)
	if in, err := m.imports(back); err != nil || in.SendAll != "" || in.Waiting != 1 {
		t.Errorf("the same file again: %+v, %v, want nothing new", in, err)
	}
	_, all = m.export()
	if in, err := m.imports(answers(t, m.srv.key, m.srv.carry(all))); err != nil || in.Waiting != 0 {
		t.Errorf("%+v, %v, want the full report acknowledged", in, err)
	}
}

func TestAMachineThatNeverHadALineAsksByFile(t *testing.T) {
	m := newMachine(t)
	must(t, os.RemoveAll(m.cfg.State))
	m.srv.setAway(true)
	token := m.srv.token(t)
	adm, err := EnrolCarried(t.Context(), m.cfg, "test", token)
	if must(t, err); !adm.Pending || adm.Words == "" {
		t.Errorf("%+v, want that it waits", adm)
	}
	m.want(m.once(), Spooled, true)
	out, all := m.export()
	if !out.Asks || out.Reports != 1 || all[0].Kind != bundle.Enrolment {
		t.Fatalf("the file holds %+v, want a request and a report", out)
	}
	pub, statement := all[0].Data[:32], all[0].Data[32:]
	body, err := identity.OpenStatement(pub, identity.TypeCarriedEnrolment, statement)
	must(t, err)
	var c rollcallv1.CarriedEnrolment
	must(t, proto.Unmarshal(body, &c))
	if !bytes.Equal(c.GetProof(), identity.Proof(identity.HashSecret(token.Secret), identity.CarriedBinding(c.GetAsked()), pub)) || bytes.Contains(body, token.Secret) {
		t.Error("the request does not prove the token, or holds it")
	}
	me := identity.IDOf(pub)
	answer, err := proto.Marshal(&rollcallv1.CarriedAnswer{Word: rollcallv1.CarriedAnswer_ENROLLED, Realm: token.RealmID(), KeyId: me[:], Ci: "ci07"})
	must(t, err)
	back := append(m.srv.carry(all), bundle.Record{Kind: bundle.Answer, Data: identity.SignStatement(m.srv.key, identity.TypeCarriedAnswer, answer)})
	if in, err := m.imports(answers(t, m.srv.key, back)); err != nil || in.Enrolled != "ci07" || in.Receipts != 1 {
		t.Errorf("%+v, %v, want it enrolled and one receipt", in, err)
	}
	if st := m.status(); st.CI != "ci07" || st.Spool.Waiting != 0 {
		t.Errorf("CI %q, %d reports wait, want ci07 and none", st.CI, st.Spool.Waiting)
	}
	if _, err := EnrolCarried(t.Context(), m.cfg, "test", token); err == nil {
		t.Error("it enrols a second time")
	}
	m.write("etc/motd", "changed\n")
	m.want(m.once(), Spooled, false, "etc")
	if out, _ := m.export(); out.Asks {
		t.Error("an enrolled machine asks again")
	}
}

func TestADamagedFileCountsAsFarAsItGoes(t *testing.T) {
	m := newMachine(t)
	m.srv.setAway(true)
	m.want(m.once(), Spooled, true)
	_, all := m.export()
	name := answers(t, m.srv.key, m.srv.carry(all))
	b, err := os.ReadFile(name)
	must(t, err)
	must(t, os.WriteFile(name, b[:len(b)-5], 0o600))
	if in, err := m.imports(name); !errors.Is(err, bundle.ErrDamaged) || in.Receipts != 1 {
		t.Errorf("%+v, %v, want the receipt and ErrDamaged", in, err)
	}
	if _, err := m.imports(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := spool.Inspect(filepath.Join(m.cfg.State, spoolDir)); err != nil {
		t.Error(err)
	}
}
