package server

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const good = "correct horse battery"

// password gives an operator a password and keeps her login token.
func (r *running) password(o *operator, password string) {
	r.t.Helper()
	if _, err := o.SetPassword(r.t.Context(), &rollcallv1.SetPasswordRequest{New: password, KeepToken: true}); err != nil {
		r.t.Fatal(err)
	}
}

func withPassword(ctx context.Context, name, password string) context.Context {
	return withLogin(ctx, "Password "+base64.RawURLEncoding.EncodeToString([]byte(name+":"+password)))
}

// tryLogin logs in over a connection that shows nothing else.
func tryLogin(ctx context.Context, conn *grpc.ClientConn, name, password string) (*rollcallv1.LoginReply, error) {
	return rollcallv1.NewAccountClient(conn).Login(withPassword(ctx, name, password), &rollcallv1.LoginRequest{})
}

// logIn opens a session.
func (r *running) logIn(name, password string) (*operator, error) {
	r.t.Helper()
	reply, err := tryLogin(r.t.Context(), r.dial(nil), name, password)
	if err != nil {
		return nil, err
	}
	token, err := identity.ParseToken(identity.LoginPrefix, reply.GetLoginToken())
	if err != nil {
		r.t.Fatal(err)
	}
	return r.as(token), nil
}

func (r *running) mustLogIn(name, password string) *operator {
	r.t.Helper()
	o, err := r.logIn(name, password)
	if err != nil {
		r.t.Fatal(err)
	}
	return o
}

func in(t *testing.T, o *operator) error {
	t.Helper()
	_, err := o.Sites(t.Context(), &rollcallv1.SitesRequest{})
	return err
}

func TestASessionDoesWhatItsOperatorMay(t *testing.T) {
	r := start(t)
	r.password(r.operator("vera", auth.Grant{Role: auth.Viewer}), good)
	vera := r.mustLogIn("vera", good)
	if err := in(t, vera); err != nil {
		t.Errorf("a session asks: %v", err)
	}
	_, err := vera.SetSite(t.Context(), &rollcallv1.SetSiteRequest{Site: &rollcallv1.Site{Path: "elm"}})
	wantCode(t, "what is not hers", err, codes.PermissionDenied)
	if vera.token.Expiry.IsZero() || vera.token.Name != "session" {
		t.Errorf("the login does not say that it is a session: %+v", vera.token)
	}
	r.password(r.kari, good)
	if _, err := r.mustLogIn("kari", good).SetSite(t.Context(), &rollcallv1.SetSiteRequest{Site: &rollcallv1.Site{Path: "elm"}}); err != nil {
		t.Fatal(err)
	}
	if e := r.lastEntry(); len(e.Detail["session"]) != 12 {
		t.Errorf("the leaf does not say which session it was: %+v", e)
	}
	list, err := r.kari.Operators(t.Context(), &rollcallv1.OperatorsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list.GetOperators(), func(o *rollcallv1.Operator) bool { return o.GetName() == "vera" })
	o := list.GetOperators()[i]
	if len(o.GetSessions()) != 1 || !o.GetHasPassword() || !o.GetHasToken() || o.GetLastUsedMs() == 0 || o.GetSessions()[0].GetFrom() != "127.0.0.1" {
		t.Errorf("kari sees of vera: %+v", o)
	}
}

