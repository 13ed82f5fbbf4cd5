package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/server"
)

func compactCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "compact",
		Short: "Write the store anew without what was deleted",
		Long: `Write the store anew without its free pages, check it, and put it in the place of
the old one. Until then, what was erased or pruned lies in these pages, for whoever
reads the file itself; and the file never gets smaller. The server must be
stopped; there must be room for a second store in the data folder.

Old blocks of the disk are not overwritten: that is for the disk's own encryption.`,
		Example: "  systemctl stop rollcall-server && rollcall-server compact",
		Args:    cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := o.load(c)
			if err != nil {
				return err
			}
			done, rep, err := server.Compact(c.Context(), cfg)
			if err != nil {
				return err
			}
			if err := show(c, rep, false); err != nil {
				return err
			}
			fmt.Fprintf(c.ErrOrStderr(), "from %d to %d bytes\n", done.Before, done.After)
			return nil
		},
	}
}
