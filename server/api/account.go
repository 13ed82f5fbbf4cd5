package api

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"
	"rollcall/server/evidence"
	"rollcall/server/store"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// How long a session lives, unless the configuration says otherwise.
const (
	sessionLife = 8 * time.Hour
	sessionIdle = 30 * time.Minute
)

// passwordsAtOnce bounds the memory for passwords, 19 MiB each, and passwordWait
// how long a login waits for its turn.
const (
	passwordsAtOnce = 4
	passwordWait    = 5 * time.Second
)

func (s *Service) idle() time.Duration { return cmp.Or(s.SessionIdle, sessionIdle) }

// logins is what the gate keeps in memory about operators. It is made on first use.
func (s *Service) logins() (*auth.Hasher, *auth.Uses) {
	s.loginsOnce.Do(func() { s.hasher, s.uses = auth.NewHasher(passwordsAtOnce), auth.NewUses() })
	return s.hasher, s.uses
}

// SaveUses writes when operators were last here.
func (s *Service) SaveUses(ctx context.Context) error {
	_, uses := s.logins()
	return uses.Save(ctx, s.Writer, s.Tenant)
}

// byPassword lets a caller in by name and password. It takes as long for a name
// that nobody has. Attempts are bounded for each address and each name; a good one
// does not count.
func (s *Service) byPassword(ctx context.Context, c caller) (caller, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	name, password, ok := passwordIn(md.Get("authorization"))
	if !ok {
		return c, auth.ErrWho
	}
	again, ok := s.limits().attempt(auth.HostOf(c.addr), name, s.Now())
	if !ok {
		return c, status.Error(codes.ResourceExhausted, "too many failed logins: wait some minutes")
	}
	o, err := s.compare(ctx, name, password)
	if err == nil {
		again()
		c.operator = o
		c.scope = scopeOf(o, auth.Viewer)
	}
	return c, err
}

// compare returns the operator whose name and password are given, or ErrWho.
func (s *Service) compare(ctx context.Context, name, password string) (auth.Operator, error) {
	var o auth.Operator
	found := false
	err := s.Engine.View(ctx, func(r store.Reader) (err error) {
		o, found, err = auth.Get(r, s.Tenant, name)
		return err
	})
	if err != nil {
		return auth.Operator{}, err
	}
	hasher, _ := s.logins()
	wait, stop := context.WithTimeout(ctx, passwordWait)
	defer stop()
	same, err := hasher.Same(wait, o.Password, password)
	if err != nil {
		return auth.Operator{}, err
	}
	if !found || !same {
		return auth.Operator{}, auth.ErrWho
	}
	return o, nil
}

// passwordIn reads the metadata "authorization: Password BASE64URL(NAME:PASSWORD)".
func passwordIn(words []string) (name, password string, ok bool) {
	if len(words) != 1 || len(words[0]) > 500 {
		return "", "", false
	}
	text, ok := strings.CutPrefix(words[0], "Password ")
	if !ok {
		return "", "", false
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return "", "", false
	}
	name, password, ok = strings.Cut(string(b), ":")
	return name, password, ok && auth.CheckName(name) == nil && password != ""
}

// Login opens a session for who has shown a password.
func (s *Service) Login(ctx context.Context, _ *rollcallv1.LoginRequest) (*rollcallv1.LoginReply, error) {
	c := callerOf(ctx)
	secret, now := identity.NewSecret(), s.Now()
	session := auth.Session{
		Made: now, Expires: now.Add(cmp.Or(s.SessionLife, sessionLife)), Seen: now, From: auth.HostOf(c.addr), Hash: identity.HashSecret(secret),
	}
	have, err := s.sessionsOf(ctx, c.operator.Name)
	if err != nil {
		return nil, err
	}
	err = s.act(ctx, func(tx store.Tx) (evidence.Entry, error) {
		o, found, err := auth.Get(tx, s.Tenant, c.operator.Name)
		if err != nil {
			return evidence.Entry{}, err
		}
		if !found || o.Password != c.operator.Password || o.Epoch != c.operator.Epoch { // changed since the gate looked
			return evidence.Entry{}, auth.ErrWho
		}
		return ofLogin("session opened", o.Name, session.From), auth.Open(tx, s.Tenant, o, session, have, s.idle())
	})
	if err != nil {
		return nil, err
	}
	s.Log.Info("operator logged in", "operator", c.operator.Name, "from", c.addr)
	text, err := s.token(c.operator.Name, secret, identity.LoginPrefix, func(t *identity.Token) {
		t.Name, t.Expiry = "session", session.Expires.UTC().Truncate(time.Second)
	})
	return &rollcallv1.LoginReply{
		LoginToken: text, ExpiresMs: millis(session.Expires), IdleS: uint32(s.idle() / time.Second), Role: auth.Words(c.operator.Grants),
	}, err
}

func (s *Service) sessionsOf(ctx context.Context, name string) (have []auth.Session, err error) {
	err = s.Engine.View(ctx, func(r store.Reader) (err error) {
		have, err = auth.Sessions(r, s.Tenant, name)
		return err
	})
	return have, err
}

