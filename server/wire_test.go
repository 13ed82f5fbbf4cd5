package server

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// keep gives a machine files of /etc with these contents and records them.
func (m *machine) keep(t testing.TB, files map[string]string) {
	t.Helper()
	var facts []fact.Fact
	for name, content := range files {
		f := fact.File{Kind: fact.KindPlain, Digest: sha256.Sum256([]byte(content)), Mode: 0o644, Owner: "root", Group: "root"}
		facts = append(facts, fact.Fact{Path: "etc/" + name, Value: f.String()})
	}
	m.Facts["etc"] = fact.NewSet(facts)
	env, err := m.Report(true)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := m.Submit(t.Context(), &rollcallv1.SubmitRequest{Envelope: env})
	if err != nil {
		t.Fatal(err)
	}
	if reply.GetOutcome() == rollcallv1.SubmitReply_NEED_CONTENT {
		var parts []*rollcallv1.UploadRequest
		for _, content := range files {
			parts = append(parts, partsOf(content)...)
		}
		if _, err := m.send(t, parts); err != nil {
			t.Fatal(err)
		}
		reply, err = m.Submit(t.Context(), &rollcallv1.SubmitRequest{Envelope: env})
	}
	if err != nil || reply.GetOutcome() != rollcallv1.SubmitReply_RECORDED {
		t.Fatalf("report: %v, %v", reply.GetOutcome(), err)
	}
}

// partsOf makes the messages that carry a content.
func partsOf(content string) []*rollcallv1.UploadRequest {
	sum := sha256.Sum256([]byte(content))
	first := &rollcallv1.UploadRequest{Digest: sum[:], Size: uint64(len(content))}
	parts := []*rollcallv1.UploadRequest{first}
	for part := first; ; part = parts[len(parts)-1] {
		n := min(len(content), 64<<10)
		part.Data, content = []byte(content[:n]), content[n:]
		if content == "" {
			return parts
		}
		parts = append(parts, &rollcallv1.UploadRequest{})
	}
}

func (m *machine) send(t testing.TB, parts []*rollcallv1.UploadRequest) (*rollcallv1.UploadReply, error) {
	t.Helper()
	st, err := m.Upload(t.Context())
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		if err := st.Send(p); err != nil {
			break // the reply says why
		}
	}
	return st.CloseAndRecv()
}

func TestUploadsThatBreakTheFraming(t *testing.T) {
	r := start(t)
	m := r.machine(1)
	sum := func(s string) []byte { d := sha256.Sum256([]byte(s)); return d[:] }
	part := func(digest []byte, size uint64, data string) *rollcallv1.UploadRequest {
		return &rollcallv1.UploadRequest{Digest: digest, Size: size, Data: []byte(data)}
	}
	long := strings.Repeat("long ", 40_000)
	tests := []struct {
		name   string
		parts  []*rollcallv1.UploadRequest
		stored uint32
		code   codes.Code
	}{
		{"nothing", nil, 0, codes.OK},
		{"one", partsOf("a"), 1, codes.OK},
		{"one of many parts", partsOf(long), 1, codes.OK},
		{"two and an empty one", slices.Concat(partsOf("a"), partsOf(""), partsOf("b")), 3, codes.OK},
		{"the same twice", slices.Concat(partsOf("a"), partsOf("a")), 2, codes.OK},
		{"no digest", []*rollcallv1.UploadRequest{part(nil, 1, "a")}, 0, codes.InvalidArgument},
		{"half a digest", []*rollcallv1.UploadRequest{part(sum("a")[:16], 1, "a")}, 0, codes.InvalidArgument},
		{"another content", []*rollcallv1.UploadRequest{part(sum("a"), 1, "b")}, 0, codes.InvalidArgument},
		{"more than it said", []*rollcallv1.UploadRequest{part(sum("ab"), 1, "ab")}, 0, codes.InvalidArgument},
		{"less than it said", []*rollcallv1.UploadRequest{part(sum("a"), 2, "a")}, 0, codes.InvalidArgument},
		{"a size of 16 MiB and one", []*rollcallv1.UploadRequest{part(sum("a"), 16<<20+1, "a")}, 0, codes.InvalidArgument},
		{"a size without end", []*rollcallv1.UploadRequest{part(sum("a"), 1<<63, "a")}, 0, codes.InvalidArgument},
		{"a part of more than 64 KiB", []*rollcallv1.UploadRequest{part(sum(long), uint64(len(long)), long)}, 0, codes.InvalidArgument},
		{"an empty part", []*rollcallv1.UploadRequest{part(sum("ab"), 2, "a"), part(nil, 0, ""), part(nil, 0, "b")}, 0, codes.InvalidArgument},
		{"another content begins within one", []*rollcallv1.UploadRequest{part(sum("ab"), 2, "a"), part(sum("c"), 1, "c")}, 0, codes.InvalidArgument},
		{"data without a content", append(partsOf("a"), part(nil, 0, "x")), 0, codes.InvalidArgument},
	}
	for _, tt := range tests {
		reply, err := m.send(t, tt.parts)
		wantCode(t, tt.name, err, tt.code)
		if reply.GetStored() != tt.stored {
			t.Errorf("%s: %d stored, want %d", tt.name, reply.GetStored(), tt.stored)
		}
	}
}

