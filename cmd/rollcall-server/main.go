// Command rollcall-server keeps the configuration items of a school network: it
// takes the signed reports of agents in and answers operators.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/fence"
)

// version is stamped by the build.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	state := fence.Start(true)
	err := commandOf(&options{fence: &state}).ExecuteContext(ctx)
	stop()
	if err != nil {
		cmdline.Complain(os.Stderr, "rollcall-server", err, hint(err))
	}
	os.Exit(cmdline.Exit(err))
}
