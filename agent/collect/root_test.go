package collect

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// rootWith makes a folder with files, links ("-> target") and a secret beside it.
func rootWith(t *testing.T, files map[string]string) *Root {
	t.Helper()
	top := t.TempDir()
	dir := filepath.Join(top, "root")
	write := func(name, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if len(content) > 3 && content[:3] == "-> " {
			err = os.Symlink(content[3:], name)
		} else {
			err = os.WriteFile(name, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(top, "secret"), "outside")
	for name, content := range files {
		write(filepath.Join(dir, name), content)
	}
	r, err := OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestRootIsNeverLeft(t *testing.T) {
	files := map[string]string{
		"etc/hostname":       "inside",
		"secret":             "inside",
		"etc/absolute":       "-> /etc/hostname",
		"etc/relative":       "-> ../etc/./hostname",
		"etc/up":             "-> ../../../secret",
		"etc/absolute-up":    "-> /../../secret",
		"a/b":                "-> /etc",
		"etc/loop":           "-> loop",
		"etc/dangling":       "-> /nowhere",
		"usr/lib/os-release": "inside",
		"etc/os-release":     "-> ../usr/lib/os-release",
	}
	tests := []struct {
		name string
		err  error
	}{
		{"etc/hostname", nil},
		{"etc/absolute", nil},
		{"etc/relative", nil},
		{"etc/up", nil},
		{"etc/absolute-up", nil},
		{"a/b/hostname", nil},
		{"a/b/absolute", nil},
		{"etc/os-release", nil},
		{"etc/loop", syscall.ELOOP},
		{"etc/dangling", fs.ErrNotExist},
		{"etc/hostname/x", syscall.ENOTDIR},
		{"../secret", fs.ErrInvalid},
		{"/etc/hostname", fs.ErrInvalid},
	}
	for _, remote := range []bool{false, true} {
		r := rootWith(t, files)
		if remote { // walk step by step
			r.remote = []string{"home/server"}
		}
		for _, tt := range tests {
			got, err := fs.ReadFile(r, tt.name)
			if !errors.Is(err, tt.err) || err == nil && string(got) != "inside" {
				t.Errorf("walked %v: read %s = %q, %v, want error %v", remote, tt.name, got, err, tt.err)
			}
		}
	}
}

func TestNothingBelowARemoteMountIsTouched(t *testing.T) {
	r := rootWith(t, map[string]string{
		"home/server/file": "inside",
		"home/here":        "inside",
		"etc/link":         "-> /home/server/file",
		"etc/round":        "-> ../home/./server/../here",
		"etc/server":       "-> /home/server",
	})
	r.remote = []string{"home/server"}
	for _, name := range []string{"home/server", "home/server/file", "home/server/none", "etc/link", "etc/round", "etc/server/file", "etc/server"} {
		if _, err := r.Open(name); !errors.Is(err, ErrRemote) {
			t.Errorf("open %s: %v, want ErrRemote", name, err)
		}
		if _, err := r.Stat(name); !errors.Is(err, ErrRemote) {
			t.Errorf("stat %s: %v, want ErrRemote", name, err)
		}
	}
	if target, err := r.ReadLink("etc/server"); err != nil || target != "/home/server" {
		t.Errorf("read link = %q, %v, want the link's own text", target, err)
	}
	if _, err := r.Open("home/here"); err != nil {
		t.Errorf("open beside the mount: %v", err)
	}
}

func TestRootOpensOnlyFilesAndFolders(t *testing.T) {
	r := rootWith(t, map[string]string{"etc/x": "inside"})
	if err := syscall.Mkfifo(filepath.Join(r.dir, "etc/fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Open("etc/fifo"); err == nil {
		t.Error("a FIFO was opened")
	}
	h := testHost(r)
	if names, err := h.Names("etc"); err != nil || len(names) != 2 {
		t.Errorf("names = %v, %v", names, err)
	}
}

func TestReadsAreBounded(t *testing.T) {
	r := rootWith(t, map[string]string{"f": "0123456789\n"})
	h := testHost(r)
	if _, err := h.ReadFile("f", 10); !errors.Is(err, ErrTooBig) {
		t.Errorf("11 bytes with limit 10: %v, want ErrTooBig", err)
	}
	if b, err := h.ReadFile("f", 11); err != nil || len(b) != 11 {
		t.Errorf("11 bytes with limit 11: %q, %v", b, err)
	}
	if line, err := h.ReadLine("f"); err != nil || line != "0123456789" {
		t.Errorf("line = %q, %v", line, err)
	}
}

func TestLiveRootReadsProcAndSys(t *testing.T) {
	r, err := OpenRoot("/")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := testHost(r).ReadLine("proc/self/mountinfo"); err != nil {
		t.Error(err)
	}
	if names, err := testHost(r).Names("sys/class/net"); err != nil || len(names) == 0 {
		t.Errorf("network interfaces = %v, %v", names, err)
	}
}

func TestMountsThatHangOrTellOfAnotherMachineAreHidden(t *testing.T) {
	tests := []struct {
		dir, point, fstype string
		want               bool
	}{
		{"/", "/", "nfs4", false}, // the root itself of a diskless machine
		{"/", "/proc", "proc", false},
		{"/", "/home", "ext4", false},
		{"/", "/home", "nfs4", true},
		{"/", "/skole/tjener", "autofs", true},
		{"/", "/proc/sys/fs/binfmt_misc", "autofs", true},
		{"/srv/image", "/srv/image/proc", "proc", true}, // of the machine that looks
		{"/srv/image", "/srv/image/sys", "sysfs", true},
		{"/srv/image", "/srv/image/var", "ext4", false},
		{"/srv/image", "/srv/image/home", "cifs", true},
		{"/srv/image", "/srv/image2/proc", "proc", false}, // beside it
		{"/srv/image", "/srv/image", "fuse.x", false},
	}
	for _, tt := range tests {
		_, got := (&Root{dir: tt.dir}).hides(mount{point: tt.point, fstype: tt.fstype})
		if got != tt.want {
			t.Errorf("root %s hides %s (%s) = %v, want %v", tt.dir, tt.point, tt.fstype, got, tt.want)
		}
	}
}
