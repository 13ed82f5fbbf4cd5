package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"slices"
	"time"

	"google.golang.org/grpc/metadata"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// passwordLogin is what a login with a password needs.
type passwordLogin struct {
	address, name, pin, file string
}

// where finds the server: the one that is named, with the pin that is given or that
// of a kept login which leads to the same address.
func (a *app) where(p passwordLogin) (identity.Token, error) {
	t := identity.Token{ID: p.name} // no secret: name and password are shown instead
	kept, err := a.loadLogin()
	switch {
	case p.address == "" && err != nil:
		return t, cmdline.Usagef("log in: at which server? rollcall login SERVER --name %s --pin sha256:DIGEST", p.name)
	case p.address == "":
		t.URLs, t.Pins = kept.URLs, kept.Pins
	default:
		if host, port, err := net.SplitHostPort(p.address); err != nil || host == "" || port == "" {
			return t, cmdline.Usagef("log in: %q is no host:port", p.address)
		}
		t.URLs = []string{p.address}
		if err == nil && slices.Contains(kept.URLs, p.address) {
			t.Pins = kept.Pins
		}
	}
	if p.pin != "" {
		t.Pins = []string{p.pin}
	}
	if len(t.Pins) == 0 {
		return t, cmdline.Hinted(cmdline.Usagef("log in: which key does the server have? --pin sha256:DIGEST is missing"), "'rollcall-server init' has shown it, and 'rollcall status --json' does wherever somebody is logged in")
	}
	return t, nil
}

func (a *app) logInAs(ctx context.Context, p passwordLogin) error {
	t, err := a.where(p)
	if err != nil {
		return err
	}
	password, err := a.readSecret(ctx, p.file, "password")
	if err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	s, err := dial(t, "")
	if err != nil {
		return err
	}
	defer s.close()
	reply, err := s.Login(withPassword(ctx, p.name, password), &rollcallv1.LoginRequest{})
	if err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	session, err := identity.ParseToken(identity.LoginPrefix, reply.GetLoginToken())
	if err != nil {
		return fmt.Errorf("log in: the server's answer: %w", err)
	}
	for _, address := range slices.Backward(t.URLs) { // where it answered just now
		if !slices.Contains(session.URLs, address) {
			session.URLs = slices.Insert(session.URLs, 0, address)
		}
	}
	session.Pins = t.Pins
	text, err := session.Encode(identity.LoginPrefix)
	if err != nil {
		return err
	}
	name, err := a.saveLogin(text)
	if err != nil {
		return err
	}
	a.out.line("logged in as %s (%s) until %s, or a pause of %s; kept in %s", p.name, reply.GetRole(), a.when(reply.GetExpiresMs()),
		time.Duration(reply.GetIdleS())*time.Second, name)
	return nil
}

// withPassword adds name and password to a call; the library sends them over TLS only,
// since the connection allows nothing else.
func withPassword(ctx context.Context, name, password string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Password "+base64.RawURLEncoding.EncodeToString([]byte(name+":"+password)))
}
