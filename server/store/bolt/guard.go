package bolt

import (
	"fmt"
	"runtime/debug"

	"rollcall/server/store"
)

// guard runs f, and turns bbolt's panic on a damaged page into an error that
// matches store.ErrCorrupt: its assertions, an index out of range, or a page
// number beyond the end of the mapped file, which faults. A server with one bad
// page goes on serving the others.
//
// While *foreign is set, a caller's function runs: its own panics pass through
// as they were, except for faults on mapped pages, whose bytes it was given.
func guard(foreign *bool, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if foreign != nil && *foreign && !isFault(v) {
			panic(v)
		}
		if cause, ok := v.(error); ok {
			err = fmt.Errorf("%w: %w", store.ErrCorrupt, cause)
			return
		}
		err = fmt.Errorf("%w: %v", store.ErrCorrupt, v)
	}()
	return f()
}

// isFault tells whether a panic came from reading unmapped memory, and not from
// a nil pointer: see runtime/debug.SetPanicOnFault.
func isFault(v any) bool {
	_, ok := v.(interface{ Addr() uintptr })
	return ok
}