func ofLogin(did, name, from string) evidence.Entry {
	return evidence.Entry{Kind: evidence.Login, Detail: map[string]string{"do": did, "operator": name, "from": from}}
}

// Logout ends the session that calls, or all sessions of who calls. A login token
// stays valid: it has no session.
func (s *Service) Logout(ctx context.Context, req *rollcallv1.LogoutRequest) (*rollcallv1.LogoutReply, error) {
	c := callerOf(ctx)
	if req.GetEverywhere() {
		err := s.end(ctx, c.operator.Name, "all sessions ended", false, false)
		return &rollcallv1.LogoutReply{}, err
	}
	if c.session == "" {
		return nil, status.Error(codes.FailedPrecondition, "you use a login token, which is no session: an admin ends it")
	}
	err := s.act(ctx, func(tx store.Tx) (evidence.Entry, error) {
		return ofLogin("session ended", c.operator.Name, auth.HostOf(c.addr)), auth.Close(tx, s.Tenant, c.operator.Name, c.session)
	})
	return &rollcallv1.LogoutReply{}, err
}

func (s *Service) end(ctx context.Context, name, did string, token, password bool) error {
	have, err := s.sessionsOf(ctx, name)
	if err != nil {
		return err
	}
	once := identity.NewSecret()
	c := callerOf(ctx)
	return s.act(ctx, func(tx store.Tx) (evidence.Entry, error) {
		if name != c.operator.Name {
			found, err := s.mayManage(tx, scopeOf(c.operator, auth.Admin), name)
			if err != nil {
				return evidence.Entry{}, err
			}
			if !found {
				return evidence.Entry{}, fmt.Errorf("operator %.40q: %w", name, auth.ErrNotFound)
			}
		}
		if err := auth.End(tx, s.Tenant, name, once, token, password); err != nil {
			return evidence.Entry{}, err
		}
		return ofLogin(did, name, auth.HostOf(c.addr)), auth.CloseAll(tx, s.Tenant, have)
	})
}

// EndLogins ends all sessions of an operator, and her token or password too: one's
// own, or as an admin those of another.
func (s *Service) EndLogins(ctx context.Context, req *rollcallv1.EndLoginsRequest) (*rollcallv1.EndLoginsReply, error) {
	o := callerOf(ctx).operator
	name := cmp.Or(req.GetName(), o.Name)
	if name != o.Name && len(o.Sites(auth.Admin)) == 0 {
		return nil, o.Denied(auth.Admin)
	}
	did := []string{"all sessions"}
	if req.GetToken() {
		did = append(did, "login token")
	}
	if req.GetPassword() {
		did = append(did, "password")
	}
	err := s.end(ctx, name, strings.Join(did, ", ")+" ended", req.GetToken(), req.GetPassword())
	return &rollcallv1.EndLoginsReply{}, err
}

// SetPassword gives the caller a password: the first one with the login token, a
// new one also with a session and the old one. All her sessions end.
func (s *Service) SetPassword(ctx context.Context, req *rollcallv1.SetPasswordRequest) (*rollcallv1.SetPasswordReply, error) {
	c := callerOf(ctx)
	if err := auth.CheckPassword(c.operator.Name, req.GetNew()); err != nil {
		return nil, err
	}
	if c.session != "" {
		again, ok := s.limits().attempt(auth.HostOf(c.addr), c.operator.Name, s.Now())
		if !ok {
			return nil, status.Error(codes.ResourceExhausted, "too many failed attempts: wait some minutes")
		}
		_, err := s.compare(ctx, c.operator.Name, req.GetOld())
		if errors.Is(err, auth.ErrWho) {
			return nil, status.Error(codes.PermissionDenied, "the old password is not right")
		}
		if err != nil {
			return nil, err
		}
		again()
	}
	hasher, _ := s.logins()
	wait, stop := context.WithTimeout(ctx, passwordWait)
	defer stop()
	hash, err := hasher.Hash(wait, req.GetNew())
	if err != nil {
		return nil, err
	}
	have, err := s.sessionsOf(ctx, c.operator.Name)
	if err != nil {
		return nil, err
	}
	err = s.act(ctx, func(tx store.Tx) (evidence.Entry, error) {
		o, found, err := auth.Get(tx, s.Tenant, c.operator.Name)
		if err != nil {
			return evidence.Entry{}, err
		}
		if !found || o.Epoch != c.operator.Epoch || o.Hash != c.operator.Hash { // what let her in has ended meanwhile
			return evidence.Entry{}, auth.ErrWho
		}
		if err := auth.SetPassword(tx, s.Tenant, o.Name, hash, req.GetKeepToken()); err != nil {
			return evidence.Entry{}, err
		}
		return ofLogin("password set", o.Name, auth.HostOf(c.addr)), auth.CloseAll(tx, s.Tenant, have)
	})
	return &rollcallv1.SetPasswordReply{}, err
}
