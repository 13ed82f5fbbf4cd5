package main

import (
	"cmp"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/server"
)

func backupCommand(o *options) *cobra.Command {
	var plain bool
	c := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy store and keys into one encrypted file, and verify it",
		Long: `Make FILE with a consistent copy of the store and the server's keys, encrypted with
age to every backup_recipient of the configuration. The server may run, reports
go on. The git mirror is not in it: it is made anew from the store.

The copy is checked as 'check' does before it is encrypted, and FILE is read back,
decrypted with a key that lives for this run only, and compared before it gets
its name. What cannot be verified is no backup, and a damaged store is none.
Meanwhile an unencrypted copy lies in the data folder: room for it is needed.

FILE holds the server's key and all configuration that is not sealed. It opens
with 'rollcall-server restore', or with plain 'age --decrypt' and 'tar'. Name two
recipients or more, whose private halves are kept in different places: if all
are lost, so are the backups.

With --plain, FOLDER is made instead: a data folder without encryption.`,
		Example: "  rollcall-server backup /backup/rollcall-$(date +%F).age\n  rollcall-server backup --plain /backup/rollcall-monday",
		Args:    cmdline.Exactly("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := o.load(c)
			if err != nil {
				return err
			}
			start := time.Now()
			if plain {
				rep, err := server.BackupPlain(c.Context(), cfg, args[0])
				if err != nil {
					return err
				}
				fmt.Fprintf(c.ErrOrStderr(), "backup made in %s and checked in %s; IT IS NOT ENCRYPTED and holds the server's key\n", args[0], time.Since(start).Round(time.Millisecond))
				return show(c, rep, false)
			}
			rep, err := server.Backup(c.Context(), cfg, args[0], version)
			if err != nil {
				return err
			}
			if err := show(c, rep.Report, false); err != nil {
				return err
			}
			describeBackup(c, args[0], rep)
			return nil
		},
	}
	c.Flags().BoolVar(&plain, "plain", false, "make an unencrypted folder instead")
	return c
}

// describeBackup says what was made, and what exactly was verified.
func describeBackup(c *cobra.Command, name string, rep server.BackupReport) {
	w := c.ErrOrStderr()
	fmt.Fprintf(w, "backup %s: %d bytes, SHA-256 %x, in %s (the copy beside running writes took %s)\n",
		name, rep.File.Bytes, rep.File.SHA256, rep.Took.Round(time.Millisecond), rep.Snapshot.Round(time.Millisecond))
	fmt.Fprintf(w, `verified: every record, fact set and content of the copy (%d records, %d revisions, the last of %s), and the evidence
log against the checkpoints that were signed (leaves and root: %s);
then FILE as it lies on the disk: it decrypts to the end, and %d members have the sizes and SHA-256 of the manifest.
not verified: that a private half of a recipient still exists. Try 'rollcall-server restore' on another machine now and then.
`, rep.Records, rep.Revisions, timeOr(rep.Last, "never"), cmp.Or(rep.Manifest.Log, "none yet"), len(rep.Manifest.Files))
	for _, r := range rep.Recipient {
		fmt.Fprintf(w, "opens with the private half of %s\n", r)
	}
	if len(rep.Recipient) < 2 {
		fmt.Fprintln(w, "WARNING: THERE IS ONLY ONE RECIPIENT. If its private half is lost, so is every backup. Add a second backup_recipient.")
	}
}

func timeOr(t time.Time, none string) string {
	if t.IsZero() {
		return none
	}
	return t.UTC().Format(time.DateTime) + " UTC"
}
