package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/seal"
)

func (a *app) makeCommand() *cobra.Command {
	var out string
	var hybrid bool
	c := &cobra.Command{
		Use:   "make",
		Short: "Make an identity, the private half of a recipient",
		Long: `Makes a new age identity in a new file that nobody else may read, and prints its
recipient: the line that goes into agent.conf of every machine. Make at least two
on different days for different people, and split each: a lost identity opens
nothing any more.

--post-quantum makes one that also withstands the computers of the future; its
sealed files are 1.5 KiB larger, and the age of Debian 12 does not open them. All
recipients of a machine must be of one kind.`,
		Example: "  rollcall-recovery make --out school.key\n  rollcall-recovery make --post-quantum --out school-pq.key",
		Args:    cmdline.Exactly(),
		RunE: func(*cobra.Command, []string) error {
			if out == "" {
				return cmdline.Usagef("make needs --out FILE for the private key")
			}
			generate := seal.GenerateIdentity
			if hybrid {
				generate = seal.GenerateHybridIdentity
			}
			private, public := generate()
			if err := writeNew(out, identityFile(private, public, a.now())); err != nil {
				return err
			}
			a.say("recipient = %s", public)
			fmt.Fprintf(a.err, "rollcall-recovery: the private key is in %s; split it before anything is sealed to it\n", out)
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "", "new file for the private key")
	c.Flags().BoolVar(&hybrid, "post-quantum", false, "make a hybrid key")
	return c
}

// identityFile is the form in which age-keygen writes an identity.
func identityFile(private, public string, at time.Time) []byte {
	return fmt.Appendf(nil, "# created: %s\n# public key: %s\n%s\n", at.UTC().Format(time.RFC3339), public, private)
}
