package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"rollcall/agent"
	"rollcall/agent/spool"
	"rollcall/cmd/internal/cmdline"
)

func (a *app) rotateCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "rotate",
		Short: "Replace this machine's key by a new one",
		Long: `Replaces this machine's key: the old one signs that the new one takes its place,
and the server switches in one step. The CI, its history and what it may stay as
they are; both keys are kept as evidence on the server. An interruption at any
point leaves one key that works.

The agent does this by itself once a year. Where its service runs, this asks it to
do it at its next look.`,
		Example: "  rollcall-agent rotate",
		Args:    cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := a.settings()
			if err != nil {
				return err
			}
			log := slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
			ag, err := agent.Open(cfg, agent.Deps{Log: log, Fence: a.fence, Version: version})
			if errors.Is(err, spool.ErrBusy) {
				if err := agent.AskRotation(cfg); err != nil {
					return err
				}
				return a.rotated(rotation{Asked: true}, asJSON)
			}
			if err != nil {
				return err
			}
			words, err := ag.Rotate(c.Context())
			if err = errors.Join(err, ag.Close()); err != nil {
				return err
			}
			return a.rotated(rotation{Words: words}, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// rotation is what became of a rotation.
type rotation struct {
	Asked bool   `json:"asked"` // the service does it at its next look
	Words string `json:"words,omitempty"`
}

func (a *app) rotated(r rotation, asJSON bool) error {
	switch {
	case asJSON:
		return a.document(r)
	case r.Asked:
		fmt.Fprintln(a.out, "the service was asked to replace the key at its next look")
	default:
		fmt.Fprintf(a.out, "the key was replaced; key words: %s\n", r.Words)
	}
	return nil
}
