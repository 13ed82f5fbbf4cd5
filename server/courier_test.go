package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// request makes a machine's request for admission, as it goes into a file.
func (r *running) request(m *machine, token identity.Token) *rollcallv1.CarryEnrolmentRequest {
	r.t.Helper()
	id, err := hex.DecodeString(token.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	asked, err := proto.Marshal(&rollcallv1.CarriedEnrolment_Asked{
		Realm: token.RealmID(), TokenId: id, Hostname: m.Name, AgentVersion: "test", Facts: fact.NewSet(slices.Concat(m.Facts["id"], m.Facts["net"])).Encode(),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	pub := identity.Public(m.Key)
	proof := identity.Proof(identity.HashSecret(token.Secret), identity.CarriedBinding(asked), pub)
	body, err := proto.Marshal(&rollcallv1.CarriedEnrolment{Asked: asked, Proof: proof})
	if err != nil {
		r.t.Fatal(err)
	}
	return &rollcallv1.CarryEnrolmentRequest{Public: pub, Statement: identity.SignStatement(m.Key, identity.TypeCarriedEnrolment, body)}
}

func (r *running) carryEnrolment(by *operator, m *machine, token identity.Token) (*rollcallv1.CarryEnrolmentReply, error) {
	r.t.Helper()
	return rollcallv1.NewCourierClient(by.conn).CarryEnrolment(r.t.Context(), r.request(m, token))
}

func (r *running) carryReport(by *operator, envelope []byte, bare bool) (*rollcallv1.CarryReportReply, error) {
	r.t.Helper()
	return rollcallv1.NewCourierClient(by.conn).CarryReport(r.t.Context(), &rollcallv1.CarryReportRequest{Envelope: envelope, Bare: bare})
}

// next makes a report that is not sent.
func (m *machine) next(t testing.TB) []byte {
	t.Helper()
	env, err := m.Report(false)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// wantStanding carries a report and checks what becomes of it.
func (r *running) wantStanding(what string, envelope []byte, want rollcallv1.CarryReportReply_Standing) *rollcallv1.CarryReportReply {
	r.t.Helper()
	reply, err := r.carryReport(r.kari, envelope, false)
	if err != nil || reply.GetStanding() != want {
		r.t.Errorf("%s: %v (%s), %v, want %v", what, reply.GetStanding(), reply.GetNote(), err, want)
	}
	return reply
}

// answerIn opens what the server says to a machine.
func (r *running) answerIn(raw []byte) *rollcallv1.CarriedAnswer {
	r.t.Helper()
	body, err := identity.OpenStatement(identity.Public(r.srv.key), identity.TypeCarriedAnswer, raw)
	a := &rollcallv1.CarriedAnswer{}
	if err == nil {
		err = proto.Unmarshal(body, a)
	}
	if err != nil {
		r.t.Fatalf("answer: %v", err)
	}
	return a
}

func TestAMachineThatNeverHadALineIsAdmittedByAFile(t *testing.T) {
	r := start(t)
	m, token := r.stranger(1), r.token(&rollcallv1.NewTokenRequest{})
	reply, err := r.carryEnrolment(r.kari, m, token)
	if err != nil || reply.GetOutcome() != rollcallv1.EnrolReply_ENROLLED {
		t.Fatalf("enrol: %v, %v", reply, err)
	}
	a := r.answerIn(reply.GetAnswer())
	if id := identity.IDOf(identity.Public(m.Key)); a.GetWord() != rollcallv1.CarriedAnswer_ENROLLED || a.GetCi() != reply.GetCi() || !bytes.Equal(a.GetKeyId(), id[:]) {
		t.Errorf("the answer is %v", a)
	}
	first := m.next(t)
	got := r.wantStanding("the first report", first, rollcallv1.CarryReportReply_RECORDED)
	if receipt, err := identity.OpenReceipt(identity.Public(r.srv.key), got.GetReceipt()); err != nil || receipt.Envelope != sha256.Sum256(first) || got.GetCi() != reply.GetCi() {
		t.Errorf("receipt %v, %v, of CI %s", receipt, err, got.GetCi())
	}
	again, err := r.carryEnrolment(r.kari, m, token)
	if err != nil || again.GetCi() != reply.GetCi() {
		t.Errorf("the same file again: %v, %v", again, err)
	}
	other := r.stranger(2)
	if reply, err := r.carryEnrolment(r.kari, other, token); err != nil || reply.GetOutcome() != rollcallv1.EnrolReply_REFUSED {
		t.Errorf("another machine with the used token: %v, %v", reply, err)
	}
}

func TestARequestInAFileIsBoundToItsKeyAndItsToken(t *testing.T) {
	r := start(t)
	m, thief, token := r.stranger(1), r.stranger(2), r.token(&rollcallv1.NewTokenRequest{})
	good := r.request(m, token)
	reissued, _ := proto.Clone(good).(*rollcallv1.CarryEnrolmentRequest)
	body, err := identity.OpenStatement(good.GetPublic(), identity.TypeCarriedEnrolment, good.GetStatement())
	if err != nil {
		t.Fatal(err)
	}
	reissued.Public, reissued.Statement = identity.Public(thief.Key), identity.SignStatement(thief.Key, identity.TypeCarriedEnrolment, body)
	wrong := token
	wrong.Secret = bytes.Repeat([]byte{7}, 16)
	elsewhere := token
	elsewhere.Realm = bytes.Repeat([]byte{7}, 16)
	netted := r.token(&rollcallv1.NewTokenRequest{Nets: []string{"0.0.0.0/0"}})
	for _, tt := range []struct {
		what string
		req  *rollcallv1.CarryEnrolmentRequest
		want codes.Code // OK: it is answered, and refused
	}{
		{"signed anew by who copied it", reissued, codes.OK},
		{"a wrong secret", r.request(m, wrong), codes.OK},
		{"a token for a network", r.request(m, netted), codes.OK},
		{"of another server", r.request(m, elsewhere), codes.FailedPrecondition},
		{"a flipped bit", &rollcallv1.CarryEnrolmentRequest{Public: good.GetPublic(), Statement: flipped(good.GetStatement())}, codes.PermissionDenied},
		{"a key of another length", &rollcallv1.CarryEnrolmentRequest{Public: good.GetPublic()[1:], Statement: good.GetStatement()}, codes.PermissionDenied},
		{"nothing", &rollcallv1.CarryEnrolmentRequest{}, codes.InvalidArgument},
	} {
		reply, err := rollcallv1.NewCourierClient(r.kari.conn).CarryEnrolment(t.Context(), tt.req)
		wantCode(t, tt.what, err, tt.want)
		if err == nil && reply.GetOutcome() != rollcallv1.EnrolReply_REFUSED {
			t.Errorf("%s: %v, want it refused", tt.what, reply)
		}
	}
	if reply, err := rollcallv1.NewCourierClient(r.kari.conn).CarryEnrolment(t.Context(), good); err != nil || reply.GetOutcome() != rollcallv1.EnrolReply_ENROLLED {
		t.Errorf("the good one after all these: %v, %v", reply, err)
	}
}

func flipped(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)-1] ^= 1
	return b
}

// A file may come late, twice, before another one, or with one missing. None of that
// is a sign of a cloned machine.
func TestReportsInFilesAreTakenInWhateverOrderTheyCome(t *testing.T) {
	r := start(t)
	m := r.machine(1)
	var made [][]byte
	for i := range 5 {
		m.Upgrade(i, i)
		made = append(made, m.next(t))
	}
	r.wantStanding("the second before the first", made[1], rollcallv1.CarryReportReply_GAP)
	r.wantStanding("the first", made[0], rollcallv1.CarryReportReply_RECORDED)
	if gap := r.wantStanding("the third without the second", made[2], rollcallv1.CarryReportReply_GAP); gap.GetHere() != 1 || gap.GetSeq() != 3 {
		t.Errorf("between %d and %d, want 1 and 3", gap.GetHere(), gap.GetSeq())
	}
	for i, env := range made[1:] {
		r.wantStanding(fmt.Sprint("report ", i+2), env, rollcallv1.CarryReportReply_RECORDED)
	}
	for i, env := range made {
		if again := r.wantStanding(fmt.Sprint("once more report ", i+1), env, rollcallv1.CarryReportReply_ALREADY); again.GetReceipt() == nil {
			t.Errorf("report %d once more has no receipt", i+1)
		}
	}
	r.wantStanding("a changed one", flipped(made[4]), rollcallv1.CarryReportReply_REFUSED)
	tick, err := m.Tick()
	if err != nil {
		t.Fatal(err)
	}
	r.wantStanding("a tick", tick, rollcallv1.CarryReportReply_REFUSED)
	m.report(t, false) // over the line: it is in no quarantine
}

func TestAnOldFileDoesNotPutAMachineIntoQuarantine(t *testing.T) {
	r := start(t)
	m := r.machine(1)
	m.report(t, true)
	over := *m.Machine // how it went on over the line, where a full report was asked for
	carried := m.next(t)
	if _, err := over.Tick(); err != nil { // the number is given out
		t.Fatal(err)
	}
	m.Machine = &over
	m.report(t, true)
	old := r.wantStanding("what was carried and is not asked for any more", carried, rollcallv1.CarryReportReply_OVERTAKEN)
	if old.GetSeq() != 2 || old.GetHere() != 3 {
		t.Errorf("report %d, the newest is %d, want 2 and 3", old.GetSeq(), old.GetHere())
	}
	m.report(t, false) // it is in no quarantine
}

func TestACloneIsFoundOutByItsFileToo(t *testing.T) {
	r := start(t)
	m := r.machine(1)
	m.report(t, true)
	clone := *m.Machine
	m.report(t, false)
	for range 2 {
		if _, err := clone.Tick(); err != nil {
			t.Fatal(err)
		}
	}
	env, err := clone.Report(true)
	if err != nil {
		t.Fatal(err)
	}
	r.wantStanding("what starts from an older report", env, rollcallv1.CarryReportReply_QUARANTINED)
}

func TestWhoeverMayNotSeeAMachineCarriesNothingForIt(t *testing.T) {
	r := start(t)
	r.site("elm")
	r.site("oak")
	m := r.stranger(1)
	token := r.token(&rollcallv1.NewTokenRequest{Site: "elm"})
	ola := r.operator("ola", auth.Grant{Role: auth.Approver, Site: "oak"})
	if reply, err := r.carryEnrolment(ola, m, token); err != nil || reply.GetOutcome() != rollcallv1.EnrolReply_REFUSED {
		t.Errorf("the request of another site: %v, %v, want it refused", reply, err)
	}
	if reply, err := r.carryEnrolment(r.kari, m, token); err != nil || reply.GetOutcome() != rollcallv1.EnrolReply_ENROLLED {
		t.Fatalf("enrol: %v, %v", reply, err)
	}
	env, before := m.next(t), len(r.leaves())
	reply, err := r.carryReport(ola, env, false)
	if err != nil || reply.GetStanding() != rollcallv1.CarryReportReply_REFUSED || reply.GetCi() != "" || reply.GetReceipt() != nil || strings.Contains(reply.GetNote(), "elm") {
		t.Errorf("the report of another site: %v, %v, want it refused and nothing told", reply, err)
	}
	if after := len(r.leaves()); after != before {
		t.Errorf("%d leaves more", after-before)
	}
	r.wantStanding("by who may", env, rollcallv1.CarryReportReply_RECORDED)
	if reply, err := r.carryReport(ola, env, false); err != nil || reply.GetReceipt() != nil {
		t.Errorf("a recorded report of another site: %v, %v, want no receipt", reply, err)
	}
}

func TestContentsThatNoFileHoldsAreGivenUpWithWords(t *testing.T) {
	r := start(t)
	m := r.machine(1)
	content := "welcome"
	f := fact.File{Kind: fact.KindPlain, Digest: sha256.Sum256([]byte(content)), Mode: 0o644, Owner: "root", Group: "root"}
	m.Facts["etc"] = fact.NewSet([]fact.Fact{{Path: "etc/motd", Value: f.String()}})
	env := m.next(t)
	if lacks := r.wantStanding("without its content", env, rollcallv1.CarryReportReply_NEED_CONTENT); len(lacks.GetMissing()) != 1 {
		t.Errorf("%d contents are missing, want 1", len(lacks.GetMissing()))
	}
	reply, err := r.carryReport(r.kari, env, true)
	if err != nil || reply.GetStanding() != rollcallv1.CarryReportReply_NEED_FULL {
		t.Fatalf("without its content for good: %v, %v", reply, err)
	}
	if a := r.answerIn(reply.GetAnswer()); a.GetWord() != rollcallv1.CarriedAnswer_SEND_ALL || !bytes.Equal(a.GetEnvelope(), hashOf(env)) {
		t.Errorf("the answer is %v", a)
	}
	id := identity.IDOf(identity.Public(m.Key))
	st, err := rollcallv1.NewCourierClient(r.kari.conn).CarryContents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range partsOf(content) {
		if err := st.Send(&rollcallv1.CarryContentsRequest{KeyId: id[:], Part: p}); err != nil {
			t.Fatal(err)
		}
	}
	if done, err := st.CloseAndRecv(); err != nil || done.GetStored() != 1 {
		t.Fatalf("contents: %v, %v", done, err)
	}
	r.wantStanding("with its content", env, rollcallv1.CarryReportReply_RECORDED)
}

func hashOf(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}
