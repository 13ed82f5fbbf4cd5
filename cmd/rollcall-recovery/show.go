package main

import (
	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/identity"
)

func (a *app) showCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "show IDENTITY",
		Aliases: []string{"recipient"},
		Short:   "Show the recipient of an identity",
		Long: `Prints the public half of each private key in a file, and its words, by which two
people compare it by voice. It prints nothing of the private key.`,
		Example: "  rollcall-recovery show school.key",
		Args:    cmdline.Exactly("IDENTITY"),
		RunE: func(_ *cobra.Command, args []string) error {
			ids, err := identities(args[0])
			if err != nil {
				return err
			}
			type half struct {
				Recipient string `json:"recipient"`
				Words     string `json:"words"`
			}
			var all []half
			for _, r := range ids.Recipients() {
				all = append(all, half{r, identity.WordsOf([]byte(r))})
			}
			if asJSON {
				return a.document(all)
			}
			for _, h := range all {
				a.say("recipient  %s\nwords      %s", h.Recipient, h.Words)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