func TestOneKeyUploadsInTwoStreamsAtMost(t *testing.T) {
	r := start(t)
	m, other := r.machine(1), r.machine(2)
	type stream interface {
		CloseAndRecv() (*rollcallv1.UploadReply, error)
	}
	var open []stream
	sum := sha256.Sum256([]byte("ab"))
	// A third may be let in before the first two have begun: then all over again.
	waitFor(t, "a third upload to be refused", func() bool {
		for _, st := range open {
			_, err := st.CloseAndRecv()
			if err == nil {
				t.Error("half a content was taken")
			}
		}
		open = nil
		for range 2 {
			st, err := m.Upload(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := st.Send(&rollcallv1.UploadRequest{Digest: sum[:], Size: 2, Data: []byte("a")}); err != nil {
				t.Fatal(err)
			}
			open = append(open, st)
		}
		time.Sleep(20 * time.Millisecond)
		_, err := m.send(t, partsOf("x"))
		return status.Code(err) == codes.ResourceExhausted
	})
	if _, err := other.send(t, partsOf("x")); err != nil {
		t.Errorf("another machine: %v", err)
	}
	for _, st := range open {
		_, err := st.CloseAndRecv()
		wantCode(t, "half a content", err, codes.InvalidArgument)
	}
	if _, err := m.send(t, partsOf("x")); err != nil {
		t.Errorf("after both have ended: %v", err)
	}
}

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("waited in vain for %s", what)
}

func TestContentGivesOnlyWhatTheManifestNames(t *testing.T) {
	r := start(t)
	a, b := r.machine(1), r.machine(2)
	long := strings.Repeat("0123456789", 20_000)
	pristine := "the package's default\n"
	sum5 := md5.Sum([]byte(pristine))
	default5 := hex.EncodeToString(sum5[:])
	a.Facts["conffile"] = fact.Set{{Path: "conffile/etc/cups.conf", Value: "modified cups md5=" + default5}}
	a.keep(t, map[string]string{"mine": "mine", "long": long, "empty": ""})
	b.keep(t, map[string]string{"theirs": "theirs", "cups.conf": pristine})
	ask := func(ci string, at int64, md5s []string, contents ...string) (map[string]string, error) {
		req := &rollcallv1.ContentRequest{Ci: ci, Md5S: md5s, AtMs: at}
		for _, c := range contents {
			d := sha256.Sum256([]byte(c))
			req.Digests = append(req.Digests, d[:])
		}
		return r.kari.contents(t, req)
	}
	got, err := ask(a.ci, 0, []string{default5}, "mine", long, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"mine", long, "", pristine} {
		if !slices.Contains(values(got), want) {
			t.Errorf("%.20q of %d bytes did not come", want, len(want))
		}
	}
	_, err = ask(a.ci, 0, nil, "theirs")
	wantCode(t, "the content of another machine", err, codes.InvalidArgument)
	_, err = ask(b.ci, 0, []string{default5})
	wantCode(t, "a default that its manifest does not name", err, codes.InvalidArgument)
	_, err = ask("nobody", 0, nil, "mine")
	wantCode(t, "a CI that is not there", err, codes.NotFound)
	_, err = r.kari.contents(t, &rollcallv1.ContentRequest{Ci: a.ci, Digests: [][]byte{[]byte("short")}})
	wantCode(t, "half a digest", err, codes.InvalidArgument)
	_, err = r.kari.contents(t, &rollcallv1.ContentRequest{Ci: a.ci, Digests: make([][]byte, 20_001)})
	wantCode(t, "20,001 contents", err, codes.InvalidArgument)
	// What it had earlier belongs to the manifest of that time only.
	then := time.Now().UnixMilli()
	time.Sleep(5 * time.Millisecond)
	a.keep(t, map[string]string{"mine": "changed"})
	_, err = ask(a.ci, 0, nil, "mine")
	wantCode(t, "a content that it has no more", err, codes.InvalidArgument)
	if got, err := ask(a.ci, then, nil, "mine"); err != nil || !slices.Contains(values(got), "mine") {
		t.Errorf("as it was then: %v, %v", got, err)
	}
}

