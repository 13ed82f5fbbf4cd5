package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/server"
)

func etckeeperCommand(o *options) *cobra.Command {
	var what server.Past
	c := &cobra.Command{
		Use:   "etckeeper FILE",
		Short: "Take in what etckeeper kept of a machine, as history of its CI",
		Long: `Takes in the history that etckeeper kept of a machine's /etc: each of its commits that
changed something becomes a revision of the CI, at the time of the commit, and a
commit of the git mirror. FILE is what "git fast-export HEAD" writes in the machine's
/etc, - for standard input.

Secrets, which etckeeper keeps in the clear, do not come in: of files that are secret by
their name or by what they hold there is a fingerprint, which shows that they changed.
Modes and owners are those that etckeeper noted.

The CI must be new: nothing can be put before a history that is there. Its trust class
is "unsigned" until the machine's agent takes it over: rollcall enrol token --ci NAME.
The same import may be repeated, after an interruption or with more commits. The server
must not run. Where there is a git mirror it is made anew, and clones of the school's
repository must be made anew if it held newer commits.`,
		Example: `  ssh root@tjener git -C /etc fast-export HEAD > tjener.export
  systemctl stop rollcall-server
  rollcall-server etckeeper tjener.export --name tjener --site elm/north
  systemctl start rollcall-server`,
		Args: cmdline.Exactly("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			if what.Name == "" {
				return cmdline.Usagef("etckeeper needs --name NAME, of the CI")
			}
			cfg, err := o.load(c)
			if err != nil {
				return err
			}
			var in io.Reader = c.InOrStdin()
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return fmt.Errorf("etckeeper: %w", err)
				}
				defer f.Close()
				in = f
			}
			rep, err := server.ImportEtckeeper(c.Context(), cfg, what, in)
			if err != nil {
				return err
			}
			day := func(t time.Time) string { return t.UTC().Format(time.DateOnly) }
			fmt.Fprintf(c.OutOrStdout(), "%s is CI %s: %d commits from %s to %s, %d revisions recorded, %d were there\n",
				what.Name, rep.CI, rep.Commits, day(rep.Oldest), day(rep.Newest), rep.Revisions, rep.Before)
			if rep.Withheld > 0 {
				fmt.Fprintf(c.OutOrStdout(), "%d secret files are known by fingerprints alone\n", rep.Withheld)
			}
			if rep.Rebuilt {
				fmt.Fprintln(c.OutOrStdout(), "the git mirror was made anew")
			}
			fmt.Fprintf(c.ErrOrStderr(), "rollcall-server: hint: its agent takes the CI over with: rollcall enrol token --ci %s\n", what.Name)
			return nil
		},
	}
	c.Flags().StringVar(&what.Name, "name", "", "`NAME` of the CI")
	c.Flags().StringVar(&what.Site, "site", "", "`SITE` where it stands, which must exist")
	c.Flags().StringVar(&what.Class, "class", "", "its `CLASS`; else its agent says it")
	return c
}
