package bolt

import (
	"path/filepath"
	"testing"

	"rollcall/server/store"
	"rollcall/server/store/storetest"
)

// open opens a new database without fsync, which a test of the contract does not
// need.
func open(t *testing.T) store.Engine {
	return openAt(t, filepath.Join(t.TempDir(), "db"), Options{noSync: true})
}

func openAt(t testing.TB, path string, o Options) *Engine {
	t.Helper()
	e, err := Open(path, o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return e
}

func TestBoltKeepsTheContract(t *testing.T) { storetest.Run(t, open) }

func TestLanesOnBolt(t *testing.T) { storetest.RunLanes(t, open) }
