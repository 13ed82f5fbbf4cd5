package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/seal"
	"rollcall/server"
	"rollcall/server/archive"
)

func restoreCommand(o *options) *cobra.Command {
	var identity string
	c := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make the data folder anew from a backup",
		Long: `Make an empty data folder into the one that FILE was made of: the store and the
server's keys. FILE is decrypted with the private key of one of its recipients.
Everything is verified before it takes its place: each member against the
manifest, the store as 'check' does. A folder that holds anything is refused;
after an interruption the same command begins again.

Machines know this server by its key and notice by themselves that it is older:
they send again what they have reported since, up to seven days. What people
decided since the backup is lost and must be done again.

The private key is needed here and now only: remove the file afterwards.`,
		Example: "  rollcall-server restore /backup/rollcall-monday.age --identity /run/user/0/recovery.key",
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
			start := time.Now()
			m, rep, err := server.Restore(c.Context(), cfg, args[0], ids)
			if err != nil {
				return err
			}
			if err := show(c, rep, false); err != nil {
				return err
			}
			describeRestore(c, cfg, m, time.Since(start), time.Now())
			return nil
		},
	}
	c.Flags().StringVar(&identity, "identity", "", "`FILE` with the private key of a recipient")
	return c
}

// identities reads a file of private keys; none is named for what is plain.
func identities(name string) (seal.Identities, error) {
	if name == "" {
		return seal.Identities{}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return seal.Identities{}, fmt.Errorf("read identities: %w", err)
	}
	ids, err := seal.ParseIdentities(f)
	return ids, errors.Join(err, f.Close())
}

func describeRestore(c *cobra.Command, cfg server.Config, m archive.Manifest, took time.Duration, now time.Time) {
	fmt.Fprintf(c.ErrOrStderr(), `restored into %s in %s: the server with key %s
as it was at %s, %s ago; its newest change is of %s

LOST: what people did with 'rollcall' after that time: CIs changed or approved, sites, tokens, operators. Do it again.
Machines enrolled after it must be enrolled again; keys revoked after it speak again until you revoke them again.
The evidence log ends earlier than its witnesses have seen, and has a leaf that tells of this restore: they will say
so, and the auditor should know why.
NEXT: start the server. It renders the git mirror anew. Machines notice within their interval (an hour unless
configured) that the server is older, and send again what they have reported in the last seven days; one that has
been silent for longer, or runs without a disk, sends its present state, and says so in the reason of that revision.
Until all live machines have been heard ('rollcall status'), what you see of them may be old.
`, cfg.Data, took.Round(time.Millisecond), m.Pin, timeOr(m.Made, "an unknown time"), ago(now.Sub(m.Made)), timeOr(m.Last, "never"))
}

// ago says a duration as people do.
func ago(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d seconds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
