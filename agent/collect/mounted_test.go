package collect

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// mounted mounts something for a test, which is skipped where that is not allowed.
func mounted(t *testing.T, source, target, fstype string, flags uintptr, options string) {
	t.Helper()
	if err := unix.Mount(source, target, fstype, flags, options); err != nil {
		t.Skipf("mount %s on %s: %v", fstype, target, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// A live image has its root read-only, or with an overlay in memory on top, as LTSP
// makes it: what lies below is found all the same, and nothing is written.
func TestReadOnlyAndOverlaidRootsAreReadAsAnyOther(t *testing.T) {
	plain := recorded(t, "testdata/tjener.txtar")
	h := Host{FS: plain, Now: func() time.Time { return noon }}
	want := Run(t.Context(), h, All()).Facts
	for name, mount := range map[string]func(t *testing.T, at string){
		"read-only": func(t *testing.T, at string) {
			mounted(t, plain.dir, at, "", unix.MS_BIND, "")
			if err := unix.Mount("", at, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
				t.Skipf("make %s read-only: %v", at, err)
			}
		},
		"overlay": func(t *testing.T, at string) {
			memory := t.TempDir()
			mounted(t, "tmpfs", memory, "tmpfs", 0, "size=16m")
			for _, dir := range []string{"upper", "work"} {
				if err := os.Mkdir(filepath.Join(memory, dir), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			mounted(t, "overlay", at, "overlay", 0, "lowerdir="+plain.dir+",upperdir="+memory+"/upper,workdir="+memory+"/work")
		},
	} {
		t.Run(name, func(t *testing.T) {
			at := t.TempDir()
			mount(t, at)
			root, err := OpenRoot(at)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			got := Run(t.Context(), Host{FS: root, Now: h.Now}, All())
			if d := differences(want, got.Facts); len(d) > 0 || len(got.Facts) == 0 {
				t.Errorf("%v differ", d)
			}
		})
	}
}

// An agent looks ten thousand times a year. Two hundred looks show it sooner.
func TestLooksLeaveNoDescriptorAndNoMemoryBehind(t *testing.T) {
	h := Host{FS: recorded(t, "testdata/tjener.txtar"), Now: func() time.Time { return noon }, Cache: &Cache{}}
	var r Runner
	var m Memory
	look := func(times int) (descriptors int, heap uint64) {
		for range times {
			m = r.Run(t.Context(), h, All(), m).Memory
		}
		open, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return len(open), stats.HeapAlloc
	}
	before, small := look(20)
	after, large := look(180)
	if after > before {
		t.Errorf("%d descriptors after 20 looks, %d after 200", before, after)
	}
	if large > small+512<<10 {
		t.Errorf("%d bytes in use after 20 looks, %d after 200", small, large)
	}
}
