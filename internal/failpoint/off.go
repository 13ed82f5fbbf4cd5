//go:build !failpoint

package failpoint

// On tells whether this program was built to die at a place.
const On = false

// Hit ends the process if p is the place to die at. In this build there is none.
func Hit(Point) {}

// Soon does what Hit does some milliseconds later, beside its caller.
func Soon(Point) {}

// NoSync tells whether the store must not sync its file, which a test of the
// tests asks for. In this build it always syncs.
func NoSync() bool { return false }
