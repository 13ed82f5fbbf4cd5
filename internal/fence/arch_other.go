//go:build !amd64 && !arm64

package fence

import (
	"fmt"
	"runtime"
)

// Calls is not written for this architecture: it says so.
func Calls(bool) error {
	return fmt.Errorf("system calls: %w: there is no filter for %s", ErrMissing, runtime.GOARCH)
}
