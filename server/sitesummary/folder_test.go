package sitesummary

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/fact"
)

// known is the recorded machine as an agent would report it.
func known(t testing.TB) entry {
	t.Helper()
	s := read(recorded(t))
	return entry{facts: fact.Split(s.facts), measured: fact.NewSet(s.measured)}
}

func listing(files map[string][]byte) []byte {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&b, "== %s\n%s\n", name, files[name])
	}
	return b.Bytes()
}

func TestTheFilesOfAnAgentsMachine(t *testing.T) {
	e := known(t)
	e.facts["fs"] = fact.Set{
		{Path: "fs/mount/%2F", Value: "/dev/sda2 ext4 rw,errors=remount-ro"}, {Path: "fs/mount/%2Fskole%2F$(reboot)", Value: "/dev/sda3 ext4 rw"},
	}
	e.facts["hw"] = fact.NewSet(append(e.facts["hw"], fact.Fact{Path: "hw/raid/md0/level", Value: "raid1"}))
	e.contents = map[string][]byte{"nagios/sitesummary-nrpe.cfg": []byte("dont_blame_nrpe=1\n")}
	id, files := e.files()
	if id != "ether-2c:4d:54:01:15:21" {
		t.Errorf("it is called %q", id)
	}
	golden(t, "testdata/entry.txt", listing(cleaned(files)))
}

// What is written of facts gives the same facts when it is read.
func TestWrittenFilesAreReadAsTheFactsTheyCameFrom(t *testing.T) {
	e := known(t)
	_, files := e.files()
	again := read(Upload{Files: cleaned(files)})
	got := fact.NewSet(slices.Clone(again.facts))
	missing := []string{}
	for _, set := range e.facts {
		for _, f := range set {
			if v, ok := got.Get(f.Path); !ok || v != f.Value {
				missing = append(missing, f.Path+" = "+f.Value+", not "+v)
			}
		}
	}
	slices.Sort(missing)
	// No release of the client tells more of these, and no tool asks.
	for _, m := range missing {
		if p, _, _ := strings.Cut(m, " "); !slices.ContainsFunc([]string{"hw/bios/", "hw/cpu/cores", "hw/cpu/sockets", "hw/disk/", "module/", "ssh/"}, func(x string) bool { return strings.HasPrefix(p, x) }) {
			t.Errorf("lost: %s", m)
		}
	}
}

func TestNothingInAnEntryActsWhereItIsRead(t *testing.T) {
	up := recorded(t)
	up.Files["system/hostname"] = []byte("pc07;`reboot`$(id)<script>\n")
	up.Files["system/ifconfig-a"] = append([]byte("a0: flags=1<UP>\n  ether $(reboot) x\n\nb`id`: flags=1<UP>\n ether 02:00:00:00:00:09  x\n\n"), up.Files["system/ifconfig-a"]...)
	up.Files["system/route-n"] = []byte("0.0.0.0 $(reboot) 0.0.0.0 UG 0 0 0 eth0\n")
	up.Files["system/procmounts"] = []byte("/dev/sda1 / ext4 rw 0 0\n/dev/sda2 /a;reboot ext4 rw 0 0\n/dev/sda3 /b!x ext4 rw 0 0\n")
	up.Files["system/cdpr.eno1"] = []byte("Device ID\n  value:  ;reboot\nAddresses\n  value:  `id`\n")
	up.Files["system/dmidecode"] = []byte("System Information\n\tManufacturer: <script>alert(1)</script>\x1b[2J\n")
	files := ofUpload(up, read(up))
	for name, b := range files {
		word := "<>`$!;\x1b"
		switch name {
		case "system/ifconfig-a": // what is in brackets there was written by us
			word = "`$!;\x1b"
		case "debian/dpkg-l", "nagios/sitesummary-nrpe.cfg":
			word = "<>`$\x1b"
		}
		if i := bytes.IndexAny(b, word); i >= 0 {
			t.Errorf("%s holds %q: %.60q", name, b[i], b[i:])
		}
	}
	if _, ok := files["system/cdpr.eno1"]; ok || string(files["system/procmounts"]) != "/dev/sda1 / ext4 rw 0 0\n" {
		t.Errorf("mounts are %q", files["system/procmounts"])
	}
	if got := string(files["system/hostname"]); got != "pc07rebootidscript\n" {
		t.Errorf("the host name is %q", got)
	}
	if _, ok := files["system/route-n"]; ok {
		t.Errorf("the route is %q", files["system/route-n"])
	}
}

