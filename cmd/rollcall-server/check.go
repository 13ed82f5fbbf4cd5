package main

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/server"
)

func checkCommand(o *options) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "check",
		Short: "Read everything in the store and the mirror and name what is damaged",
		Long: `Read every record, fact set and file content in the store, compare them with their
checksums and with what refers to them, follow every key's chain of reports, compare
the git mirror with the store, and name what is damaged and which rule of
docs/security.md it breaks. Nothing is changed. Where the server runs, a copy of the
store is made and checked, without the mirror. With --data, a backup can be checked.
Exit status 1 if anything is damaged.`,
		Example: "  rollcall-server check\n  rollcall-server check --data /backup/rollcall-monday",
		Args:    cmdline.Exactly(),
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
		fmt.Fprintf(c.OutOrStdout(), "%d CIs, %d revisions, %d fact sets, %d file contents, %d leaves of the log read: %d faults\n",
			rep.Items, rep.Revisions, rep.Sets, rep.Contents, rep.Leaves, len(rep.Faults))
	}
	if rep.Unreferenced > 0 && !asJSON {
		fmt.Fprintf(c.OutOrStdout(), "%d contents are named by no report yet, or by none any more: the server removes them after a day\n", rep.Unreferenced)
	}
	derived := func(f server.Fault) bool { return f.Rule == server.RuleMirror }
	switch n := len(rep.Faults); {
	case n > 0 && !slices.ContainsFunc(rep.Faults, func(f server.Fault) bool { return !derived(f) }):
		return fmt.Errorf("the mirror differs from the store in %d places: run rollcall-server rebuild-mirror", n)
	case n > 0:
		return fmt.Errorf("the store is damaged in %d places: restore a backup, agents send again what is newer", n)
	}
	return nil
}
