package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) operatorLogoutCommand() *cobra.Command {
	req := &rollcallv1.EndLoginsRequest{}
	c := &cobra.Command{
		Use:   "logout NAME",
		Short: "End an operator's sessions, login token or password",
		Long: `Ends all sessions of an operator at once; with --token also the login token, with
--password also the password. The roles stay: 'rollcall operator add' gives a new
login.`,
		Example: `  rollcall operator logout kari
  rollcall operator logout robot --token`,
		Args: cmdline.Exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			req.Name = args[0]
			return a.ask(func(s *server) error {
				if _, err := s.EndLogins(c.Context(), req); err != nil {
					return fmt.Errorf("log operator out: %w", err)
				}
				a.out.line("logged %s out", args[0])
				return nil
			})
		},
	}
	c.Flags().BoolVar(&req.Token, "token", false, "also end the login token")
	c.Flags().BoolVar(&req.Password, "password", false, "also end the password")
	return c
}