func newFolder(t *testing.T) *Folder {
	t.Helper()
	f := &Folder{Dir: t.TempDir()}
	if err := f.open(); err != nil {
		t.Fatal(err)
	}
	return f
}

// Whoever reads while entries are written sees all of one state.
func TestAReaderSeesAWholeEntryOrTheOneBefore(t *testing.T) {
	f := newFolder(t)
	state := func(n int) map[string][]byte {
		files := map[string][]byte{}
		for i := range 5 {
			files[fmt.Sprintf("system/f%d", i)] = fmt.Append(nil, n)
		}
		return files
	}
	const entry = "ether-02:00:00:00:00:01"
	if err := f.put(entry, "ci1", state(0), time.Now()); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := f.put(entry, "ci1", state(n), time.Now()); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 200 {
		dir, err := os.Open(f.path("entries", entry, "system")) // as a reader that has begun
		if err != nil {
			t.Fatalf("the entry is away: %v", err)
		}
		_ = dir.Close()
		names, err := os.ReadDir(f.path("entries"))
		if err != nil || len(names) != 1 {
			t.Fatalf("entries: %v, %v", names, err)
		}
	}
	close(stop)
	wg.Wait()
	seen := map[string]bool{}
	for i := range 5 {
		b, err := os.ReadFile(f.path("entries", entry, fmt.Sprintf("system/f%d", i)))
		if err != nil {
			t.Fatal(err)
		}
		seen[string(b)] = true
	}
	if left, err := os.ReadDir(f.path("tmpstorage")); len(seen) != 1 || err != nil || len(left) != 0 {
		t.Errorf("files of %d states; %d left over, %v", len(seen), len(left), err)
	}
}

func TestAFolderKeepsWhatItDidNotWrite(t *testing.T) {
	f := newFolder(t)
	old := f.path("entries", "ether-00:00:5e:00:53:01", "system")
	if err := os.MkdirAll(old, 0o755); err != nil {
		t.Fatal(err)
	}
	left := f.path("tmpstorage", staged+"ether-x-1")
	if err := os.Mkdir(left, 0o700); err != nil {
		t.Fatal(err)
	}
	heard := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	if err := f.put("ether-02:00:00:00:00:01", "ci1", map[string][]byte{"system/hostname": []byte("pc\n")}, heard); err != nil {
		t.Fatal(err)
	}
	f = &Folder{Dir: f.Dir} // the server starts again
	if err := f.open(); err != nil {
		t.Fatal(err)
	}
	if all := f.all(); !slices.Equal(all, []string{"ci1"}) {
		t.Errorf("entries of %q", all)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("what a crash left is still there")
	}
	st, err := os.Stat(f.path("entries", "ether-02:00:00:00:00:01"))
	if err != nil || !st.ModTime().Equal(heard) || st.Mode().Perm() != 0o755 {
		t.Errorf("the entry is %v, %v", st, err)
	}
	if st, err := os.Stat(f.path("entries", "ether-02:00:00:00:00:01", "system/hostname")); err != nil || st.Mode().Perm() != 0o644 {
		t.Errorf("its file is %v, %v", st, err)
	}
	// Another card in it, another name.
	if err := f.put("ether-02:00:00:00:00:02", "ci1", map[string][]byte{}, heard); err != nil {
		t.Fatal(err)
	}
	if err := f.remove("ci1"); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(f.path("entries", "*"))
	if err != nil || !slices.Equal(names, []string{filepath.Dir(old)}) {
		t.Errorf("left are %q, %v", names, err)
	}
}
