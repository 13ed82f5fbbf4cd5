package main

import (
	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
)

func completionCommand() *cobra.Command {
	return cmdline.Completion("rollcall", "commands, flags and,\nwhere you are logged in, the names of CIs, sites and files")
}
