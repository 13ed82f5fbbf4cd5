package api

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/server/auth"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/ingest"
	"rollcall/server/query"
	"rollcall/server/store"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestEveryMethodHasItsGateAndEveryGateItsMethod(t *testing.T) {
	g := grpc.NewServer()
	(&Service{}).Register(g)
	methods := map[string]bool{}
	for service, info := range g.GetServiceInfo() {
		for _, m := range info.Methods {
			methods["/"+service+"/"+m.Name] = true
		}
	}
	for m := range methods {
		if _, ok := gates[m]; !ok {
			t.Errorf("%s has no gate", m)
		}
	}
	for m, need := range gates {
		if !methods[m] {
			t.Errorf("the gate of %s leads nowhere", m)
		}
		switch {
		case need.keys != "" && (need.roles != nil || !slices.Contains([]who{anyKey, agentOnly, knowing}, need.keys)):
			t.Errorf("%s is for keys %q and for operators", m, need.keys)
		case need.keys == "" && len(need.roles) == 0:
			t.Errorf("nobody may call %s", m)
		}
		for _, r := range need.roles {
			if !slices.Contains(auth.Roles, r) {
				t.Errorf("%s needs %q, which nobody has", m, r)
			}
		}
	}
	open := slices.Collect(maps.Keys(gates))
	open = slices.DeleteFunc(open, func(m string) bool { return gates[m].keys != anyKey })
	if want := "[/rollcall.v1.Agents/Enrol]"; fmt.Sprint(open) != want {
		t.Errorf("an unknown key may call %v, want %s", open, want)
	}
}

func TestErrorsHaveTheirCodes(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("around: %w", err) }
	tests := []struct {
		err  error
		code codes.Code
		told bool
	}{
		{wrap(auth.ErrDenied), codes.PermissionDenied, true},
		{auth.ErrWho, codes.Unauthenticated, true},
		{wrap(cmdb.ErrNotFound), codes.NotFound, true},
		{wrap(cmdb.ErrInvalid), codes.InvalidArgument, true},
		{wrap(cmdb.ErrTaken), codes.AlreadyExists, true},
		{wrap(enrol.ErrUnknown), codes.PermissionDenied, true},
		{wrap(enrol.ErrState), codes.FailedPrecondition, true},
		{wrap(identity.ErrTooLarge), codes.ResourceExhausted, true},
		{wrap(identity.ErrSignature), codes.PermissionDenied, true},
		{wrap(ingest.ErrMalformed), codes.InvalidArgument, true},
		{wrap(ingest.ErrQuota), codes.ResourceExhausted, true},
		{wrap(ingest.ErrRealm), codes.FailedPrecondition, true},
		{wrap(fact.ErrEncoding), codes.InvalidArgument, true},
		{wrap(&query.SyntaxError{}), codes.InvalidArgument, true},
		{wrap(store.ErrBusy), codes.ResourceExhausted, true},
		{wrap(store.ErrClosed), codes.Unavailable, true},
		{wrap(store.ErrCorrupt), codes.DataLoss, true},
		{wrap(context.Canceled), codes.Canceled, true},
		{status.Error(codes.NotFound, "around"), codes.NotFound, true},
		{errors.New("open /var/lib/secret: permission denied"), codes.Internal, false},
		{panicked("index out of range"), codes.Internal, false},
		{wrap(store.ErrUnknown), codes.Internal, false},
		{wrap(store.ErrLimit), codes.Internal, false},
	}
	for _, tt := range tests {
		got, fault := toStatus(tt.err)
		if status.Code(got) != tt.code {
			t.Errorf("%v: %v, want %v", tt.err, status.Code(got), tt.code)
		}
		if !tt.told && (!fault || strings.Contains(got.Error(), "secret") || strings.Contains(got.Error(), "index") || strings.Contains(got.Error(), "around")) {
			t.Errorf("%v: the caller is told %q", tt.err, got)
		}
	}
	if err, fault := toStatus(nil); err != nil || fault {
		t.Errorf("no error: %v, %v", err, fault)
	}
}

