package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/server"
)

func switchKeyCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "switch-key",
		Short: "Put the next key to use",
		Long: `Put the key to use that 'next-key' made and announced, and destroy the old one.
The server must not run. CIs, keys of machines and the installation's realm stay.

Machines that know the pin go on; they never believe the old key again. All others
stop and spool until their configuration tells them the pin. Operators log in
anew. Make a backup afterwards: one of before brings the old key back, which
nobody believes any more.`,
		Example: "  systemctl stop rollcall-server && rollcall-server switch-key && systemctl start rollcall-server",
		Args:    cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := o.load(c)
			if err != nil {
				return err
			}
			pin, err := server.SwitchKey(c.Context(), cfg)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.ErrOrStderr(), "the server has a new key\nserver key %s\n", pin)
			return nil
		},
	}
}
