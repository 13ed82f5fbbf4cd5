package main

import (
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/server"
)

func pruneCommand(o *options) *cobra.Command {
	var dry, yes, asJSON bool
	c := &cobra.Command{
		Use:   "prune {--dry-run | --yes}",
		Short: "Remove the history that the configuration does not keep",
		Long: `Remove revisions that are older than keep_history and signed reports that are older
than keep_envelopes, as the configuration says; without these keys nothing is. A
running server does the same every day: this is for seeing what it would do, and
for doing it at once. The server must be stopped.

Of each CI the newest revision before the limit stays: the state from which its
kept history begins. Contents and fact sets that no kept revision names go as well.
For evidence stay, for ever: the leaves of the log, the receipts and the hashes of
all reports. The git mirror is made anew when the server starts.`,
		Example: "  rollcall-server prune --dry-run\n  systemctl stop rollcall-server && rollcall-server prune --yes && rollcall-server compact",
		Args:    cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := o.load(c)
			if err != nil {
				return err
			}
			if dry == yes {
				return cmdline.Usagef("prune: say --dry-run to see what would go, or --yes to remove it")
			}
			p, err := server.Prune(c.Context(), cfg, dry, slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil)))
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(p)
			}
			did := "removed"
			if dry {
				did = "would remove"
			}
			fmt.Fprintf(c.OutOrStdout(), "history before %s, reports before %s: %s %d revisions of %d CIs, %d signed reports",
				timeOr(p.History, "the beginning"), timeOr(p.Envelopes, "the beginning"), did, p.Revisions, p.CIs, p.Reports)
			if !dry {
				fmt.Fprintf(c.OutOrStdout(), ", %d contents", p.Contents)
			}
			fmt.Fprintln(c.OutOrStdout())
			return nil
		},
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "only say what would go")
	c.Flags().BoolVar(&yes, "yes", false, "remove it")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
