package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/server"
)

func importCommand(o *options) *cobra.Command {
	var identity string
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "Fill an empty store with an export",
		Long: `Fill the store of a data folder with what 'export' wrote. The folder must hold the
keys of the server that it comes from (server.key and the others beside it), and
no store, or an empty one. Every record is verified, and the store is checked
before it takes its place; after an interruption the same command begins again.`,
		Example: "  rollcall-server import /backup/rollcall.export --identity recovery.key",
		Args:    cmdline.Exactly("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := o.load(c)
			if err != nil {
				return err
			}
			ids, err := identities(identity)
			if err != nil {
				return err
			}
			pairs, rep, err := server.Import(c.Context(), cfg, args[0], ids)
			if err != nil {
				return err
			}
			if err := show(c, rep, false); err != nil {
				return err
			}
			fmt.Fprintf(c.ErrOrStderr(), "%d pairs imported into %s; the git mirror is made anew when the server starts\n", pairs, cfg.Data)
			return nil
		},
	}
	c.Flags().StringVar(&identity, "identity", "", "`FILE` with the private key of a recipient")
	return c
}
