package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"rollcall/internal/identity"
	"rollcall/server"
	"rollcall/server/auth"

	"github.com/spf13/cobra"
)

func runCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Serve agents and operators until told to stop",
		Long: `Serve agents and operators until SIGINT or SIGTERM. What is running then is
finished first. Logs go to standard error, one JSON line each.`,
		Example: "  rollcall-server run --config /etc/rollcall/server.conf",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := o.load(c)
			if err != nil {
				return err
			}
			log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
			s, err := server.New(c.Context(), cfg, version, log)
			if err != nil {
				return err
			}
			return s.Run(c.Context(), nil)
		},
	}
}

func initCommand(o *options) *cobra.Command {
	var operator string
	c := &cobra.Command{
		Use:   "init",
		Short: "Make the data folder, the server's key and the first operator",
		Long: `Make the data folder with the server's key and an empty store, and the first
operator, an admin. Her login token is printed once: it is for 'rollcall login'.
A server that is there already is left as it is.`,
		Example: "  rollcall-server init --operator kari > kari.login",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := o.load(c)
			if err != nil {
				return err
			}
			if operator != "" && len(cfg.Addresses) == 0 { // before anything is made: init does nothing the second time
				return errors.New("init: the configuration has no address under which machines and operators reach this server: set address, or make no operator with --operator ''")
			}
			made, err := server.Init(c.Context(), cfg)
			if err != nil {
				return err
			}
			key, err := identity.LoadKey(cfg.KeyFile())
			if err != nil {
				return err
			}
			pin, err := identity.PinOf(identity.Public(key))
			if err != nil {
				return err
			}
			what := "there is a server already, it was left as it is"
			if made {
				what = "server made"
			}
			fmt.Fprintf(c.ErrOrStderr(), "%s in %s\nserver key %s\n", what, cfg.Data, pin)
			if !made || operator == "" {
				return nil
			}
			return addOperator(c, cfg, operator, auth.Admin)
		},
	}
	c.Flags().StringVar(&operator, "operator", "admin", "name of the first operator; empty: none")
	return c
}

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
		Args:    oneArg,
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
