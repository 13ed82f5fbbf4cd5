package main

import (
	"log/slog"
	"runtime/debug"

	"github.com/spf13/cobra"

	"rollcall/agent"
	"rollcall/cmd/internal/cmdline"
)

func (a *app) runCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "run",
		Short: "Report again and again, as a service does",
		Long: `Takes the inventory soon after the start, every interval, and after changes below
/etc or by dpkg, and reports what changed. While the server is away reports wait
in the state folder. Ends with SIGTERM or SIGINT.

A machine that is not enrolled yet enrols first, if its state folder holds an
invitation: the file enrol.conf, readable for its owner alone, with the line
"token = …" and, if the server is reached elsewhere than the token says, lines
"server = HOST:PORT". The file is removed once the server has admitted the machine.`,
		Example: "  rollcall-agent run\n  rollcall-agent run --config /etc/rollcall/agent.conf",
		Args:    cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := a.settings()
			if err != nil {
				return err
			}
			agent.Tune(cfg)
			var h slog.Handler = slog.NewTextHandler(a.err, nil)
			if asJSON {
				h = slog.NewJSONHandler(a.err, nil)
			}
			log := slog.New(h)
			agent.Accept(c.Context(), cfg, version, log, nil)
			ag, err := agent.Open(cfg, agent.Deps{Log: log, Fence: a.fence, Version: version, Rest: debug.FreeOSMemory})
			if err != nil {
				return err
			}
			defer ag.Close()
			log.Info("started", "version", version, "root", cfg.Root, "interval", cfg.Interval)
			return ag.Run(c.Context())
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "log as JSON lines")
	return c
}
