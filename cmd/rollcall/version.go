package main

import (
	"runtime"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

type versionJSON struct {
	Program string  `json:"program"`
	Go      string  `json:"go"`
	Server  *string `json:"server"` // null: not logged in, or not reached
}

func (a *app) versionCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Show the versions of this program and of the server",
		Long: `Shows the version of this program and, where you are logged in, of the server.
A server that cannot be reached is no failure here.

As JSON: {"program", "go", "server"}; "server" is null where it is not known.`,
		Example: `  rollcall version`,
		Args:    cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			v := versionJSON{Program: version, Go: runtime.Version()}
			failure := a.ask(func(s *server) error {
				st, err := s.Status(c.Context(), &rollcallv1.StatusRequest{})
				if err == nil {
					v.Server = &st.Version
				}
				return err
			})
			if asJSON {
				return a.document(v)
			}
			a.out.line("rollcall %s (%s)", v.Program, v.Go)
			if v.Server != nil {
				a.out.line("server   %s", *v.Server)
			} else {
				a.err.line("rollcall: version of the server: %s", firstLine(told(failure)))
			}
			return nil
		},
	}
	jsonFlag(c, &asJSON)
	return c
}
