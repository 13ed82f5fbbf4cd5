package mirror

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rollcall/internal/faultfs"
)

const childEnv = "ROLLCALL_TEST_MIRROR_DIR"

func TestMain(m *testing.M) {
	faultfs.Main()
	if dir := os.Getenv(childEnv); dir != "" {
		if err := runChild(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// busyWorld is a fortnight of two schools in small steps.
func busyWorld(revisions int) *world {
	w := newWorld()
	rng := rand.New(rand.NewPCG(7, 7))
	repos := []string{"elm/north", "elm/south"}
	where := map[string]string{}
	for i := range revisions {
		ci := fmt.Sprintf("pc%02d", rng.IntN(12))
		if where[ci] == "" || rng.IntN(20) == 0 {
			where[ci] = repos[rng.IntN(2)]
		}
		facts := map[string]string{
			"pkg/cups/version":                           fmt.Sprint("2.4.", i),
			fmt.Sprintf("etc/conf.d/%02d", rng.IntN(30)): w.plain(fmt.Sprintf("%s %d\n%s", ci, i, strings.Repeat("x\n", rng.IntN(2000))), 0o644),
		}
		w.record(ci, where[ci], facts)
	}
	return w
}

// runChild mirrors busyWorld in small pages and prints each stamp from which on
// the outbox is clear.
func runChild(dir string) error {
	w := busyWorld(400)
	m := w.mirror(dir)
	m.page, m.most = 7, 7
	m.disk.step = func(name string) error {
		if name == "outbox cleared" {
			at, err := m.Watermark(context.Background())
			fmt.Println(at)
			return err
		}
		return nil
	}
	_, err := m.Drain(context.Background())
	return err
}

func TestCrashAtEveryStepRepeatsAndLosesNothing(t *testing.T) {
	twin := filepath.Join(tempDir(t), "twin")
	drain(t, smallWorld().mirror(twin))
	want := refs(t, twin)
	errCrash := errors.New("crash")
	for _, page := range []int{2} {
		steps := map[string]int{}
		for k := 1; ; k++ {
			w, dir := smallWorld(), filepath.Join(tempDir(t), "m")
			m := w.mirror(dir)
			m.page, m.most = page, page
			n := 0
			m.disk.step = func(name string) error {
				if n++; n >= k {
					steps[name]++
					return errCrash
				}
				return nil
			}
			_, err := m.Drain(t.Context())
			if err == nil {
				break
			}
			after := w.mirror(dir)
			for len(w.data) > 1 || w.data["t"+watermarkName] == nil {
				drain(t, after)
			}
			if got := refs(t, dir); !maps.Equal(got, want) {
				t.Fatalf("page %d, crash at step %d: %v, want %v", page, k, got, want)
			}
			if _, err := after.Verify(t.Context()); err != nil {
				t.Fatalf("page %d, crash at step %d: %v", page, k, err)
			}
			if k%40 == 0 {
				checkRepo(t, after.Path("elm/north"))
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "elm/*/objects/pack", tempPrefix+"*")); len(left) > 0 {
				t.Fatalf("page %d, crash at step %d: %v is left", page, k, left)
			}
		}
		for _, name := range []string{"repository built", "pack written", "pack named", "before ref", "temp main", "renamed main", "before outbox", "outbox cleared"} {
			if steps[name] == 0 {
				t.Errorf("page %d: no crash at %q was tried", page, name)
			}
		}
	}
}

// startChild runs busyWorld in a process of its own.
func startChild(t *testing.T, dir string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

// readAcked reads what the child printed until it is gone.
func readAcked(out *bufio.Scanner) (stamp int64) {
	for out.Scan() {
		if n, err := strconv.ParseInt(out.Text(), 10, 64); err == nil {
			stamp = n
		}
	}
	return stamp
}

// resume checks that all that was done by a stamp is there, goes on, and checks
// that the end is the same as without a crash.
func resume(t *testing.T, dir string, acked int64, want map[string]string) {
	t.Helper()
	w := busyWorld(400)
	for _, r := range w.revs {
		if r.Stamp <= acked {
			delete(w.data, "t"+outboxPrefix+string(be64(r.Stamp))+r.CI)
		}
	}
	m := w.mirror(dir)
	if _, err := m.Verify(t.Context()); err != nil {
		t.Fatalf("after the crash, done until %d: %v", acked, err)
	}
	for repo := range refs(t, dir) {
		checkRepo(t, filepath.Join(dir, repo))
	}
	drain(t, m)
	if got := refs(t, dir); !maps.Equal(got, want) {
		t.Fatalf("after the crash %v, want %v", got, want)
	}
	if err := m.closeRepos(); err != nil {
		t.Fatal(err)
	}
}

func be64(n int64) []byte {
	b := make([]byte, 8)
	for i := range b {
		b[i] = byte(n >> (56 - 8*i))
	}
	return b
}

func busyTwin(t *testing.T) (refsWanted map[string]string, took time.Duration) {
	t.Helper()
	dir := filepath.Join(tempDir(t), "twin")
	start := time.Now()
	if err := runQuiet(dir); err != nil {
		t.Fatal(err)
	}
	return refs(t, dir), time.Since(start)
}

func runQuiet(dir string) error {
	m := busyWorld(400).mirror(dir)
	m.page, m.most = 7, 7
	_, err := m.Drain(context.Background())
	return err
}

func TestKilledMirrorGoesOn(t *testing.T) {
	if testing.Short() {
		t.Skip("kills processes for some seconds")
	}
	want, took := busyTwin(t)
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for range 4 {
		dir := filepath.Join(tempDir(t), "m")
		cmd, out := startChild(t, dir)
		timer := time.AfterFunc(time.Duration(rng.Int64N(int64(took))), func() { _ = cmd.Process.Kill() })
		acked := readAcked(out)
		_ = cmd.Wait() // killed, or done before
		timer.Stop()
		if _, err := os.Stat(dir); err != nil {
			continue // killed before it began
		}
		resume(t, dir, acked, want)
	}
}

// TestPowerCutLosesNothingThatIsDone cuts the power of an ext4 file system on a
// loop file: EXT4_IOC_SHUTDOWN without flushing the journal forgets everything
// that was not synced (fs/ext4/ioctl.c).
func TestPowerCutLosesNothingThatIsDone(t *testing.T) {
	if testing.Short() || os.Geteuid() != 0 {
		t.Skip("needs root and some seconds: mounts a file system")
	}
	for _, tool := range []string{"mkfs.ext4", "mount", "umount"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed: apt-get install e2fsprogs mount", tool)
		}
	}
	want, took := busyTwin(t)
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 2))
	for range 4 {
		powerCut(t, time.Duration(rng.Int64N(int64(2*took))), want)
	}
}

