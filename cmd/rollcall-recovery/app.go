package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/conf"
	"rollcall/internal/seal"
)

// app is what the commands share.
type app struct {
	in       io.Reader
	out, err io.Writer
	now      func() time.Time
	random   io.Reader
}

// run does what the arguments say and returns the exit status.
func (a *app) run(args []string) int {
	c := a.command()
	c.SetArgs(args)
	err := c.Execute()
	if err != nil {
		cmdline.Complain(a.err, c.Name(), err, hint(err))
	}
	return cmdline.Exit(err)
}

func (a *app) command() *cobra.Command {
	c := &cobra.Command{
		Use:   "rollcall-recovery",
		Short: "Make, keep and use the keys that open sealed secrets",
		Long: `rollcall-recovery is for a machine that is on no network. The agents seal secrets
of /etc to recipients; this program makes the identities that belong to them,
splits an identity into shares for paper, joins shares again, checks that all of
it works, and opens what was sealed. It also signs what agents may collect.

A private key is never printed unless that is asked for, and is only read from
files that nobody else may read.

Exit status: 0 if all went well, 1 for a failure, 2 for a usage error.`,
		Example: `  rollcall-recovery make --out school.key
  rollcall-recovery split --shares 5 --need 3 --out-dir /media/usb school.key
  rollcall-recovery join --out again.key
  rollcall-recovery check school.key --sealed shadow.age`,
		SilenceUsage: true, SilenceErrors: true, Version: version,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	c.SetIn(a.in)
	c.SetOut(a.out)
	c.SetErr(a.err)
	c.AddCommand(
		a.makeCommand(), a.showCommand(), a.splitCommand(), a.joinCommand(), a.checkCommand(), a.openCommand(), a.rewrapCommand(),
		a.radarKeyCommand(), a.policyCommand(), a.versionCommand(), cmdline.Completion(c.Name(), "commands and flags"),
	)
	cmdline.Strict(c)
	return c
}

// hint says what to do about an error, where that is known.
func hint(err error) string {
	switch {
	case errors.Is(err, fs.ErrExist):
		return "keys are never overwritten; name another file"
	case errors.Is(err, seal.ErrNoIdentity):
		return "'rollcall-recovery show IDENTITY' prints whose recipient it is"
	}
	return ""
}

// identities reads a file with one or more private keys.
func identities(name string) (seal.Identities, error) {
	text, err := conf.ReadSecret(name)
	if err != nil {
		return seal.Identities{}, err
	}
	defer clear(text)
	ids, err := seal.ParseIdentities(bytes.NewReader(text))
	if err != nil {
		return seal.Identities{}, fmt.Errorf("%s: %w", name, err)
	}
	return ids, nil
}

// writeNew makes a file for its user alone, durably, and never overwrites one.
func writeNew(name string, content []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write: %w", errors.Join(err, os.Remove(name)))
	}
	return nil
}

// terminal tells whether people look at w.
func terminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// document writes v as JSON.
func (a *app) document(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

func (a *app) say(format string, args ...any) { fmt.Fprintf(a.out, format+"\n", args...) }
