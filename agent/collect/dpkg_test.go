package collect

import (
	"bytes"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"rollcall/internal/fact"
)

const smallStatus = `Package: dpkg
Status: install ok installed
Architecture: amd64
Version: 1.21.22
Conffiles:
 /etc/alternatives/README 7be88b21f7e386c8d5a8790c2461c92b
 /etc/gone.conf 00000000000000000000000000000000 obsolete
 /etc/with blank 0123456789abcdef0123456789abcdef
 /etc/new newconffile
 /etc/leaving 0123456789abcdef0123456789abcdef remove-on-upgrade
Description: package manager
 Status: not a field but a line of the description

Package: libc6
Status: install ok installed
Architecture: i386
Source: glibc
Version: 2.36-9

Package: libc6
Status: hold ok installed
Architecture: amd64
Source: glibc (2.36-9)
Version: 2.36-9

Package: oldkernel
Status: deinstall ok config-files
Architecture: amd64
Version: 5.10
Conffiles:
 /etc/oldkernel 0123456789abcdef0123456789abcdef

Package: never
Status: purge ok not-installed
Architecture: amd64

Package: half
Status: install reinstreq half-installed
Architecture: all
Version: 1

Package: waiting
Status: install ok triggers-awaited
Architecture: all
Version: 1
`

func dpkgTree(status string) fstest.MapFS { return fstest.MapFS{dpkgStatus: text(status)} }

