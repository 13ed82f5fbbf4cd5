package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"time"

	"rollcall/server"

	"github.com/spf13/cobra"
)

func checkCommand(o *options) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "check",
		Short: "Read everything in the store and name what is damaged",
		Long: `Read every record, fact set and file content in the store, compare them with their
checksums and with what refers to them, and name what is damaged. Nothing is
changed. Where the server runs, a copy is made and checked. With --data, a backup
can be checked. Exit status 1 if anything is damaged.`,
		Example: "  rollcall-server check\n  rollcall-server check --data /backup/rollcall-monday",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := o.load(c)
			if err != nil {
				return err
			}
			rep, err := server.CheckData(c.Context(), cfg)
			if err != nil {
				return err
			}
			return show(c, rep, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// show prints a report; damage is an error.
func show(c *cobra.Command, rep server.Report, asJSON bool) error {
	if asJSON {
		if err := json.NewEncoder(c.OutOrStdout()).Encode(rep); err != nil {
			return err
		}
	} else {
		for _, f := range rep.Faults {
			fmt.Fprintln(c.OutOrStdout(), f)
		}
		fmt.Fprintf(c.OutOrStdout(), "%d CIs, %d revisions, %d fact sets, %d file contents read: %d faults\n",
			rep.Items, rep.Revisions, rep.Sets, rep.Contents, len(rep.Faults))
	}
	if len(rep.Faults) > 0 {
		return fmt.Errorf("the store is damaged in %d places: restore a backup, agents send again what is newer", len(rep.Faults))
	}
	return nil
}

func backupCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "backup FOLDER",
		Short: "Copy store and key to a new folder, and check the copy",
		Long: `Make FOLDER with a consistent copy of the store and the server's key, and check it.
The server may run. FOLDER is a data folder: 'rollcall-server run --data FOLDER'
runs from it. The git mirror is not in it: 'rebuild-mirror' makes it anew.

FOLDER holds the server's key. Keep it where only you can read it.`,
		Example: "  rollcall-server backup /backup/rollcall-monday",
		Args:    oneArg,
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

func rebuildCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "rebuild-mirror",
		Short: "Make the git mirror anew from the store",
		Long: `Render every revision of the store into new git repositories and put them in the
place of the old ones. The commits get the ids that they had. The server must be
stopped.`,
		Example: "  systemctl stop rollcall-server && rollcall-server rebuild-mirror",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := o.load(c)
			if err != nil {
				return err
			}
			start := time.Now()
			if err := server.RebuildMirror(c.Context(), cfg, slog.New(slog.NewTextHandler(os.Stderr, nil))); err != nil {
				return err
			}
			fmt.Fprintf(c.ErrOrStderr(), "mirror made anew in %s\n", time.Since(start).Round(time.Millisecond))
			return nil
		},
	}
}
