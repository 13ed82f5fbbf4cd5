// Command rollcall-agent runs on every machine: it takes the inventory, reports
// it to the server, and brings an earlier /etc back after a reinstallation.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"rollcall/internal/fence"
)

// version is stamped by the build.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	a, state := newApp(), fence.Start(false)
	a.fence = &state
	code := a.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}