func values(m map[string]string) (all []string) {
	for _, v := range m {
		all = append(all, v)
	}
	return all
}

// contents puts the parts of all contents together, by digest or MD5.
func (o *operator) contents(t *testing.T, req *rollcallv1.ContentRequest) (map[string]string, error) {
	t.Helper()
	st, err := o.Content(t.Context(), req)
	if err != nil {
		return nil, err
	}
	got, id := map[string]string{}, ""
	for {
		part, err := st.Recv()
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		if len(part.GetData()) > 64<<10 {
			t.Errorf("a part of %d bytes", len(part.GetData()))
		}
		if len(part.GetDigest()) > 0 || part.GetMd5() != "" {
			id = hex.EncodeToString(part.GetDigest()) + part.GetMd5()
		}
		got[id] += string(part.GetData())
	}
}

func TestAListComesInPages(t *testing.T) {
	r := start(t)
	for i := range 23 {
		m := r.machine(uint64(i))
		name := fmt.Sprintf("%c-pc", "aBcDeFgHiJkLmNoPqRsTuVw"[i])
		if _, err := r.kari.Set(t.Context(), &rollcallv1.SetRequest{Ci: m.ci, Fields: map[string]string{"name": name}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, limit := range []uint32{1, 4, 23, 24, 100} {
		var names []string
		for after, more := "", true; more; {
			reply, err := r.kari.List(t.Context(), &rollcallv1.ListRequest{Limit: limit, After: after})
			if err != nil || len(reply.GetItems()) == 0 || len(reply.GetItems()) > int(limit) {
				t.Fatalf("page of %d: %d, %v", limit, len(reply.GetItems()), err)
			}
			for _, item := range reply.GetItems() {
				names = append(names, item.GetName())
			}
			after, more = names[len(names)-1], reply.GetMore()
		}
		if len(names) != 23 || !slices.IsSortedFunc(names, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) }) {
			t.Errorf("in pages of %d: %v", limit, names)
		}
	}
}

func TestTheSerialNumberIsTheOneOnTheLabel(t *testing.T) {
	r := start(t)
	for i, tt := range []struct {
		numbers []string // board, chassis, product
		want    string
	}{
		{[]string{"/44/CN50/", "44-C", "44"}, "44"},
		{[]string{"/44/CN50/", "44-C"}, "44-C"},
		{[]string{"/44/CN50/"}, "/44/CN50/"},
		{nil, ""},
	} {
		m := r.machine(uint64(i))
		for n, v := range tt.numbers {
			m.Facts["id"] = append(m.Facts["id"], fact.Fact{Path: "id/serial/" + []string{"board", "chassis", "product"}[n], Value: v})
		}
		m.report(t, true)
		reply, err := r.kari.Get(t.Context(), &rollcallv1.GetRequest{Ci: m.ci})
		if got := reply.GetItem().GetSerial(); err != nil || got != tt.want {
			t.Errorf("serial number of %v: %q, %v, want %q", tt.numbers, got, err, tt.want)
		}
	}
}

func TestChangesAreTheNewestOfAll(t *testing.T) {
	r := start(t)
	var ms []*machine
	for i := range 4 {
		m := r.machine(uint64(i))
		m.report(t, true)
		ms = append(ms, m)
	}
	for i := range 20 {
		ms[i%4].Upgrade(i, i)
		ms[i%4].report(t, false)
	}
	all, err := r.kari.Changes(t.Context(), &rollcallv1.ChangesRequest{Limit: 5000})
	if err != nil || len(all.GetRevisions()) != 28 || all.GetMore() {
		t.Fatalf("%d changes, more %v, %v, want 28", len(all.GetRevisions()), all.GetMore(), err)
	}
	for _, limit := range []uint32{1, 3, 10, 27} {
		some, err := r.kari.Changes(t.Context(), &rollcallv1.ChangesRequest{Limit: limit})
		if err != nil || len(some.GetRevisions()) != int(limit) || !some.GetMore() {
			t.Fatalf("%d of %d, more %v, %v", len(some.GetRevisions()), limit, some.GetMore(), err)
		}
		for i, rev := range some.GetRevisions() {
			if rev.GetRecordedMs() != all.GetRevisions()[i].GetRecordedMs() {
				t.Errorf("limit %d: change %d is of %d, want %d", limit, i, rev.GetRecordedMs(), all.GetRevisions()[i].GetRecordedMs())
			}
		}
	}
	since := all.GetRevisions()[9].GetRecordedMs()
	some, err := r.kari.Changes(t.Context(), &rollcallv1.ChangesRequest{SinceMs: since})
	if n := len(some.GetRevisions()); err != nil || n < 10 || n > 12 {
		t.Errorf("since the tenth: %d, %v", n, err)
	}
}

func TestAFilterOnADeclaredFieldSeesItAsItWas(t *testing.T) {
	r := start(t)
	m := r.machine(1)
	set := func(v string) int64 {
		if _, err := r.kari.Set(t.Context(), &rollcallv1.SetRequest{Ci: m.ci, Fields: map[string]string{"owner": v}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Millisecond)
		at := time.Now().UnixMilli()
		time.Sleep(3 * time.Millisecond)
		return at
	}
	first, second := set("ola"), set("kari")
	for _, tt := range []struct {
		owner string
		at    int64
		want  int
	}{{"ola", first, 1}, {"kari", first, 0}, {"kari", second, 1}, {"ola", second, 0}, {"kari", 0, 1}, {"ola", 0, 0}} {
		reply, err := r.kari.List(t.Context(), &rollcallv1.ListRequest{Filter: "owner = " + tt.owner, AtMs: tt.at})
		if err != nil || len(reply.GetItems()) != tt.want {
			t.Errorf("owner = %s at %d: %d, %v, want %d", tt.owner, tt.at, len(reply.GetItems()), err, tt.want)
		}
	}
}

func TestRevocationAndRemovalWorkAtOnce(t *testing.T) {
	r := start(t)
	m := r.machine(1)
	m.report(t, true)
	vera := r.operator("vera", auth.Grant{Role: auth.Viewer})
	if _, err := vera.Sites(t.Context(), &rollcallv1.SitesRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.kari.RemoveOperator(t.Context(), &rollcallv1.RemoveOperatorRequest{Name: "vera"}); err != nil {
		t.Fatal(err)
	}
	_, err := vera.Sites(t.Context(), &rollcallv1.SitesRequest{})
	wantCode(t, "a removed operator, over the same connection", err, codes.Unauthenticated)
	_, err = r.kari.RemoveOperator(t.Context(), &rollcallv1.RemoveOperatorRequest{Name: "kari"})
	wantCode(t, "removing oneself", err, codes.FailedPrecondition)
	if _, err := r.kari.Revoke(t.Context(), &rollcallv1.DecideRequest{Key: m.ci, Reason: "stolen"}); err != nil {
		t.Fatal(err)
	}
	env, err := m.Tick()
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Submit(t.Context(), &rollcallv1.SubmitRequest{Envelope: env})
	wantCode(t, "a revoked key, over the same connection", err, codes.PermissionDenied)
}

// A viewer asks everything that a viewer may ask: no secret is in any answer.
func TestNoAnswerHoldsASecret(t *testing.T) {
	r := start(t)
	m := r.machine(1)
	m.report(t, true)
	vera := r.operator("vera", auth.Grant{Role: auth.Viewer})
	token := r.token(&rollcallv1.NewTokenRequest{Name: "for pc07"})
	waiting := r.stranger(2)
	if _, err := r.enrol(waiting, r.token(&rollcallv1.NewTokenRequest{NeedsApproval: true})); err != nil {
		t.Fatal(err)
	}
	var canaries []string
	for _, secret := range [][]byte{token.Secret, vera.token.Secret, r.kari.token.Secret, r.srv.key.Seed(), m.Key.Seed()} {
		canaries = append(canaries, string(secret), hex.EncodeToString(secret), identity.HashSecret(secret))
	}
	ctx := t.Context()
	var answers []proto.Message
	take := func(m proto.Message, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, m)
	}
	take(vera.List(ctx, &rollcallv1.ListRequest{}))
	take(vera.Get(ctx, &rollcallv1.GetRequest{Ci: m.ci, Sections: []string{"*"}}))
	take(vera.History(ctx, &rollcallv1.HistoryRequest{Ci: m.ci}))
	take(vera.Changes(ctx, &rollcallv1.ChangesRequest{}))
	take(vera.Complete(ctx, &rollcallv1.CompleteRequest{Kind: "file", Ci: m.ci}))
	take(vera.Status(ctx, &rollcallv1.StatusRequest{}))
	take(vera.Sites(ctx, &rollcallv1.SitesRequest{}))
	take(r.kari.Operators(ctx, &rollcallv1.OperatorsRequest{}))
	take(r.kari.Pending(ctx, &rollcallv1.PendingRequest{All: true}))
	for _, a := range answers {
		b, err := proto.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range canaries {
			if bytes.Contains(b, []byte(c)) {
				t.Errorf("%s holds a secret", a.ProtoReflect().Descriptor().Name())
			}
		}
	}
	for _, c := range canaries {
		if strings.Contains(r.logs.String(), c) {
			t.Error("the log holds a secret")
		}
	}
}

func TestAReinstalledMachineOverTheWire(t *testing.T) {
	r := start(t)
	old := r.machine(1)
	old.report(t, true)
	fresh := r.stranger(2)
	reply, err := r.enrol(fresh, r.token(&rollcallv1.NewTokenRequest{Ci: old.ci}))
	if err != nil || reply.GetCi() != old.ci {
		t.Fatalf("CI %s, %v, want %s", reply.GetCi(), err, old.ci)
	}
	fresh.report(t, true)
	env, err := old.Tick()
	if err != nil {
		t.Fatal(err)
	}
	_, err = old.Submit(t.Context(), &rollcallv1.SubmitRequest{Envelope: env})
	wantCode(t, "the old key", err, codes.PermissionDenied)
}

func TestTokensThatNobodyCanUseAreNotMinted(t *testing.T) {
	r := start(t)
	for name, req := range map[string]*rollcallv1.NewTokenRequest{
		"a long name":      {Name: strings.Repeat("a", 5000)},
		"too long a life":  {ValidHours: 24*7 + 1},
		"no such class":    {Class: "toaster"},
		"no such site":     {Site: "elm"},
		"life without end": {ValidHours: 1<<32 - 1},
	} {
		_, err := r.kari.NewToken(t.Context(), req)
		wantCode(t, name, err, codes.InvalidArgument)
	}
	_, err := r.kari.NewToken(t.Context(), &rollcallv1.NewTokenRequest{Ci: "nobody"})
	wantCode(t, "no such CI", err, codes.NotFound)
}