// Whatever ends what let somebody in ends her sessions, over the connection that
// they have.
func TestClass23ASessionDiesWithThePassword(t *testing.T) {
	for name, end := range map[string]func(r *running, token, session *operator) error{
		"a new password, with the token": func(r *running, token, _ *operator) error {
			_, err := token.SetPassword(r.t.Context(), &rollcallv1.SetPasswordRequest{New: good + " 2"})
			return err
		},
		"a new password, with the session": func(r *running, _, session *operator) error {
			_, err := session.SetPassword(r.t.Context(), &rollcallv1.SetPasswordRequest{Old: good, New: good + " 2"})
			return err
		},
		"other roles": func(r *running, _, _ *operator) error {
			_, err := r.kari.AddOperator(r.t.Context(), &rollcallv1.AddOperatorRequest{Name: "vera", Role: "helpdesk"})
			return err
		},
		"removal": func(r *running, _, _ *operator) error {
			_, err := r.kari.RemoveOperator(r.t.Context(), &rollcallv1.RemoveOperatorRequest{Name: "vera"})
			return err
		},
		"removal and return": func(r *running, _, _ *operator) error {
			if _, err := r.kari.RemoveOperator(r.t.Context(), &rollcallv1.RemoveOperatorRequest{Name: "vera"}); err != nil {
				return err
			}
			r.operator("vera", auth.Grant{Role: auth.Viewer})
			return nil
		},
		"logout everywhere": func(r *running, _, session *operator) error {
			_, err := session.Logout(r.t.Context(), &rollcallv1.LogoutRequest{Everywhere: true})
			return err
		},
		"an admin": func(r *running, _, _ *operator) error {
			_, err := r.kari.EndLogins(r.t.Context(), &rollcallv1.EndLoginsRequest{Name: "vera"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t)
			token := r.operator("vera", auth.Grant{Role: auth.Viewer})
			r.password(token, good)
			one, two := r.mustLogIn("vera", good), r.mustLogIn("vera", good)
			if err := end(r, token, one); err != nil {
				t.Fatal(err)
			}
			for _, session := range []*operator{one, two} {
				wantCode(t, "the session", in(t, session), codes.Unauthenticated)
			}
			if strings.Contains(name, "password") {
				_, err := r.logIn("vera", good)
				wantCode(t, "the old password", err, codes.Unauthenticated)
				if _, err := r.logIn("vera", good+" 2"); err != nil {
					t.Errorf("the new password: %v", err)
				}
				wantCode(t, "the login token, which was not to be kept", in(t, token), codes.Unauthenticated)
			}
		})
	}
}

