package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/server"
)

func nextKeyCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "next-key",
		Short: "Make the key that the server will have, and print its pin",
		Long: `Make the key that this server will have after 'switch-key', if there is none yet,
and print its pin. The server may run. From now on each token carries the pin, so
that machines and operators who come with one know it.

Machines that are enrolled already learn it from their own configuration alone,
next_pin in /etc/rollcall/agent.conf, brought there by whoever manages it, or from a
policy that somebody signed on a machine without a network. The server cannot tell
them: whoever took it over could, too. Leave a month or so
between announcing and switching.`,
		Example: "  rollcall-server next-key",
		Args:    cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := o.load(c)
			if err != nil {
				return err
			}
			pin, made, err := server.NextKey(cfg)
			if err != nil {
				return err
			}
			what := "this key was announced before"
			if made {
				what = "next key made"
			}
			fmt.Fprintf(c.ErrOrStderr(), "%s; put this into agent.conf of every machine, as next_pin, before 'rollcall-server switch-key':\n", what)
			fmt.Fprintln(c.OutOrStdout(), pin)
			return nil
		},
	}
}
