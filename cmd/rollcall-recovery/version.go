package main

import (
	"runtime"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
)

func (a *app) versionCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "version",
		Short:   "Show the version of this program",
		Long:    `Shows the version of this program and of the Go runtime that it was built with.`,
		Example: "  rollcall-recovery version",
		Args:    cmdline.Exactly(),
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return a.document(map[string]string{"program": version, "go": runtime.Version()})
			}
			a.say("rollcall-recovery %s (%s)", version, runtime.Version())
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
