package main

import (
	"context"
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
	var p passwordLogin
	c := &cobra.Command{
		Use:   "login [SERVER] [--name NAME] [--token-file FILE|-]",
		Short: "Keep a login for the next commands",
		Long: `Reads a login token, asks the server whether it is valid, and keeps it in
$XDG_CONFIG_HOME/rollcall/login (usually ~/.config/rollcall/login), readable by
you alone. An admin makes the token with 'rollcall operator add NAME'; it also
says where the server is and which key it has. Then 'rollcall password' replaces
the token with a password.

With --name it asks for that operator's password and keeps a session, which ends
after eight hours and after a pause of half an hour, unless the server is configured
otherwise. SERVER is host:port; without it, the server of the login that is kept.
--pin is the server's key, as 'rollcall status --json' and 'rollcall-server init'
show it: there is no way to log in at a server whose key is not known.

Token and password are secrets. They are read from a file, from standard input, or
typed at a prompt, and never taken from the command line, which others can see.`,
		Example: `  rollcall login
  rollcall login --token-file kari.token
  rollcall login tjener.intern:7465 --name kari --pin sha256:Y2Fy…
  rollcall login --name kari
  ssh server rollcall-server operator add kari | rollcall login --token-file -`,
		Args: cmdline.AtMost("SERVER"),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case p.name != "" && file != "":
				return cmdline.Usagef("log in: --name and --token-file do not go together")
			case p.name != "":
				if len(args) > 0 {
					p.address = args[0]
				}
				return a.logInAs(c.Context(), p)
			case len(args) > 0 || p.pin != "" || p.file != "":
				return cmdline.Usagef("log in: who are you? --name NAME goes with a server, a pin and a password")
			}
			return a.logIn(c.Context(), file)
		},
	}
	c.Flags().StringVar(&file, "token-file", "", "read the token from `FILE`; - is standard input")
	c.Flags().StringVar(&p.name, "name", "", "log in with the password of the operator `NAME`")
	c.Flags().StringVar(&p.pin, "pin", "", "the server's key: sha256:`DIGEST`")
	c.Flags().StringVar(&p.file, "password-file", "", "read the password from `FILE`; - is standard input")
	return c
}

func (a *app) logIn(ctx context.Context, file string) error {
	text, err := a.readSecret(ctx, file, "token")
	if err != nil {
		return fmt.Errorf("log in: %w", err)
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

// readSecret reads a secret from the file, standard input or the prompt.
func (a *app) readSecret(ctx context.Context, file, what string) (string, error) {
	var r io.Reader
	switch {
	case file == "" && a.secret != nil:
		text, err := a.secret(ctx, "login "+what+" (it is not shown): ")
		if err != nil {
			return "", fmt.Errorf("read %s: %w", what, err)
		}
		return strings.TrimSpace(text), nil
	case file == "" || file == "-":
		r = a.in
	default:
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("read %s: %w", what, err)
		}
		defer f.Close() // opened for reading
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, maxTokenText))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", what, err)
	}
	text := strings.TrimSpace(string(b))
	if text == "" {
		return "", cmdline.Hinted(cmdline.Usagef("there is no %s to read", what), "rollcall login --%s-file FILE", what)
	}
	return text, nil
}
