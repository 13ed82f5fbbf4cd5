package main

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/conf"
	"rollcall/server"
)

func rebuildCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "rebuild-mirror",
		Short: "Make the git mirror anew from the store",
		Long: `Render every revision of the store into new git repositories and put them in the
place of the old ones. The commits get the ids that they had. The server must be
stopped.`,
		Example: "  systemctl stop rollcall-server && rollcall-server rebuild-mirror",
		Args:    cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := o.load(c)
			if err != nil {
				return err
			}
			if err := conf.CheckOwner(cfg.Data); err != nil {
				return err
			}
			start := time.Now()
			if err := server.RebuildMirror(c.Context(), cfg, slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil))); err != nil {
				return err
			}
			fmt.Fprintf(c.ErrOrStderr(), "mirror made anew in %s\n", time.Since(start).Round(time.Millisecond))
			return nil
		},
	}
}