func TestLimitsCountByAddressAndForgetNobodyElse(t *testing.T) {
	var l limiter
	n := 0
	for l.enrol("a", enrolmentsPerHost) {
		n++
	}
	if n != 60 || !l.enrol("b", enrolmentsPerHost) {
		t.Errorf("%d attempts to enrol from one address, want 60, and others unhurt", n)
	}
	for n = 0; l.failure("a"); n++ {
	}
	if n != 10 || !l.failure("b") {
		t.Errorf("%d failed logins from one address, want 10, and others unhurt", n)
	}
	for i := range limiterEntries + 100 {
		l.enrol(net.IPv4(10, byte(i>>16), byte(i>>8), byte(i)).String(), enrolmentsPerHost)
	}
	if len(l.enrols) > limiterEntries+1 {
		t.Errorf("%d addresses are remembered", len(l.enrols))
	}
}

func TestUploadsAreBoundedForEachKeyAndInAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l limiter
		var leave []func()
		for i := range 100 { // of ten keys
			if f, ok := l.upload(t.Context(), fmt.Sprint("key", i/10)); ok {
				leave = append(leave, f)
			}
		}
		for i := len(leave); i < maxUploads; i++ {
			if f, ok := l.upload(t.Context(), fmt.Sprint("other", i)); ok {
				leave = append(leave, f)
			}
		}
		if len(leave) != maxUploads || l.uploads["key0"] != maxUploadsPerKey {
			t.Errorf("%d uploads are let in, %d of one key, want %d and %d", len(leave), l.uploads["key0"], maxUploads, maxUploadsPerKey)
		}
		began := time.Now()
		if _, ok := l.upload(t.Context(), "patient"); ok || time.Since(began) != queueWithin {
			t.Errorf("one too many: let in %v after %s, want refused after %s", ok, time.Since(began), queueWithin)
		}
		gone, end := context.WithCancel(t.Context())
		end()
		if _, ok := l.upload(gone, "gone"); ok {
			t.Error("an upload whose caller has gone is let in")
		}
		time.AfterFunc(time.Second, leave[0])
		began = time.Now()
		f, ok := l.upload(t.Context(), "lucky")
		if !ok || time.Since(began) != time.Second {
			t.Errorf("when one has left after a second: let in %v after %s", ok, time.Since(began))
		}
		waits := 0
		for i := range uploadQueue + 10 {
			go func() {
				if f, ok := l.upload(t.Context(), fmt.Sprint("queue", i)); ok {
					f()
				}
			}()
			synctest.Wait()
			waits = max(waits, l.open)
		}
		if waits != maxUploads+uploadQueue {
			t.Errorf("%d are let in or wait, want %d", waits, maxUploads+uploadQueue)
		}
		for _, f := range append(leave[1:], f) {
			f()
		}
		synctest.Wait()
		if l.open != 0 || len(l.uploads) != 0 || len(l.turns) != 0 {
			t.Errorf("%d uploads of %d keys are counted after all have left", l.open, len(l.uploads))
		}
	})
}

func TestLogins(t *testing.T) {
	good := "Bearer kari:" + strings.Repeat("ab", 16)
	tests := []struct {
		name  string
		words []string
		ok    bool
	}{
		{"good", []string{good}, true},
		{"none", nil, false},
		{"two", []string{good, good}, false},
		{"no scheme", []string{strings.TrimPrefix(good, "Bearer ")}, false},
		{"another scheme", []string{"Basic" + strings.TrimPrefix(good, "Bearer")}, false},
		{"no secret", []string{"Bearer kari"}, false},
		{"short secret", []string{good[:len(good)-2]}, false},
		{"long secret", []string{good + "ab"}, false},
		{"not hexadecimal", []string{"Bearer kari:" + strings.Repeat("zz", 16)}, false},
		{"no name", []string{"Bearer :" + strings.Repeat("ab", 16)}, false},
		{"a name that nobody can have", []string{"Bearer a/b:" + strings.Repeat("ab", 16)}, false},
		{"very long", []string{"Bearer " + strings.Repeat("a", 9000)}, false},
	}
	for _, tt := range tests {
		if name, secret, ok := bearer(tt.words); ok != tt.ok || ok && (name != "kari" || len(secret) != 16) {
			t.Errorf("%s: %q, %x, %v", tt.name, name, secret, ok)
		}
	}
}

