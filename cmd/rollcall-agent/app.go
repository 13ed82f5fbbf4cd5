package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"rollcall/agent"
	"rollcall/agent/restore"
	"rollcall/agent/spool"
	"rollcall/agent/uplink"
	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/conf"
	"rollcall/internal/fence"
	"rollcall/internal/identity"
)

const defaultConfig = "/etc/rollcall/agent.conf"

// app is what the commands share.
type app struct {
	in       io.Reader
	out, err io.Writer

	config, state, root string       // persistent flags
	fence               *fence.State // of this process; nil in tests, which cannot be shut in
}

func newApp() *app { return &app{in: os.Stdin, out: os.Stdout, err: os.Stderr} }

// run does what the arguments say and returns the exit status.
func (a *app) run(ctx context.Context, args []string) int {
	c := a.command()
	c.SetArgs(args)
	err := c.ExecuteContext(ctx)
	if err != nil {
		cmdline.Complain(a.err, c.Name(), err, hint(err))
	}
	return cmdline.Exit(err)
}

func (a *app) command() *cobra.Command {
	c := &cobra.Command{
		Use:   "rollcall-agent",
		Short: "Take the inventory of this machine and report it",
		Long: `rollcall-agent takes the inventory of a machine (hardware, packages, services,
/etc) and reports what changed to a Rollcall server. It runs no program, listens
on nothing and changes nothing but its own state folder; only "restore --apply"
writes below /etc.

Exit status: 0 if all went well, 1 for a failure, 2 for a usage error.`,
		Example:      "  rollcall-agent enrol --token-file token\n  rollcall-agent once\n  rollcall-agent status",
		SilenceUsage: true, SilenceErrors: true, Version: version,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	c.SetIn(a.in)
	c.SetOut(a.out)
	c.SetErr(a.err)
	f := c.PersistentFlags()
	f.StringVar(&a.config, "config", "", "configuration file (default "+defaultConfig+", which may be missing)")
	f.StringVar(&a.state, "state", "", "state folder, instead of the configured one")
	f.StringVar(&a.root, "root", "", "folder of a mounted or recorded machine, instead of /; it needs a --state of its own")
	c.AddCommand(
		a.runCommand(), a.onceCommand(), a.enrolCommand(), a.rotateCommand(), a.statusCommand(), a.exportCommand(), a.importCommand(), a.restoreCommand(), a.restoreKeyCommand(), a.imageCommand(), a.versionCommand(),
		cmdline.Completion(c.Name(), "commands and flags"),
	)
	cmdline.Strict(c)
	return c
}

// settings reads the configuration and puts the flags over it.
func (a *app) settings() (agent.Config, error) {
	c := agent.Default()
	file := a.config
	if file == "" {
		file = defaultConfig
	}
	err := conf.Load(file, &c)
	if err != nil && (a.config != "" || !errors.Is(err, fs.ErrNotExist)) {
		return c, err
	}
	if a.root != "" {
		if c.Root, err = filepath.Abs(a.root); err != nil {
			return c, fmt.Errorf("root: %w", err)
		}
		if c.Root != "/" && a.state == "" {
			return c, cmdline.Usagef("--root needs --state: another machine's state is not this one's")
		}
	}
	if a.state != "" {
		if c.State, err = filepath.Abs(a.state); err != nil {
			return c, fmt.Errorf("state: %w", err)
		}
	}
	return c, c.Validate()
}

// hint says what to do about an error, where that is known.
func hint(err error) string {
	for _, h := range []struct {
		class error
		hint  string
	}{
		{agent.ErrNotEnrolled, "an operator makes a token with: rollcall enrol token; then: rollcall-agent enrol --token-file FILE"},
		{agent.ErrElsewhere, "an operator makes a token with: rollcall enrol token, or rollcall enrol token --ci NAME if it takes the other machine's place; then: rollcall-agent enrol --token-file FILE"},
		{agent.ErrSecretToken, "an operator makes one with: rollcall enrol token --netboot --site SITE --class diskless --net CIDR"},
		{agent.ErrNotDelivered, "report the image first: rollcall-agent once --root FOLDER --state STATE"},
		{agent.ErrWaiting, "is the server reachable? 'rollcall-agent status' shows what waits"},
		{spool.ErrBusy, "stop the service, or wait: systemctl stop rollcall-agent"},
		{identity.ErrPin, "another server answers at this address, or its key was replaced: ask its operator before enrolling anew"},
		{uplink.ErrAway, "is the server running, and reachable from here?"},
		{uplink.ErrKey, "the token may be used up or expired, or the key revoked: ask an operator for a new token"},
		{restore.ErrUnsigned, "--unsigned takes it all the same: then the server alone vouches for what is written"},
		{fs.ErrPermission, "run it as root, or name a folder of your own with --state"},
	} {
		if errors.Is(err, h.class) {
			return h.hint
		}
	}
	return ""
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

// loud is text that must not be overlooked: red on a terminal.
func (a *app) loud(text string) string {
	f, ok := a.out.(*os.File)
	if ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" {
		return "\x1b[1;31m" + text + "\x1b[0m"
	}
	return text
}
