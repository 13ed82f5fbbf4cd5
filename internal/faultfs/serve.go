package faultfs

import (
	"bufio"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// faults decides which operation fails.
type faults struct {
	mu     sync.Mutex
	at     int
	status fuse.Status
	count  int
	failed string
}

// serve is the file system until standard input ends. Each line of it is "N ERRNO",
// the next fault, or "?", the question for the count.
func serve(from, to string) error {
	root, err := fs.NewLoopbackRoot(from)
	if err != nil {
		return err
	}
	second := time.Second
	f := &faults{}
	raw := fs.NewNodeFS(root, &fs.Options{EntryTimeout: &second, AttrTimeout: &second})
	server, err := fuse.NewServer(&faulty{raw, f}, to, &fuse.MountOptions{
		DirectMountStrict: true, FsName: "faultfs", Name: "faultfs", MaxWrite: 1 << 20,
		DisabledCapabilities: fuse.CAP_PASSTHROUGH, // writes would not come by here
	})
	if err != nil {
		return err
	}
	go server.Serve()
	if err := server.WaitMount(); err != nil {
		return err
	}
	fmt.Println("mounted")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(f.answer(lines.Text()))
	}
	if err := server.Unmount(); err != nil {
		return err
	}
	server.Wait()
	return nil
}

func (f *faults) answer(line string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if line == "?" {
		return fmt.Sprintf("%d %s", f.count, f.failed)
	}
	var status int32
	if _, err := fmt.Sscan(line, &f.at, &status); err != nil {
		return "error: " + err.Error()
	}
	f.status, f.count, f.failed = fuse.Status(status), 0, ""
	return "ok"
}

// fails counts an operation and tells whether it is the one that fails.
func (f *faults) fails(what string) (with fuse.Status, yes bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	if f.count != f.at {
		return fuse.OK, false
	}
	f.failed = what
	return f.status, true
}
