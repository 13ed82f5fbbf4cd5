package main

import (
	"errors"
	"fmt"
	"io/fs"

	"rollcall/internal/conf"
	"rollcall/server"

	"github.com/spf13/cobra"
)

// errUsage is wrapped by errors about the command line.
var errUsage = errors.New("usage")

func exitCode(err error) int {
	if errors.Is(err, errUsage) {
		return 2
	}
	return 1
}

// usage marks what is wrong with a command line.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err}
}

type usageError struct{ error }

func (e usageError) Is(target error) bool { return target == errUsage }

func (e usageError) Unwrap() error { return e.error }

// options are the flags that every command has.
type options struct {
	config string
	data   string
}

func command() *cobra.Command {
	o := &options{}
	c := &cobra.Command{
		Use:   "rollcall-server",
		Short: "Keep the configuration items of a school network",
		Long: `rollcall-server takes the signed reports of agents in, keeps every configuration
item with its whole history, mirrors every machine's /etc into git, and answers
operators. It can ask nothing of an agent.

Everything is in one data folder. Exit status: 0 done, 1 failed, 2 wrong usage.`,
		SilenceUsage: true, SilenceErrors: true, Version: version,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		Args:              noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return usage(errors.Join(errors.New("which command?"), c.Usage()))
		},
	}
	c.PersistentFlags().StringVar(&o.config, "config", server.DefaultConfig, "configuration file")
	c.PersistentFlags().StringVar(&o.data, "data", "", "data folder, instead of the configuration's")
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	operator := &cobra.Command{
		Use: "operator", Short: "Admit operators", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return usage(errors.Join(errors.New("which command?"), c.Usage()))
		},
	}
	operator.AddCommand(operatorAdd(o))
	c.AddCommand(runCommand(o), initCommand(o), checkCommand(o), backupCommand(o), rebuildCommand(o), operator)
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

func noArgs(c *cobra.Command, args []string) error { return usage(cobra.NoArgs(c, args)) }

func oneArg(c *cobra.Command, args []string) error { return usage(cobra.ExactArgs(1)(c, args)) }
