package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) logoutCommand() *cobra.Command {
	var everywhere bool
	c := &cobra.Command{
		Use:   "logout",
		Short: "End the session and forget the login",
		Long: `Ends the session that 'rollcall login --name' opened, with --everywhere all your
sessions on all computers, and removes the login that is kept. A login token stays
valid: an admin ends it with 'rollcall operator logout NAME --token'.`,
		Example: `  rollcall logout
  rollcall logout --everywhere`,
		Args: cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error { return a.logOut(c.Context(), everywhere) },
	}
	c.Flags().BoolVar(&everywhere, "everywhere", false, "end all your sessions")
	return c
}

func (a *app) logOut(ctx context.Context, everywhere bool) error {
	name, err := a.loginPath()
	if err != nil {
		return err
	}
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		a.err.line("rollcall: there is no login at %s", name)
		return nil
	}
	t, err := a.loadLogin()
	var ended error // what cannot be read leads to no session
	if err == nil && (everywhere || !t.Expiry.IsZero()) {
		ended = a.ask(func(s *server) error {
			_, err := s.Logout(ctx, &rollcallv1.LogoutRequest{Everywhere: everywhere})
			if status.Code(err) == codes.Unauthenticated {
				return nil // it has ended already
			}
			return err
		})
	}
	if err := os.Remove(name); err != nil {
		return fmt.Errorf("log out: %w", errors.Join(err, ended))
	}
	if ended != nil {
		return cmdline.Hinted(fmt.Errorf("log out: %s is gone, but the session is still open: %w", name, ended), "it ends by itself; an admin ends it at once with 'rollcall operator logout'")
	}
	a.out.line("logged out; %s is gone", name)
	return nil
}
