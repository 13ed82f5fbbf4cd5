// Command rollcall-bench plays fleets and cases against a real server and says
// how it did. It is for developers and for whoever doubts a figure in
// docs/performance.md; no installation needs it.
//
// It is the only program in which agent and server meet in one process: what it
// measures goes over TLS all the same, between ports of this machine, with
// enrolment, signatures and commits as everywhere else.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// version is stamped by the build.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := newApp().run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}
