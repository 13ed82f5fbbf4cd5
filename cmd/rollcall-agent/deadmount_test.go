package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// deadMount mounts a file system on a folder whose server answers the kernel's
// greeting and nothing else, as a file server that lost its power. touched tells how
// many requests it got. Who waits for an answer is let go at the end of the test.
func deadMount(t *testing.T, dir string) (touched func() int) {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no file system can be made here that never answers: open /dev/fuse: %v", err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd)
	if err := unix.Mount("server:/home0", dir, "fuse.dead", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		_ = unix.Close(fd)
		t.Skipf("no file system can be made here that never answers: mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Close(fd); err != nil { // ends every wait
			t.Error(err)
		}
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	greet(t, fd)
	return func() (requests int) {
		for buffer := make([]byte, 1<<17); ; requests++ {
			if _, err := unix.Read(fd, buffer); err != nil {
				return requests
			}
		}
	}
}

// greet answers FUSE_INIT (linux/fuse.h), without which nothing else is sent.
func greet(t *testing.T, fd int) {
	t.Helper()
	request := make([]byte, 1<<17)
	if n, err := unix.Read(fd, request); err != nil || n < 48 || binary.LittleEndian.Uint32(request[4:]) != 26 {
		t.Fatalf("greeting of %d bytes: %v", n, err)
	}
	answer := make([]byte, 16+64)
	binary.LittleEndian.PutUint32(answer, uint32(len(answer)))
	copy(answer[8:16], request[8:16])   // the request's number
	copy(answer[16:24], request[40:48]) // the kernel's own version
	binary.LittleEndian.PutUint32(answer[16+20:], 4096)
	if _, err := unix.Write(fd, answer); err != nil {
		t.Fatalf("answer the greeting: %v", err)
	}
}

func TestADeadFileServerIsNeverAskedAnything(t *testing.T) {
	dir, err := built()
	must(t, err)
	root := t.TempDir()
	write := func(name, content string) {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(root, name), []byte(content), 0o644))
	}
	write("etc/os-release", "ID=debian\n")
	write("etc/passwd", "root:x:0:0::/root:/bin/sh\n")
	// Where people mount servers, and where collectors and the scanner of /etc look.
	var touched []func() int
	for _, name := range []string{"skole/tjener/home0", "opt/shared", "usr/local/bin", "var/lib/flatpak", "etc/apache2/sites", "srv"} {
		must(t, os.MkdirAll(filepath.Join(root, name), 0o755))
		touched = append(touched, deadMount(t, filepath.Join(root, name)))
	}
	must(t, os.Symlink("/skole/tjener/home0/ssl", filepath.Join(root, "etc/ssl")))
	must(t, os.Symlink("/srv/cron", filepath.Join(root, "var/spool")))
	c := exec.Command(filepath.Join(dir, "rollcall-agent"), "once", "--dry-run", "--root", root, "--state", filepath.Join(t.TempDir(), "state"))
	c.Env = []string{"HOME=/nonexistent", "NO_COLOR=1"}
	out := make(chan error, 1)
	var text []byte
	go func() {
		var err error
		text, err = c.CombinedOutput()
		out <- err
	}()
	select {
	case err := <-out:
		if err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	case <-time.After(2 * time.Minute):
		t.Error("the look waits for a server that does not answer")
		defer func() { _ = c.Process.Kill() }()
	}
	for i, f := range touched { // of a process that is killed the kernel takes its questions back
		if n := f(); n > 0 {
			t.Errorf("mount %d was asked %d times", i, n)
		}
	}
}
