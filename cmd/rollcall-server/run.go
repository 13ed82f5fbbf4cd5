package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"sync"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/server"
)

func runCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Serve agents and operators until told to stop",
		Long: `Serve agents and operators until SIGINT or SIGTERM. What is running then is
finished first. Logs go to standard error, one JSON line each.`,
		Example: "  rollcall-server run --config /etc/rollcall/server.conf",
		Args:    cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := o.load(c)
			if err != nil {
				return err
			}
			log := slog.New(slog.NewJSONHandler(c.ErrOrStderr(), nil))
			s, err := server.New(c.Context(), cfg, version, log)
			if err != nil {
				return err
			}
			if o.fence != nil {
				o.fence.Enclose(cfg.Writable()...)
				s.Protected(*o.fence)
			}
			return serve(c.Context(), s, notifierOf(os.Getenv), log)
		},
	}
}

// serve runs the server and tells systemd how it is doing.
func serve(ctx context.Context, s *server.Server, n notifier, log *slog.Logger) error {
	tell := func(err error) {
		if err != nil {
			log.Warn("the watchdog gets no sign of life", "err", err)
		}
	}
	living, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { n.live(living, s.Alive, tell) })
	err := s.Run(ctx, func(net.Addr) { tell(n.say("READY=1")) })
	stop()
	wg.Wait()
	return err
}
