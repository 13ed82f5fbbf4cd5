package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) passwordCommand() *cobra.Command {
	var keep bool
	c := &cobra.Command{
		Use:   "password",
		Short: "Give yourself a password, or another one",
		Long: `Gives you a password of 12 characters or more. The first one needs the login token
that an admin gave you; a session needs the old password too. All your sessions end,
and the login token, unless it is kept with --keep-token for a program that uses it:
log in again with 'rollcall login --name NAME'.

Passwords are typed at a prompt, the new one twice, or read as lines from standard
input: the old one, where a session asks, then the new one.`,
		Example: `  rollcall password
  rollcall password --keep-token`,
		Args: cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error { return a.changePassword(c.Context(), keep) },
	}
	c.Flags().BoolVar(&keep, "keep-token", false, "the login token stays valid")
	return c
}

func (a *app) changePassword(ctx context.Context, keep bool) error {
	t, err := a.loadLogin()
	if err != nil {
		return err
	}
	req := &rollcallv1.SetPasswordRequest{KeepToken: keep}
	if req.Old, req.New, err = a.readPasswords(ctx, !t.Expiry.IsZero()); err != nil {
		return fmt.Errorf("password: %w", err)
	}
	return a.ask(func(s *server) error {
		if _, err := s.SetPassword(ctx, req); err != nil {
			return fmt.Errorf("password: %w", err)
		}
		a.out.line("the password of %s is set; log in with it: rollcall login --name %s", t.ID, t.ID)
		return nil
	})
}

// readPasswords reads the old password, where it is asked for, and the new one.
func (a *app) readPasswords(ctx context.Context, session bool) (old, chosen string, err error) {
	if a.secret == nil {
		lines := bufio.NewReader(io.LimitReader(a.in, maxTokenText))
		if session {
			if old, err = lines.ReadString('\n'); err != nil {
				return "", "", cmdline.Usagef("standard input has two lines: the old password and the new one")
			}
		}
		chosen, err = lines.ReadString('\n')
		if chosen = strings.TrimRight(chosen, "\r\n"); chosen == "" {
			return "", "", cmdline.Usagef("there is no new password on standard input: %v", err)
		}
		return strings.TrimRight(old, "\r\n"), chosen, nil
	}
	if session {
		if old, err = a.secret(ctx, "old password: "); err != nil {
			return "", "", err
		}
	}
	if chosen, err = a.secret(ctx, "new password: "); err != nil {
		return "", "", err
	}
	again, err := a.secret(ctx, "new password again: ")
	if err == nil && again != chosen {
		err = cmdline.Usagef("the two new passwords differ")
	}
	return old, chosen, err
}