func TestPackagesInEveryState(t *testing.T) {
	got := gather(t, dpkg(), memHost(dpkgTree(smallStatus)))
	want := map[string]string{
		"pkg/dpkg/version":       "1.21.22",
		"pkg/libc6/version":      "2.36-9",
		"pkg/libc6/source":       "glibc",
		"pkg/libc6/state":        "hold ok installed",
		"pkg/libc6:i386/version": "2.36-9",
		"pkg/libc6:i386/source":  "glibc",
		"pkg/oldkernel/state":    "deinstall ok config-files",
		"pkg/half/version":       "1",
		"pkg/half/state":         "install reinstreq half-installed",
		"pkg/waiting/version":    "1",
		"pkg/waiting/state":      "install ok triggers-awaited",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestConffilesAreReadOncePackagesAre(t *testing.T) {
	files := dpkgTree(smallStatus)
	files["var/lib/dpkg/diversions"] = text("/etc/with blank\n/etc/diverted\nother\n")
	h := memHost(files)
	h.Cache = &Cache{}
	gather(t, dpkg(), h)
	files[dpkgStatus].Data = nil // its time and size would be looked at first, its content not at all
	st := len(smallStatus)
	files[dpkgStatus].Data = bytes.Repeat([]byte("\n"), st)
	got, err := Conffiles(h)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/etc/alternatives/README", "/etc/diverted", "/etc/gone.conf", "/etc/leaving"}
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	if !got["/etc/gone.conf"].Obsolete || got["/etc/diverted"].Package != "dpkg" {
		t.Errorf("got %v", got)
	}
}

func TestConffileThatMovedBelongsToItsNewPackage(t *testing.T) {
	stanza := func(name, flag string) string {
		return "Package: " + name + "\nStatus: install ok installed\nVersion: 1\nConffiles:\n /etc/moved 0123456789abcdef0123456789abcdef" + flag + "\n\n"
	}
	for _, status := range []string{stanza("old", " obsolete") + stanza("new", ""), stanza("new", "") + stanza("old", " obsolete")} {
		got, err := Conffiles(memHost(dpkgTree(status)))
		if cf := got["/etc/moved"]; err != nil || cf.Package != "new" || cf.Obsolete {
			t.Errorf("got %v, %v", cf, err)
		}
	}
}

func TestMarksOfRemovedPackagesDoNotCount(t *testing.T) {
	files := dpkgTree(smallStatus)
	files["var/lib/apt/extended_states"] = text("Package: libc6\nArchitecture: i386\nAuto-Installed: 1\n\nPackage: half\nArchitecture: amd64\nAuto-Installed: 0\n\n" +
		"Package: oldkernel\nArchitecture: amd64\nAuto-Installed: 1\n")
	want := map[string]string{"apt/auto/libc6:i386": "auto", "apt/hold/libc6": "hold"}
	if got := gather(t, apt(), memHost(files)); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestBusyDpkgIsLeftAlone(t *testing.T) {
	files := dpkgTree(smallStatus)
	files["var/lib/dpkg/updates/0001"] = text("")
	r := Run(t.Context(), memHost(files), []Collector{dpkg()})
	if s := r.Status[0]; s.State != Failed || s.State.Complete() || !strings.Contains(s.Detail, "dpkg is at work") {
		t.Errorf("status %v", s)
	}
	if len(r.Facts) > 0 {
		t.Errorf("facts %v", r.Facts)
	}
}

func TestLockOfARunningDpkgIsSeenAndNotTaken(t *testing.T) {
	root := rootWith(t, map[string]string{dpkgStatus: smallStatus, "var/lib/dpkg/lock": ""})
	h := Host{FS: root, Live: true}
	if dpkgBusy(h) {
		t.Fatal("busy before anybody took the lock")
	}
	f, err := os.OpenFile(filepath.Join(root.dir, "var/lib/dpkg/lock"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
		t.Skipf("no locks on this file system: %v", err)
	}
	if !dpkgBusy(h) {
		t.Error("the lock was not seen")
	}
}

// TestPackagesAgreeWithDpkg compares with what dpkg -l printed about a database
// with every state, and about three real profiles.
func TestPackagesAgreeWithDpkg(t *testing.T) {
	states := map[byte]string{'i': "installed", 'c': "config-files", 'U': "unpacked", 'F': "half-configured", 'H': "half-installed", 'W': "triggers-awaited", 't': "triggers-pending"}
	roots := map[string]fstest.MapFS{
		"dpkg-edge/edge1": tarTree(t, filepath.Join(corpus(t, "dpkg-edge/edge1"), "rootfs-dpkg-etc.tar.xz"), 0),
	}
	for _, name := range []string{"ws", "xfce", "gnome"} {
		roots["apt/"+name] = fstest.MapFS{dpkgStatus: {Data: unxz(t, filepath.Join(corpus(t, "apt/"+name), "status.xz"))}}
	}
	for name, root := range roots {
		b, err := os.ReadFile(filepath.Join(corpus(t, name), "dpkg-l.txt"))
		if err != nil {
			t.Fatal(err)
		}
		got := gather(t, dpkg(), memHost(root))
		n := 0
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) < 4 || len(f[0]) != 2 || states[f[0][1]] == "" {
				continue
			}
			n++
			pkg := strings.TrimSuffix(f[1], ":amd64")
			state := got["pkg/"+pkg+"/state"]
			if state == "" {
				state = "install ok installed"
			}
			if !strings.HasSuffix(state, states[f[0][1]]) {
				t.Errorf("%s: %s is %q, dpkg says %s", name, pkg, state, f[0])
			}
			if version := got["pkg/"+pkg+"/version"]; f[0][1] != 'c' && version != f[2] || f[0][1] == 'c' && version != "" {
				t.Errorf("%s: %s has version %q, dpkg says %s", name, pkg, version, line)
			}
		}
		if n < 50 {
			t.Errorf("%s: the oracle has only %d packages", name, n)
		}
		packages := map[string]bool{}
		for path := range got {
			packages[strings.Split(path, "/")[1]] = true
		}
		if len(packages) != n {
			t.Errorf("%s: %d packages, dpkg says %d", name, len(packages), n)
		}
	}
}

func TestMarksAgreeWithApt(t *testing.T) {
	dir := corpus(t, "dpkg-edge/edge1")
	root := tarTree(t, filepath.Join(dir, "rootfs-dpkg-etc.tar.xz"), 0)
	if root["var/lib/apt/extended_states"] == nil {
		t.Skip("the captured tree has no extended_states")
	}
	b, err := os.ReadFile(filepath.Join(dir, "apt-mark-showauto.txt"))
	if err != nil {
		t.Fatal(err)
	}
	got := gather(t, apt(), memHost(root))
	for name := range strings.FieldsSeq(string(b)) {
		if got["apt/auto/"+name] == "" {
			t.Errorf("%s is not marked", name)
		}
		delete(got, "apt/auto/"+name)
	}
	for path := range got {
		if strings.HasPrefix(path, "apt/auto/") {
			t.Errorf("%s is marked", path)
		}
	}
}

// TestConffilesAgreeWithDebsums compares every conffile with its record and
// expects those that debsums and dpkg -V named.
func TestConffilesAgreeWithDebsums(t *testing.T) {
	dir := corpus(t, "dpkg-edge/edge1")
	root := tarTree(t, filepath.Join(dir, "rootfs-dpkg-etc.tar.xz"), 0)
	conffiles, err := Conffiles(memHost(root))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for path, cf := range conffiles {
		b, err := root.ReadFile(strings.TrimPrefix(path, "/"))
		switch {
		case err != nil && !cf.Obsolete:
			got = append(got, "missing "+path)
		case err == nil && md5.Sum(b) != cf.MD5:
			got = append(got, "modified "+path)
		}
	}
	slices.Sort(got)
	want := []string{"missing /etc/cron.daily/dpkg", "modified /etc/default/cron", "modified /etc/login.defs", "modified /etc/nginx/mime.types"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestStanzasAreCutWhereverTheReaderStops(t *testing.T) {
	file := "A: 1\nB: x\n y\n\n\n\nA: 2\n" + strings.Repeat("C: "+strings.Repeat("z", 300)+"\n", 1000) + "\nA: 3"
	for _, size := range []int{1, 2, 7, 4096, 1 << 20} {
		var got []string
		err := eachStanza("test", &slowReader{[]byte(file), size}, func(stanza []byte) error {
			got = append(got, fmt.Sprintf("%s/%d", field(stanza, "a"), len(stanza)))
			return nil
		})
		if want := []string{"1/13", "2/304005", "3/4"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("by %d bytes: %q, %v; want %q", size, got, err, want)
		}
	}
	endless := strings.Repeat("x", maxStanza+stanzaBlock)
	if err := eachStanza("test", strings.NewReader(endless), func([]byte) error { return nil }); !errors.Is(err, ErrTooBig) {
		t.Errorf("error %v, want ErrTooBig", err)
	}
}

// slowReader gives at most size bytes at once.
type slowReader struct {
	rest []byte
	size int
}

func (r *slowReader) Read(b []byte) (int, error) {
	n := copy(b[:min(len(b), r.size)], r.rest)
	r.rest = r.rest[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func FuzzDpkgStatus(f *testing.F) {
	f.Add([]byte(smallStatus), []byte("/a\n/b\nc\n"))
	f.Add([]byte(":"), []byte("0")) // a field without a name
	f.Add([]byte("Package:\n\nStatus: x\nPackage: a/b\x1b\nConffiles:\n /etc/x 0"), []byte{})
	f.Fuzz(func(t *testing.T, status, diversions []byte) {
		h := memHost(fstest.MapFS{dpkgStatus: {Data: status}, "var/lib/dpkg/diversions": {Data: diversions}})
		r := Run(t.Context(), h, []Collector{dpkg()})
		if s := r.Status[0]; strings.Contains(s.Detail, "panic") {
			t.Error(s.Detail)
		}
		for section, set := range fact.Split(r.Facts) {
			if err := set.Check(section); err != nil {
				t.Error(err)
			}
		}
	})
}

// BenchmarkDpkg parses the status of 2,871 packages.
func BenchmarkDpkg(b *testing.B) {
	status := unxz(b, filepath.Join(corpus(b, "apt/xfce"), "status.xz"))
	h := memHost(fstest.MapFS{dpkgStatus: {Data: status}})
	b.SetBytes(int64(len(status)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := readPackages(h); err != nil {
			b.Fatal(err)
		}
	}
}