func FuzzBearer(f *testing.F) {
	f.Add("Bearer kari:" + strings.Repeat("ab", 16))
	f.Add("Bearer ::")
	f.Fuzz(func(t *testing.T, word string) {
		name, secret, ok := bearer([]string{word})
		if ok && !strings.EqualFold("Bearer "+name+":"+hex.EncodeToString(secret), word) {
			t.Errorf("%q is read as %q, %x", word, name, secret)
		}
	})
}

func FuzzEnrolFacts(f *testing.F) {
	f.Add(fact.Set{{Path: "id/hostname", Value: "pc07"}, {Path: "net/eth0/mac", Value: "02:00:00:00:00:01"}}.Encode())
	f.Add([]byte{1, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		set, err := enrolFacts(b)
		if err != nil {
			if got, fault := toStatus(err); fault {
				t.Errorf("bad facts are the server's fault: %v", got)
			}
			return
		}
		for i, fa := range set {
			if fa.Check() != nil || i > 0 && set[i-1].Path >= fa.Path {
				t.Errorf("accepted: %q", fa.Path)
			}
		}
	})
}

func TestPathsThatPeopleType(t *testing.T) {
	for in, want := range map[string]string{
		"/etc/cups/cupsd.conf": "etc/cups/cupsd.conf", "etc/hosts": "etc/hosts", "/etc/a b": "etc/a b", "/etc/\x1b": "etc/%1B", "/etc/a%1Bb": "etc/a%1Bb",
	} {
		if got, err := filePath(in); err != nil || got != want {
			t.Errorf("filePath(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "/", "/etc", "/home/x", "../etc/passwd", "/etcetera"} {
		if got, err := filePath(in); !errors.Is(err, cmdb.ErrInvalid) {
			t.Errorf("filePath(%q) = %q, %v, want ErrInvalid", in, got, err)
		}
	}
	for in, want := range map[string]string{"/etc": "etc", "/etc/cups": "etc/cups", "pkg/cups": "pkg/cups", "/etcetera": "/etcetera", "": ""} {
		if got := factPath(in); got != want {
			t.Errorf("factPath(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzPassword(f *testing.F) {
	f.Add("Password a2FyaTpnb29k")
	f.Add("Password ::")
	f.Add("Bearer kari:00")
	f.Fuzz(func(t *testing.T, word string) {
		name, password, ok := passwordIn([]string{word})
		if !ok {
			return
		}
		if auth.CheckName(name) != nil || password == "" {
			t.Errorf("%q is read as %q, %q", word, name, password)
		}
		if again := "Password " + base64.RawURLEncoding.EncodeToString([]byte(name+":"+password)); len(again) != len(word) {
			t.Errorf("%q is read as %q, %q", word, name, password)
		}
	})
}

func TestAttemptsAreTakenBackAndCountedForEachName(t *testing.T) {
	var l limiter
	now := time.Unix(1e9, 0)
	for range 50 {
		again, ok := l.attempt("a", "kari", now)
		if !ok {
			t.Fatal("attempts that were good count")
		}
		again()
	}
	n := 0
	for i := range 30 {
		if _, ok := l.attempt(fmt.Sprint(i), "kari", now); ok { // from everywhere
			n++
		}
	}
	if n != 10 {
		t.Errorf("%d attempts for one name, want 10", n)
	}
	if _, ok := l.attempt("x", "ola", now); !ok {
		t.Error("another name is hurt")
	}
	for i := range 2 * limiterEntries {
		l.attempt(fmt.Sprint("host", i), fmt.Sprint("name", i), now)
	}
	if _, ok := l.attempt("y", "kari", now); ok {
		t.Error("many other names make this one's attempts forgotten")
	}
	if _, ok := l.attempt("y", "kari", now.Add(11*time.Second)); !ok {
		t.Error("time does not bring another attempt")
	}
}
