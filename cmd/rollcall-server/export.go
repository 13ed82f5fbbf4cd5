package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/server"
)

func exportCommand(o *options) *cobra.Command {
	var plain bool
	c := &cobra.Command{
		Use:   "export FILE",
		Short: "Write the whole store in a form for any engine",
		Long: `Write every record of the store into FILE, sorted, with a checksum: to move a store to
another engine, to look at it with other programs, or to compare two. The same
records give the same bytes on every engine. The server may run; the snapshot is
checked first, and FILE is read back before it gets its name.

FILE is encrypted to every backup_recipient, unless --plain. The server's keys are
not in it: for a copy that a server can be restored from, use 'backup'.`,
		Example: "  rollcall-server export /backup/rollcall.export",
		Args:    cmdline.Exactly("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := o.load(c)
			if err != nil {
				return err
			}
			exp, err := server.Export(c.Context(), cfg, args[0], plain)
			if err != nil {
				return err
			}
			if err := show(c, exp.Report, false); err != nil {
				return err
			}
			fmt.Fprintf(c.ErrOrStderr(), "%d pairs in %s: %d bytes, SHA-256 %x\n", exp.Pairs, args[0], exp.File.Bytes, exp.File.SHA256)
			return nil
		},
	}
	c.Flags().BoolVar(&plain, "plain", false, "do not encrypt it")
	return c
}
