package server

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/store"

	"google.golang.org/grpc/codes"
)

// ids gives the id of a machine's key.
func (m *machine) id() string { return identity.IDOf(identity.Public(m.Key)).String() }

func TestRevocationIsEffectiveWithinASecondOnAnOpenConnection(t *testing.T) {
	r := start(t)
	m, other := r.machine(1), r.machine(2)
	m.report(t, true)
	stop := make(chan struct{})
	refused := make(chan time.Time, 1)
	go func() { // it never stops asking, over the connection that it has
		env, err := m.Report(true)
		for err == nil {
			select {
			case <-stop:
				return
			default:
				_, err = m.Submit(t.Context(), &rollcallv1.SubmitRequest{Envelope: env})
			}
		}
		refused <- time.Now()
	}()
	time.Sleep(50 * time.Millisecond)
	if _, err := r.kari.Revoke(t.Context(), &rollcallv1.DecideRequest{Key: m.ci, Reason: "stolen"}); err != nil {
		t.Fatal(err)
	}
	done := time.Now()
	defer close(stop)
	select {
	case at := <-refused:
		if late := at.Sub(done); late > time.Second {
			t.Errorf("the key spoke for %s after it was revoked", late)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("a revoked key goes on speaking")
	}
	env, err := m.Report(true)
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Submit(t.Context(), &rollcallv1.SubmitRequest{Envelope: env})
	wantCode(t, "over the same connection", err, codes.PermissionDenied)
	_, err = r.dialAgain(m).Submit(t.Context(), &rollcallv1.SubmitRequest{Envelope: env})
	wantCode(t, "over a new one", err, codes.PermissionDenied)
	other.report(t, true)
	history, err := r.kari.History(t.Context(), &rollcallv1.HistoryRequest{Ci: m.ci})
	if err != nil || len(history.GetRevisions()) == 0 || !strings.Contains(history.GetRevisions()[0].GetReason(), "revoked: stolen") {
		t.Errorf("the CI's history does not tell of the revocation: %v, %v", history.GetRevisions(), err)
	}
}

func (r *running) dialAgain(m *machine) rollcallv1.AgentsClient {
	return rollcallv1.NewAgentsClient(r.dial(m.Key))
}

func TestARotatedKeyTakesTheCIWithItsHistoryAndLeavesBothAsEvidence(t *testing.T) {
	r := start(t)
	m := r.machine(1)
	m.report(t, true)
	old := m.Key
	next, err := m.rotate(t, r)
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Submit(t.Context(), &rollcallv1.SubmitRequest{Envelope: []byte("not even looked at")})
	wantCode(t, "the old key", err, codes.PermissionDenied)
	statement, err := identity.SealRotation(old, next, r.srv.service.Ingest.RealmID(), m.ci)
	if err != nil {
		t.Fatal(err)
	}
	m.Key = next
	again, err := r.dialAgain(m).Rotate(t.Context(), &rollcallv1.RotateRequest{Statement: statement})
	if err != nil || again.GetCi() != m.ci {
		t.Errorf("told again over the new key: %v, %v", again, err)
	}
	m.AgentsClient = r.dialAgain(m)
	m.Upgrade(1, 2)
	m.report(t, true)
	err = r.srv.engine.View(t.Context(), func(g store.Reader) error {
		v := enrol.At(g, r.cfg.Tenant)
		was, _, err := v.Any(identity.IDOf(identity.Public(old)).String())
		if err != nil || was.State != enrol.Rotated || was.Successor != m.id() || !bytes.Equal(was.Public, identity.Public(old)) {
			t.Errorf("the old key: %+v, %v", was, err)
		}
		is, ok, err := v.KeyOf(m.ci)
		if err != nil || !ok || is.ID != m.id() || !bytes.Equal(is.Statement, statement) || is.Replaced != was.ID {
			t.Errorf("the new key: %+v, %v", is, err)
		}
		log := evidence.At(g, r.cfg.Tenant)
		about, err := log.About(was.ID)
		if err != nil || len(about) != 2 {
			t.Fatalf("leaves about the old key: %v, %v", about, err)
		}
		x, err := log.Explain(about[1])
		if err != nil {
			return err
		}
		e, err := evidence.ParseEntry(x.Content)
		if err != nil || e.Kind != evidence.Rotate || e.Ends != was.ID || e.Key != is.ID || !e.Admits || e.CI != m.ci {
			t.Errorf("the leaf tells %+v, %v", e, err)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, r.cfg, Known{})
}

func TestWhoMayNotRotateAKey(t *testing.T) {
	r := start(t)
	m, other := r.machine(1), r.machine(2)
	realm := r.srv.service.Ingest.RealmID()
	next := mustKey(t)
	seal := func(old, next identity.Key, realm []byte, ci string) []byte {
		b, err := identity.SealRotation(old, next, realm, ci)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good := seal(m.Key, next, realm, m.ci)
	forged := bytes.Clone(good)
	forged[10] ^= 1 // in the old key's signature
	for what, tt := range map[string]struct {
		by        *machine
		statement []byte
		want      codes.Code
	}{
		"another machine":             {other, good, codes.PermissionDenied},
		"without the old key's word":  {m, forged, codes.PermissionDenied},
		"to another machine's CI":     {m, seal(m.Key, next, realm, other.ci), codes.FailedPrecondition},
		"to another machine's key":    {m, seal(m.Key, other.Key, realm, m.ci), codes.FailedPrecondition},
		"for another server":          {m, seal(m.Key, next, make([]byte, 16), m.ci), codes.FailedPrecondition},
		"with something else":         {m, []byte("RCK1 and nothing"), codes.InvalidArgument},
		"from a key that is not here": {r.stranger(9), good, codes.PermissionDenied},
	} {
		_, err := tt.by.Rotate(t.Context(), &rollcallv1.RotateRequest{Statement: tt.statement})
		wantCode(t, what, err, tt.want)
	}
	m.fork(t)
	_, err := m.Rotate(t.Context(), &rollcallv1.RotateRequest{Statement: good})
	wantCode(t, "in quarantine", err, codes.FailedPrecondition)
	other.report(t, true)
}

func TestAnOperatorEndsAQuarantine(t *testing.T) {
	r := start(t)
	m := r.machine(1)
	m.fork(t)
	forks, err := r.kari.Forks(t.Context(), &rollcallv1.ForksRequest{Key: m.ci})
	if err != nil || len(forks.GetForks()) != 1 || forks.GetForks()[0].GetHostname() != m.Name || forks.GetRecorded() == nil || !forks.GetKey().GetCloned() {
		t.Fatalf("forks: %+v, %v", forks, err)
	}
	if _, err := r.kari.Keep(t.Context(), &rollcallv1.KeepRequest{Key: m.ci, Reason: "disk restored"}); err != nil {
		t.Fatal(err)
	}
	m.report(t, true) // it follows what was kept apart, not what was recorded
	m.Upgrade(3, 4)
	m.report(t, false)
	if forks, err := r.kari.Forks(t.Context(), &rollcallv1.ForksRequest{Key: m.ci}); err != nil || len(forks.GetForks()) != 0 || forks.GetKey().GetCloned() {
		t.Errorf("afterwards: %+v, %v", forks, err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, r.cfg, Known{})
}

// seat asks for admission with the token of a boot image.
func (r *running) seat(number uint64, token identity.Token, mac string) (*machine, *rollcallv1.EnrolReply, error) {
	r.t.Helper()
	m := r.stranger(number)
	m.Facts["net"] = fact.Set{{Path: "net/eth0/permanent", Value: mac}}
	reply, err := r.enrol(m, token)
	m.ci = reply.GetCi()
	return m, reply, err
}

func TestWhatBootsFromTheNetworkIsAClaim(t *testing.T) {
	r := start(t)
	r.site("elm")
	server := r.machine(1)
	server.report(t, true)
	token := r.token(&rollcallv1.NewTokenRequest{Kind: "netboot", Site: "elm", Class: "diskless", Nets: []string{"127.0.0.0/8"}})
	m, reply, err := r.seat(7, token, "52:54:00:00:00:07")
	if err != nil || reply.GetOutcome() != rollcallv1.EnrolReply_ENROLLED || reply.GetTrust() != "T0" || m.ci == server.ci {
		t.Fatalf("a seat: %v, %v", reply, err)
	}
	m.report(t, true)
	item, err := r.kari.Get(t.Context(), &rollcallv1.GetRequest{Ci: m.ci})
	if err != nil || item.GetItem().GetTrust() != "T0" || item.GetItem().GetClass() != "diskless" || item.GetItem().GetSite() != "elm" {
		t.Errorf("it shows as %v, %v", item.GetItem(), err)
	}
	list, err := r.kari.List(t.Context(), &rollcallv1.ListRequest{Filter: "trust = T0"})
	if err != nil || len(list.GetItems()) != 1 || list.GetItems()[0].GetId() != m.ci {
		t.Errorf("found by trust: %v, %v", list.GetItems(), err)
	}
	_, err = r.kari.Manifest(t.Context(), &rollcallv1.ManifestRequest{Ci: m.ci})
	wantCode(t, "as a source of a restore", err, codes.FailedPrecondition)
	sealed := fact.File{Kind: fact.KindSealed, Fingerprint: strings.Repeat("0", 64), Mode: 0o600, Owner: "root", Group: "root"}
	m.Facts["etc"] = fact.Set{{Path: "etc/shadow", Value: sealed.String()}}
	env, err := m.Report(true)
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Submit(t.Context(), &rollcallv1.SubmitRequest{Envelope: env})
	wantCode(t, "a sealed file", err, codes.FailedPrecondition)
	_, err = r.kari.NewToken(t.Context(), &rollcallv1.NewTokenRequest{Ci: m.ci})
	wantCode(t, "a reinstall token for it", err, codes.FailedPrecondition)
	_, err = m.rotate(t, r)
	wantCode(t, "a rotation", err, codes.FailedPrecondition)

	// Another claim of the same seat, while it is alive.
	_, reply, err = r.seat(8, token, "52:54:00:00:00:07")
	if err != nil || reply.GetOutcome() != rollcallv1.EnrolReply_PENDING {
		t.Errorf("a second claim: %v, %v", reply, err)
	}
	pending, err := r.kari.Pending(t.Context(), &rollcallv1.PendingRequest{})
	if err != nil || len(pending.GetKeys()) != 1 || pending.GetKeys()[0].GetTrust() != "T0" || pending.GetKeys()[0].GetCi() != m.ci {
		t.Fatalf("waiting: %v, %v", pending.GetKeys(), err)
	}
	_, err = r.kari.Approve(t.Context(), &rollcallv1.DecideRequest{Key: pending.GetKeys()[0].GetKeyId(), Ci: server.ci})
	wantCode(t, "the claim as another CI", err, codes.FailedPrecondition)
	_, err = r.kari.Approve(t.Context(), &rollcallv1.DecideRequest{Key: pending.GetKeys()[0].GetKeyId(), Class: "server"})
	wantCode(t, "the claim as a server", err, codes.InvalidArgument)
	server.report(t, true)
	source := mirrorSource{r.srv.engine, r.cfg.Tenant, r.srv.service.Sets}
	for ci, want := range map[string]bool{m.ci: true, server.ci: false} {
		if rev, err := source.Revision(t.Context(), ci, 1); err != nil || rev.Claim != want {
			t.Errorf("the mirror takes CI %s for a claim: %v, %v, want %v", ci, rev.Claim, err, want)
		}
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, r.cfg, Known{})
}

func TestTheNextPinAloneCarriesOverAChangeOfTheServerKey(t *testing.T) {
	r := start(t)
	m := r.machine(1)
	first := m.report(t, true)
	oldKey := r.srv.key
	pin, made, err := NextKey(r.cfg)
	if err != nil || !made {
		t.Fatalf("NextKey: %v, %v", made, err)
	}
	if again, made, err := NextKey(r.cfg); err != nil || made || again != pin {
		t.Errorf("NextKey again: %q, %v, %v", again, made, err)
	}
	token := r.token(&rollcallv1.NewTokenRequest{})
	if len(token.Pins) != 2 || token.Pins[1] != pin {
		t.Errorf("the token carries the pins %q", token.Pins)
	}
	if _, err := SwitchKey(t.Context(), r.cfg); err == nil {
		t.Error("the key is switched under a running server")
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if got, err := SwitchKey(t.Context(), r.cfg); err != nil || got != pin {
		t.Fatalf("SwitchKey: %q, %v", got, err)
	}
	if _, err := SwitchKey(t.Context(), r.cfg); !errors.Is(err, ErrNoNextKey) {
		t.Errorf("SwitchKey again: %v, want ErrNoNextKey", err)
	}
	s := startOn(t, r.cfg)
	if s.srv.key.Equal(oldKey) {
		t.Fatal("the server still has the old key")
	}
	m.AgentsClient = rollcallv1.NewAgentsClient(s.dial(m.Key)) // who knows the pin
	m.Upgrade(1, 1)
	second := m.report(t, false)
	if _, err := identity.OpenReceipt(identity.Public(s.srv.key), second.GetReceipt()); err != nil {
		t.Errorf("the receipt is not signed with the new key: %v", err)
	}
	next := s.token(&rollcallv1.NewTokenRequest{})
	if !bytes.Equal(next.RealmID(), identity.RealmOf(identity.Public(oldKey))) || len(next.Pins) != 1 {
		t.Errorf("a token of the new key leads to realm %x", next.RealmID())
	}
	for _, e := range [][]byte{first.GetReceipt(), second.GetReceipt()} {
		if _, err := identity.OpenReceiptOf(s.srv.service.Ingest.ServerKeys(), e); err != nil {
			t.Errorf("the server does not believe its own receipt: %v", err)
		}
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, r.cfg, Known{Acknowledged: []Acknowledged{{Receipt: first.GetReceipt()}, {Receipt: second.GetReceipt()}}})
}

func TestTwoPeopleStandBehindAServerAtTheAPI(t *testing.T) {
	r := start(t)
	ola := r.operator("ola", auth.Everywhere(auth.Approver)...)
	m := r.stranger(1)
	reply, err := r.enrol(m, r.token(&rollcallv1.NewTokenRequest{Class: "server"}))
	if err != nil || reply.GetOutcome() != rollcallv1.EnrolReply_PENDING || !strings.Contains(reply.GetNote(), "somebody else than operator kari") {
		t.Fatalf("%v, %v", reply, err)
	}
	_, err = r.kari.Approve(t.Context(), &rollcallv1.DecideRequest{Key: m.id()})
	wantCode(t, "who made the token", err, codes.FailedPrecondition)
	got, err := ola.Approve(t.Context(), &rollcallv1.DecideRequest{Key: m.id()})
	if err != nil || got.GetKey().GetState() != "enrolled" || got.GetKey().GetDecidedBy() != "operator ola and operator kari" {
		t.Errorf("another: %v, %v", got, err)
	}
	log := r.leaves()
	if last := log[len(log)-1]; last.Kind != evidence.Approve {
		t.Errorf("the last leaf is %s", last.Kind)
	}
}
