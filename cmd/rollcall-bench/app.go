package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
)

// app is what the commands share.
type app struct {
	out, err io.Writer
	sniffer  sniffer
}

func newApp() *app { return &app{out: os.Stdout, err: os.Stderr} }

// run does what the arguments say and returns the exit status.
func (a *app) run(ctx context.Context, args []string) int {
	c := a.command()
	c.SetArgs(args)
	err := c.ExecuteContext(ctx)
	if err != nil {
		cmdline.Complain(a.err, c.Name(), err, "")
	}
	return cmdline.Exit(err)
}

func (a *app) command() *cobra.Command {
	c := &cobra.Command{
		Use:   "rollcall-bench",
		Short: "Measure Rollcall with real agents, reports and questions",
		Long: `rollcall-bench lets real agents, or a simulated fleet, report to a real server in
a temporary folder and asks it questions. Progress goes to standard error, the
result to standard output or to a file. Nothing outside its folder is touched.

Exit status: 0 if all went well, 1 for a failure, 2 for a usage error.`,
		Example:      "  rollcall-bench simulate --machines 500\n  rollcall-bench questions --machines 1000\n  rollcall-bench puzzles /tmp/cases",
		SilenceUsage: true, SilenceErrors: true, Version: version,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	c.SetOut(a.out)
	c.SetErr(a.err)
	c.AddCommand(a.simulateCommand(), a.questionsCommand(), a.peerCommand(), a.puzzlesCommand(), a.versionCommand(), cmdline.Completion(c.Name(), "commands and flags"))
	cmdline.Strict(c)
	return c
}

// document writes v as JSON.
func document(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// say tells on standard error how far it is.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.err, format+"\n", args...) }
