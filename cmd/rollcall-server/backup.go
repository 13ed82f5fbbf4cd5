package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/server"
)

func backupCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "backup FOLDER",
		Short: "Copy store and key to a new folder, and check the copy",
		Long: `Make FOLDER with a consistent copy of the store and the server's key, and check it.
The server may run. FOLDER is a data folder: 'rollcall-server run --data FOLDER'
runs from it. The git mirror is not in it: 'rebuild-mirror' makes it anew.

FOLDER holds the server's key. Keep it where only you can read it.`,
		Example: "  rollcall-server backup /backup/rollcall-monday",
		Args:    cmdline.Exactly("FOLDER"),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := o.load(c)
			if err != nil {
				return err
			}
			start := time.Now()
			rep, err := server.Backup(c.Context(), cfg, args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(c.ErrOrStderr(), "backup made in %s and checked in %s\n", args[0], time.Since(start).Round(time.Millisecond))
			return show(c, rep, false)
		},
	}
}