func TestASessionEndsWithItsTimeAndAfterAPause(t *testing.T) {
	r := start(t)
	r.password(r.operator("vera", auth.Grant{Role: auth.Viewer}), good)
	now := time.Now()
	r.srv.service.Now = func() time.Time { return now }
	vera, idle := r.mustLogIn("vera", good), r.mustLogIn("vera", good)
	begin := now
	for now.Sub(begin) < 8*time.Hour-25*time.Minute {
		now = now.Add(25 * time.Minute)
		if err := in(t, vera); err != nil {
			t.Fatalf("after %s, used every 25 minutes: %v", now.Sub(begin), err)
		}
		if err := r.srv.service.SaveUses(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, "one that was not used", in(t, idle), codes.Unauthenticated)
	now = begin.Add(8 * time.Hour)
	wantCode(t, "after 8 hours", in(t, vera), codes.Unauthenticated)
	again := r.mustLogIn("vera", good)
	now = now.Add(31 * time.Minute)
	wantCode(t, "after a pause of 31 minutes", in(t, again), codes.Unauthenticated)
	for range 25 {
		r.mustLogIn("vera", good)
	}
	sessions := 0
	list, err := r.kari.Operators(t.Context(), &rollcallv1.OperatorsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range list.GetOperators() {
		sessions += len(o.GetSessions())
	}
	if sessions != 20 {
		t.Errorf("%d sessions after 25 logins, want 20", sessions)
	}
}

func TestLogoutEndsOneSession(t *testing.T) {
	r := start(t)
	r.password(r.kari, good)
	one, two := r.mustLogIn("kari", good), r.mustLogIn("kari", good)
	if _, err := one.Logout(t.Context(), &rollcallv1.LogoutRequest{}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "the one that has logged out", in(t, one), codes.Unauthenticated)
	if err := in(t, two); err != nil {
		t.Errorf("the other one: %v", err)
	}
	_, err := r.kari.Logout(t.Context(), &rollcallv1.LogoutRequest{})
	wantCode(t, "a login token, which is no session", err, codes.FailedPrecondition)
}

func TestPasswordsThatAreNotTaken(t *testing.T) {
	r := start(t)
	for name, password := range map[string]string{
		"empty": "", "short": "short", "the name in it": "my name is Kari", "one letter": strings.Repeat("a", 20), "huge": strings.Repeat("abcdef", 100),
		"no text": "\xff\xfe aaaabbbbccccdddd",
	} {
		_, err := r.kari.SetPassword(t.Context(), &rollcallv1.SetPasswordRequest{New: password})
		if c := status.Code(err); c != codes.InvalidArgument && c != codes.Internal { // a string of the wire is text: the library refuses the last
			t.Errorf("%s: %v, want InvalidArgument", name, err)
		}
	}
	r.password(r.kari, good)
	kari := r.mustLogIn("kari", good)
	_, err := kari.SetPassword(t.Context(), &rollcallv1.SetPasswordRequest{New: "another long one"})
	wantCode(t, "from a session, without the old one", err, codes.PermissionDenied)
	robot, err := r.kari.AddOperator(t.Context(), &rollcallv1.AddOperatorRequest{Name: "robot", Role: "viewer", Service: true})
	if err != nil {
		t.Fatal(err)
	}
	token, err := identity.ParseToken(identity.LoginPrefix, robot.GetLoginToken())
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.as(token).SetPassword(t.Context(), &rollcallv1.SetPasswordRequest{New: good})
	wantCode(t, "of a service", err, codes.InvalidArgument)
}

func TestWhoCannotLogIn(t *testing.T) {
	r := start(t)
	r.operator("vera", auth.Grant{Role: auth.Viewer}) // has no password
	r.password(r.kari, good)
	texts := map[string]bool{}
	for _, tt := range [][2]string{{"kari", good + "x"}, {"kari", ""}, {"vera", good}, {"vera", ""}, {"nobody", good}, {"KARI", good}, {"../kari", good}, {"", good}} {
		_, err := tryLogin(t.Context(), r.dial(nil), tt[0], tt[1])
		wantCode(t, tt[0], err, codes.Unauthenticated)
		texts[status.Convert(err).Message()] = true
	}
	if len(texts) != 1 {
		t.Errorf("the refusals differ: %v", texts)
	}
	for _, words := range [][]string{{}, {"Password"}, {"Password !!"}, {"Password a2FyaQ"}, {"Basic a2FyaTpnb29k"}, {"Password " + strings.Repeat("A", 600)}} {
		_, err := rollcallv1.NewAccountClient(r.dial(nil)).Login(withLogin(t.Context(), words...), &rollcallv1.LoginRequest{})
		wantCode(t, strings.Join(words, " "), err, codes.Unauthenticated)
	}
	for l := range strings.SplitSeq(r.logs.String(), "\n") {
		if strings.Contains(l, "horse") || strings.Contains(l, base64.RawURLEncoding.EncodeToString([]byte("kari:"+good))) {
			t.Errorf("the log holds a password: %s", l)
		}
	}
}

// A name that nobody has costs as much time as a wrong password.
func TestClass29UnknownNamesTakeAsLong(t *testing.T) {
	r := start(t)
	r.password(r.kari, good)
	best := map[string]time.Duration{"kari": time.Hour, "nobody": time.Hour}
	for range 5 { // ten in all: more would not be heard
		for name, before := range best {
			begin := time.Now()
			_, err := tryLogin(t.Context(), r.dial(nil), name, "a wrong password")
			best[name] = min(before, time.Since(begin)) // other work on the machine only adds
			wantCode(t, name, err, codes.Unauthenticated)
		}
	}
	if known, unknown := best["kari"], best["nobody"]; unknown < known/3 {
		t.Errorf("a known name takes %s, an unknown one %s", known, unknown)
	}
}

func TestClass07AttemptsAreCountedBySocketAddressAndByName(t *testing.T) {
	attempts := func(r *running, name string, forwarded bool) (heard int) {
		for i := range 14 {
			ctx := t.Context()
			if forwarded {
				ctx = metadata.AppendToOutgoingContext(ctx, "x-forwarded-for", "198.51.100."+string(rune('0'+i%10)), "forwarded", "for=198.51.100.1", "x-real-ip", "198.51.100.9")
			}
			_, err := tryLogin(ctx, r.dial(nil), name, "a wrong password")
			if status.Code(err) == codes.Unauthenticated {
				heard++
			} else {
				wantCode(t, "one too many", err, codes.ResourceExhausted)
			}
		}
		return heard
	}
	for _, tt := range []struct {
		name      string
		forwarded bool
	}{{"kari", false}, {"kari", true}, {"nobody", true}} {
		r := start(t)
		r.password(r.kari, good)
		if n := attempts(r, tt.name, tt.forwarded); n < 10 || n > 12 {
			t.Errorf("%d of 14 wrong passwords of %s were heard, want 10 and what time brings", n, tt.name)
		}
		if err := in(t, r.kari); err != nil {
			t.Errorf("a login token meanwhile: %v", err)
		}
		_, err := tryLogin(t.Context(), r.dial(nil), "kari", good)
		wantCode(t, "the right password then, from the same address", err, codes.ResourceExhausted)
	}
	r := start(t)
	r.password(r.kari, good)
	for i := range 30 {
		if _, err := tryLogin(t.Context(), r.dial(nil), "kari", good); err != nil {
			t.Fatalf("good login %d: %v", i, err)
		}
	}
}
