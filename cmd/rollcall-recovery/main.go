// Command rollcall-recovery looks after the keys that open what the agents
// sealed. It is for a machine that is on no network: it makes an age identity,
// splits it into shares for paper, joins them again, checks all of that, opens
// sealed files, and answers the request of a machine that is being restored.
//
// It promises that no network code of Rollcall is in it, that a private key is
// never printed unless that is asked for, and that what it writes is readable
// for its user alone.
package main

import (
	"crypto/rand"
	"os"
	"time"
)

// version is stamped by the build.
var version = "unknown"

func newApp() *app {
	return &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, now: time.Now, random: rand.Reader}
}

func main() { os.Exit(newApp().run(os.Args[1:])) }
