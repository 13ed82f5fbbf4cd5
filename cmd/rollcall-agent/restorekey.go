package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"rollcall/agent"
	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/identity"
)

func (a *app) restoreKeyCommand() *cobra.Command {
	var remove, asJSON bool
	c := &cobra.Command{
		Use:   "restore-key",
		Short: "Show this machine's key for a restore, and its words",
		Long: `Shows the recipient of a key that this machine makes for itself, and its words.
With it sealed files can be restored while the identity that opens them stays on a
machine without a network: 'restore --sealed-out' asks, 'rollcall-recovery rewrap'
there answers, 'restore --sealed-in' takes the answer. The words are typed in at
rewrap; read them from this machine's console, so that nobody between can put his
own key in the place of this one.

--remove removes the key; answers that were made for it open no more.`,
		Example: "  rollcall-agent restore-key\n  rollcall-agent restore-key --remove",
		Args:    cmdline.Exactly(),
		RunE: func(*cobra.Command, []string) error {
			a.stateInRoot()
			cfg, err := a.settings()
			if err != nil {
				return err
			}
			if remove {
				return agent.RemoveRestoreKey(cfg)
			}
			_, recipient, err := agent.RestoreKey(cfg)
			if err != nil {
				return err
			}
			words := identity.WordsOf([]byte(recipient))
			if asJSON {
				return a.document(map[string]string{"recipient": recipient, "words": words})
			}
			_, err = fmt.Fprintf(a.out, "recipient  %s\nwords      %s\n", recipient, words)
			return err
		},
	}
	c.Flags().BoolVar(&remove, "remove", false, "remove the key")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// stateInRoot keeps the state of a mounted root in that root, unless another
// folder is named.
func (a *app) stateInRoot() {
	if a.root != "" && a.root != "/" && a.state == "" {
		a.state = filepath.Join(a.root, "var/lib/rollcall")
	}
}
