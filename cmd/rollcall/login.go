package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// maxTokenText bounds what is read for a token.
const maxTokenText = 8 << 10

func (a *app) loginCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "login [--token-file FILE|-]",
		Short: "Keep a login for the next commands",
		Long: `Reads a login token, asks the server whether it is valid, and keeps it in
$XDG_CONFIG_HOME/rollcall/login (usually ~/.config/rollcall/login), readable by
you alone. An admin makes the token with 'rollcall operator add NAME'; it also
says where the server is and which key it has.

The token is a secret. It is read from a file, from standard input, or typed at
a prompt, and never taken from the command line, which others can see.`,
		Example: `  rollcall login
  rollcall login --token-file kari.token
  ssh server rollcall-server operator add kari | rollcall login --token-file -`,
		Args: cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error { return a.logIn(c.Context(), file) },
	}
	c.Flags().StringVar(&file, "token-file", "", "read the token from `FILE`; - is standard input")
	return c
}

func (a *app) logIn(ctx context.Context, file string) error {
	text, err := a.readToken(ctx, file)
	if err != nil {
		return err
	}
	t, err := identity.ParseToken(identity.LoginPrefix, text)
	if err != nil {
		if strings.HasPrefix(text, identity.EnrolPrefix) {
			return cmdline.Hinted(cmdline.Usagef("log in: this is an enrolment token, for a machine"), "give it to 'rollcall-agent enrol' on the machine")
		}
		return cmdline.Usage(fmt.Errorf("log in: %w", err))
	}
	s, err := dial(t, "")
	if err != nil {
		return err
	}
	defer s.close()
	st, err := s.Status(ctx, &rollcallv1.StatusRequest{})
	if err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	name, err := a.saveLogin(text)
	if err != nil {
		return err
	}
	a.out.line("logged in at %s as %s (%s); kept in %s", strings.Join(t.URLs, ", "), st.GetOperator(), st.GetRole(), name)
	return nil
}

// readToken reads a token from the file, standard input or the prompt.
func (a *app) readToken(ctx context.Context, file string) (string, error) {
	var r io.Reader
	switch {
	case file == "" && a.secret != nil:
		text, err := a.secret(ctx, "login token (it is not shown): ")
		if err != nil {
			return "", fmt.Errorf("log in: read token: %w", err)
		}
		return strings.TrimSpace(text), nil
	case file == "" || file == "-":
		r = a.in
	default:
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("log in: %w", err)
		}
		defer f.Close() // opened for reading
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, maxTokenText))
	if err != nil {
		return "", fmt.Errorf("log in: read token: %w", err)
	}
	text := strings.TrimSpace(string(b))
	if text == "" {
		return "", cmdline.Hinted(cmdline.Usage(errors.New("log in: there is no token to read")), "rollcall login --token-file FILE")
	}
	return text, nil
}
