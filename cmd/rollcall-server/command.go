package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/conf"
	"rollcall/internal/fence"
	"rollcall/server"
)

// options are the flags that every command has.
type options struct {
	config string
	data   string
	fence  *fence.State // of this process; nil in tests, which cannot be shut in
}

// commandOf builds the command tree: program, man pages and completions are all
// made from it.
func commandOf(o *options) *cobra.Command {
	c := &cobra.Command{
		Use:   "rollcall-server",
		Short: "Keep the configuration items of a school network",
		Long: `rollcall-server takes the signed reports of agents in, keeps every configuration
item with its whole history, mirrors every machine's /etc into git, and answers
operators. It can ask nothing of an agent.

Everything is in one data folder. 'init' makes it, 'run' serves from it; the other
commands work on it, most of them while the server runs.

Exit status: 0 done, 1 failed, 2 wrong usage.`,
		Example: `  rollcall-server init --operator kari > kari.login
  rollcall-server run
  rollcall-server backup /backup/rollcall-monday.age`,
		SilenceUsage: true, SilenceErrors: true, Version: version,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	c.PersistentFlags().StringVar(&o.config, "config", server.DefaultConfig, "configuration `FILE`")
	c.PersistentFlags().StringVar(&o.data, "data", "", "data `FOLDER`, instead of the configuration's")
	c.AddCommand(
		runCommand(o), initCommand(o), checkCommand(o), backupCommand(o), restoreCommand(o), exportCommand(o), importCommand(o), compactCommand(o), pruneCommand(o), rebuildCommand(o), etckeeperCommand(o), operatorCommand(o), nextKeyCommand(o), switchKeyCommand(o), witnessCommand(),
		versionCommand(), cmdline.Completion(c.Name(), "commands and flags"),
	)
	cmdline.Strict(c)
	return c
}

// load reads the configuration. Where the default file does not exist, the
// defaults hold; a file that is named must exist.
func (o *options) load(c *cobra.Command) (server.Config, error) {
	cfg := server.Defaults()
	err := conf.Load(o.config, &cfg)
	if errors.Is(err, fs.ErrNotExist) && !c.Flags().Changed("config") {
		err = nil
	}
	if o.data != "" {
		cfg.Data = o.data
	}
	if err != nil {
		return cfg, fmt.Errorf("configuration: %w", err)
	}
	return cfg, nil
}

// hint says what to do about an error, where that is known and the error does
// not say it itself.
func hint(err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return "run it as root or as the server's own user, or name a folder of your own with --data"
	}
	return ""
}
