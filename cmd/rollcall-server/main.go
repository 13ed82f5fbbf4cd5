// Command rollcall-server keeps the configuration items of a school network: it
// takes the signed reports of agents in and answers operators.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// version is stamped by the build.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "rollcall-server: %v\n", err)
		os.Exit(exitCode(err))
	}
}
