package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rollcall/server"
)

// disk is an ext4 file system in a file whose power can be cut.
type disk struct {
	t                    *testing.T
	image, mount, commit string
	mounted              bool
}

// newDisk makes one that is mounted at a folder. Its journal commits by itself
// every so many seconds. The test is skipped where that cannot be done.
func newDisk(t *testing.T, mount string, commit int) *disk {
	t.Helper()
	for _, tool := range []string{"mkfs.ext4", "mount", "umount"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed: apt-get install e2fsprogs mount", tool)
		}
	}
	d := &disk{t: t, image: filepath.Join(t.TempDir(), "image"), mount: mount, commit: fmt.Sprint("loop,commit=", commit)}
	if err := errors.Join(os.WriteFile(d.image, nil, 0o600), os.Truncate(d.image, 192<<20), os.MkdirAll(mount, 0o700)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", d.image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	if out, err := exec.Command("mount", "-o", d.commit, d.image, mount).CombinedOutput(); err != nil {
		t.Skipf("a loop file cannot be mounted here: %s", out)
	}
	d.mounted = true
	t.Cleanup(func() {
		if d.mounted {
			_ = exec.Command("umount", "-l", mount).Run()
		}
	})
	return d
}

// cut forgets everything that was not synced, and lets every later write fail:
// EXT4_IOC_SHUTDOWN without flushing the journal (fs/ext4/ioctl.c).
func (d *disk) cut() {
	d.t.Helper()
	const (
		ext4Shutdown = 0x8004587d // EXT4_IOC_SHUTDOWN
		noLogFlush   = 2          // EXT4_GOING_FLAGS_NOLOGFLUSH
	)
	f, err := os.Open(d.mount)
	if err == nil {
		err = errors.Join(unix.IoctlSetPointerInt(int(f.Fd()), ext4Shutdown, noLogFlush), f.Close())
	}
	if err != nil {
		d.t.Fatalf("cut the power of ext4: %v", err)
	}
}

// revive mounts the file system again, as after a boot.
func (d *disk) revive() {
	d.t.Helper()
	for _, words := range [][]string{{"umount", d.mount}, {"mount", "-o", d.commit, d.image, d.mount}} {
		var out []byte
		var err error
		for range 100 { // a process that was killed may still hold it
			if out, err = exec.Command(words[0], words[1:]...).CombinedOutput(); err == nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if err != nil {
			d.t.Fatalf("%v: %v: %s", words, err, out)
		}
		d.mounted = words[0] == "mount"
	}
}

// TestPowerCutLosesNothingAcknowledged cuts the power of the server's disk, of
// the agent's, or of both, while reports come in. What was acknowledged is known
// to the test alone.
func TestPowerCutLosesNothingAcknowledged(t *testing.T) {
	n := rounds(t, 15, 200)
	commits := []int{1, 5, 1000}
	acked, told := 0, 0
	for i, commit := range commits {
		share := (n + i) / len(commits)
		a, b := cutRounds(t, commit, share)
		acked, told = acked+a, told+b
	}
	t.Logf("%d power cuts, %d acknowledged reports, %d of the agent", n, acked, told)
}

// cutRounds cuts the power n times on disks whose journals commit in so many
// seconds.
func cutRounds(t *testing.T, commit, n int) (acked, told int) {
	t.Helper()
	var data, state *disk
	r := newRig(t, func(dir string) {
		data, state = newDisk(t, filepath.Join(dir, "server"), commit), newDisk(t, filepath.Join(dir, "state"), commit)
	})
	for round := range n {
		r.relieve()
		which := r.rnd.IntN(4) // the server's disk, the agent's, both
		r.during(func() {
			agent := r.startAgent()
			time.Sleep(time.Duration(r.rnd.Int64N(int64(400 * time.Millisecond))))
			if which != 1 {
				data.cut()
			}
			if which == 1 || which == 3 {
				state.cut()
			}
			r.endAgent(agent)
			r.kill()
		})
		if which != 1 {
			data.revive()
		}
		if which == 1 || which == 3 {
			state.revive()
		}
		r.checkAll()
		r.start()
		if t.Failed() {
			t.Fatalf("commit=%d, round %d, disks %d", commit, round, which)
		}
	}
	r.end()
	return len(r.acked), len(r.told)
}

// TestTheHarnessSeesAStoreThatDoesNotSync is the control run: without fsync, a
// power cut must lose what was acknowledged, and CheckAll must say so.
func TestTheHarnessSeesAStoreThatDoesNotSync(t *testing.T) {
	var data *disk
	r := newRig(t, func(dir string) { data = newDisk(t, filepath.Join(dir, "server"), 1000) })
	r.restart("ROLLCALL_FAILPOINT_NOSYNC=1")
	r.during(func() {
		time.Sleep(500 * time.Millisecond)
		data.cut()
		r.kill()
	})
	data.revive()
	rep, err := server.CheckAll(t.Context(), r.config(), server.Known{Acknowledged: r.acked})
	lost := 0
	for _, f := range rep.Faults {
		if f.Rule == server.RuleAcked {
			lost++
		}
	}
	t.Logf("%d of %d acknowledged reports are lost, %d faults in all, %v", lost, len(r.acked), len(rep.Faults), err)
	if lost == 0 && err == nil {
		t.Error("a store without fsync has lost nothing: the harness cannot fail")
	}
}
