//go:build failpoint

package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// On tells whether this program was built to die at a place.
const On = true

// Environment variables, read once: POINT or POINT:N, to die on the N-th pass;
// and anything, to keep the store from syncing its file.
const (
	envPoint  = "ROLLCALL_FAILPOINT"
	envNoSync = "ROLLCALL_FAILPOINT_NOSYNC"
)

var (
	name, last = parse(os.Getenv(envPoint))
	noSync     = os.Getenv(envNoSync) != ""
	passes     atomic.Int64
)

func parse(s string) (Point, int64) {
	at, pass, _ := strings.Cut(s, ":")
	n, err := strconv.ParseInt(pass, 10, 64)
	if err != nil || n < 1 {
		n = 1
	}
	return Point(at), n
}

// Hit ends the process if p is the place to die at, and this the pass.
func Hit(p Point) {
	if p == name && passes.Add(1) == last {
		die()
	}
}

// Soon does what Hit does some milliseconds later, beside its caller: what the
// caller hands over meanwhile has left the process.
func Soon(p Point) {
	if p == name && passes.Add(1) == last {
		time.AfterFunc(5*time.Millisecond, die)
	}
}

// NoSync tells whether the store must not sync its file.
func NoSync() bool { return noSync }

// die is kill -9: no handler, no deferred call.
func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // cannot fail for oneself
	select {}
}
