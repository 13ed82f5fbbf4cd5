package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/server"
	"rollcall/server/auth"
)

func operatorAdd(o *options) *cobra.Command {
	var role string
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "Admit an operator and print her login token",
		Long: `Admit an operator, or give one a new role and login, and print the login token for
'rollcall login'. It is shown once. The server may run. Roles: viewer asks,
operator also reads files, declares, compares and admits machines, admin also
decides about sites and operators.`,
		Example: "  rollcall-server operator add --role operator ola > ola.login",
		Args:    cmdline.Exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := o.load(c)
			if err != nil {
				return err
			}
			return addOperator(c, cfg, args[0], auth.Role(role))
		},
	}
	c.Flags().StringVar(&role, "role", string(auth.Worker), "viewer, operator or admin")
	return c
}

func addOperator(c *cobra.Command, cfg server.Config, name string, role auth.Role) error {
	token, err := server.AddOperator(c.Context(), cfg, name, role)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.ErrOrStderr(), "login token of %s (%s), shown once, for 'rollcall login':\n", name, role)
	fmt.Fprintln(c.OutOrStdout(), token)
	return nil
}
