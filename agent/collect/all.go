package collect

import "slices"

// All returns every collector, each once. None holds state, so that several
// runs may share them.
func All() []Collector {
	return slices.Concat(hardware(), software())
}
