package storetest_test

import (
	"testing"

	"rollcall/server/store"
	"rollcall/server/store/storetest"
)

func TestWeakKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Engine {
		w := storetest.Weak(storetest.Seed(t))
		w.Unknown = 0 // Run takes an error for "nothing was written"
		return w
	})
}

func TestLanesOnTheWeakEngine(t *testing.T) {
	storetest.RunLanes(t, func(t *testing.T) store.Engine { return storetest.Weak(storetest.Seed(t)) })
}
