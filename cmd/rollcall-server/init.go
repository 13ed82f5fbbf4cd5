package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/identity"
	"rollcall/server"
	"rollcall/server/auth"
)

func initCommand(o *options) *cobra.Command {
	var operator string
	c := &cobra.Command{
		Use:   "init",
		Short: "Make the data folder, the server's key and the first operator",
		Long: `Make the data folder with the server's key and an empty store, and the first
operator, who holds every role. Her login token is printed once: it is for
'rollcall login'. A server that is there already is left as it is.`,
		Example: "  rollcall-server init --operator kari > kari.login",
		Args:    cmdline.Exactly(),
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
			return addOperator(c, cfg, operator, auth.Everywhere(auth.Roles...)...)
		},
	}
	c.Flags().StringVar(&operator, "operator", "admin", "name of the first operator; empty: none")
	return c
}
