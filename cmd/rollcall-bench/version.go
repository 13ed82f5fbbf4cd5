package main

import (
	"fmt"
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
		Example: "  rollcall-bench version",
		Args:    cmdline.Exactly(),
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return document(a.out, map[string]string{"program": version, "go": runtime.Version()})
			}
			_, err := fmt.Fprintf(a.out, "rollcall-bench %s (%s)\n", version, runtime.Version())
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