func powerCut(t *testing.T, after time.Duration, want map[string]string) {
	t.Helper()
	img, mnt := filepath.Join(t.TempDir(), "img"), t.TempDir()
	if err := os.WriteFile(img, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(img, 96<<20); err != nil {
		t.Fatal(err)
	}
	shell(t, "mkfs.ext4", "-q", img)
	mount := exec.CommandContext(t.Context(), "mount", "-o", "loop", img, mnt)
	if out, err := mount.CombinedOutput(); err != nil {
		t.Skipf("cannot mount a loop file here: %s", out)
	}
	mounted := true
	defer func() {
		if mounted {
			_ = exec.CommandContext(context.WithoutCancel(t.Context()), "umount", mnt).Run()
		}
	}()
	dir := filepath.Join(mnt, "m")
	cmd, out := startChild(t, dir)
	cut := make(chan error, 1)
	time.AfterFunc(after, func() { cut <- shutdown(mnt) })
	acked := readAcked(out)
	_ = cmd.Wait() // fails with EIO, or was done before
	if err := <-cut; err != nil {
		t.Skipf("cannot cut the power of ext4 here: %v", err)
	}
	shell(t, "umount", mnt)
	mounted = false
	shell(t, "mount", "-o", "loop", img, mnt)
	mounted = true
	t.Logf("power cut after %v, done until %d", after.Round(time.Millisecond), acked)
	if err := os.MkdirAll(dir, 0o750); err != nil { // cut before it was made
		t.Fatal(err)
	}
	resume(t, dir, acked, want)
	shell(t, "umount", mnt)
	mounted = false
}

func shutdown(mnt string) error {
	const (
		ext4Shutdown = 0x8004587d // EXT4_IOC_SHUTDOWN
		noLogFlush   = 2          // EXT4_GOING_FLAGS_NOLOGFLUSH
	)
	f, err := os.Open(mnt)
	if err != nil {
		return err
	}
	return errors.Join(unix.IoctlSetPointerInt(int(f.Fd()), ext4Shutdown, noLogFlush), f.Close())
}

func shell(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}
