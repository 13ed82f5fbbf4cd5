package collect

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func memHost(files fstest.MapFS) Host {
	return Host{FS: files, Now: func() time.Time { return noon }}
}

func text(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s), ModTime: noon} }

func unxz(t testing.TB, file string) []byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := xz.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// profile makes a root of one of the captured Debian Edu profiles.
func profile(t testing.TB, name string) fstest.MapFS {
	t.Helper()
	dir := corpus(t, "apt/"+name)
	files := fstest.MapFS{dpkgStatus: {Data: unxz(t, filepath.Join(dir, "status.xz"))}}
	for _, f := range []string{"preferences", "sources.list"} {
		b, err := os.ReadFile(filepath.Join(dir, f))
		if err != nil {
			t.Fatal(err)
		}
		files["etc/apt/"+f] = &fstest.MapFile{Data: b}
	}
	lists, err := filepath.Glob(filepath.Join(dir, "lists", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lists {
		base := aptLists + "/" + filepath.Base(l)
		if release, ok := strings.CutSuffix(base, ".header"); ok {
			b, err := os.ReadFile(l)
			if err != nil {
				t.Fatal(err)
			}
			files[release] = &fstest.MapFile{Data: b}
			continue
		}
		files[strings.TrimSuffix(base, ".xz")] = &fstest.MapFile{Data: unxz(t, l)}
	}
	return files
}

// aptAnswer reads what "apt list --upgradable" printed:
// name/suite version arch [upgradable from: version].
func aptAnswer(t testing.TB, name string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(corpus(t, "apt/"+name), "apt-list-upgradable.txt"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^([^/\n]+)/(\S+) (\S+) \S+ \[upgradable from: (\S+)\]`).FindAllStringSubmatch(string(b), -1) {
		value := m[4] + " → " + m[3]
		if strings.Contains(m[2], "security") {
			value += " security"
		}
		out[m[1]] = value
	}
	return out
}

func gather(t testing.TB, c Collector, h Host) map[string]string {
	t.Helper()
	r := Run(t.Context(), h, []Collector{c})
	if s := r.Status[0]; s.State != OK {
		t.Errorf("%s: %s: %s", s.Name, s.State, s.Detail)
	}
	out := map[string]string{}
	for _, f := range r.Facts {
		out[f.Path] = f.Value
	}
	return out
}

func TestPendingUpgradesAreWhatAptSays(t *testing.T) {
	for _, name := range []string{"ws", "xfce", "gnome"} {
		t.Run(name, func(t *testing.T) {
			got := gather(t, upgrades(), memHost(profile(t, name)))
			if got["apt/lists/state"] != "complete" {
				t.Errorf("lists are %q", got["apt/lists/state"])
			}
			delete(got, "apt/lists/state")
			want := aptAnswer(t, name)
			if len(want) < 100 {
				t.Fatalf("the oracle has only %d lines", len(want))
			}
			for pkg, value := range want {
				if g := got["apt/upgrade/"+pkg]; strings.TrimSuffix(g, " security") != strings.TrimSuffix(value, " security") {
					t.Errorf("%s: %q, apt says %q", pkg, g, value)
				} else if strings.HasSuffix(value, " security") && !strings.HasSuffix(g, " security") {
					t.Errorf("%s: %q does not say that it is a security upgrade", pkg, g)
				}
			}
			if len(got) != len(want) {
				for path := range got {
					if want[strings.TrimPrefix(path, "apt/upgrade/")] == "" {
						t.Errorf("%s is not in apt's answer", path)
					}
				}
			}
		})
	}
}

func TestPackedListsGiveTheSameAnswer(t *testing.T) {
	plain := archive("", map[string]string{"a": "1.1", "b": "1.2"})
	for name, f := range plain {
		if strings.HasSuffix(name, "_Packages") { // more than one block of any packer
			f.Data = append(bytes.Repeat([]byte("Package: other\nVersion: 1\n\n"), 40_000), f.Data...)
		}
	}
	want := gather(t, upgrades(), memHost(plain))
	if want["apt/upgrade/p"] != "1.0 → 1.2" {
		t.Fatalf("got %v", want)
	}
	for ending, packer := range packers(t) {
		files := fstest.MapFS{}
		for name, f := range plain {
			if !strings.HasSuffix(name, "_Packages") {
				files[name] = f
				continue
			}
			var packed bytes.Buffer
			z := packer(&packed)
			if _, err := z.Write(f.Data); err != nil {
				t.Fatal(err)
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			files[name+ending] = &fstest.MapFile{Data: packed.Bytes()}
		}
		if got := gather(t, upgrades(), memHost(files)); !maps.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", ending, got, want)
		}
	}
}

func packers(t *testing.T) map[string]func(w io.Writer) io.WriteCloser {
	return map[string]func(w io.Writer) io.WriteCloser{
		".gz":  func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		".lz4": func(w io.Writer) io.WriteCloser { return lz4.NewWriter(w) },
		".zst": func(w io.Writer) io.WriteCloser {
			z, err := zstd.NewWriter(w)
			if err != nil {
				t.Fatal(err)
			}
			return z
		},
		".xz": func(w io.Writer) io.WriteCloser {
			z, err := xz.NewWriter(w)
			if err != nil {
				t.Fatal(err)
			}
			return z
		},
	}
}

func TestHeldPackagesAreWhatAptSays(t *testing.T) {
	for _, name := range []string{"ws", "xfce", "gnome"} {
		status := unxz(t, filepath.Join(corpus(t, "apt/"+name), "status.xz"))
		got := gather(t, apt(), memHost(fstest.MapFS{dpkgStatus: {Data: status}}))
		b, err := os.ReadFile(filepath.Join(corpus(t, "apt/"+name), "apt-mark-showhold.txt"))
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Fields(string(b))
		for _, pkg := range want {
			if got["apt/hold/"+pkg] == "" {
				t.Errorf("%s: %s is not held", name, pkg)
			}
		}
		n := 0
		for path := range got {
			if strings.HasPrefix(path, "apt/hold/") {
				n++
			}
		}
		if n != len(want) {
			t.Errorf("%s: %d held, want %d", name, n, len(want))
		}
	}
}

// archive makes a root with one installed package "p" 1.0 and archives.
func archive(preferences string, releases map[string]string) fstest.MapFS {
	files := fstest.MapFS{
		dpkgStatus: text("Package: dpkg\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n" +
			"Package: p\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0\n"),
		"etc/apt/preferences": text(preferences),
	}
	var sources strings.Builder
	for suite, spec := range releases {
		version, release, _ := strings.Cut(spec, "|")
		fmt.Fprintf(&sources, "deb http://a.example/debian %s main\n", suite)
		base := aptLists + "/a.example_debian_dists_" + suite + "_"
		files[base+"InRelease"] = text("Suite: " + suite + "\nDate: Sat, 21 Nov 2026 00:00:00 UTC\n" + strings.ReplaceAll(release, "|", "\n"))
		files[base+"main_binary-amd64_Packages"] = text("Package: p\nArchitecture: amd64\nVersion: " + version + "\n")
	}
	files["etc/apt/sources.list"] = text(sources.String())
	return files
}

func TestCandidateFollowsAptsPolicy(t *testing.T) {
	tests := []struct {
		claim, preferences string
		releases           map[string]string
		want               string
	}{
		{"the newest version wins", "", map[string]string{"a": "1.1", "b": "1.2"}, "1.0 → 1.2"},
		{"an older version is no upgrade", "", map[string]string{"a": "0.9"}, ""},
		{"experimental is never automatic", "", map[string]string{"e": "2|NotAutomatic: yes"}, ""},
		{"a newer binary rebuild is an upgrade", "", map[string]string{"a": "1.0+b1"}, "1.0 → 1.0+b1"},
		{"a version before the installed one is not", "", map[string]string{"a": "1.0~rc1"}, ""},
		{"backports upgrade what came from there", "", map[string]string{"b": "1.1|NotAutomatic: yes|ButAutomaticUpgrades: yes"}, "1.0 → 1.1"},
		{"backports do not replace what is in the main suite", "", map[string]string{"a": "1.0", "b": "1.1|NotAutomatic: yes|ButAutomaticUpgrades: yes"}, ""},
		{"a negative pin forbids", "Package: p\nPin: release a=a\nPin-Priority: -1\n", map[string]string{"a": "1.1"}, ""},
		{"a pin prefers the lower version", "Package: *\nPin: release a=a\nPin-Priority: 900\n", map[string]string{"a": "1.1", "b": "1.2"}, "1.0 → 1.1"},
		{"the first general pin counts", "Package: *\nPin: release a=b\nPin-Priority: 1\n\nPackage: *\nPin: release a=b\nPin-Priority: 900\n", map[string]string{"b": "1.2", "a": "1.0"}, ""},
		{"a pin on one file is for the version", "Package: p\nPin: release a=b\nPin-Priority: -1\n", map[string]string{"a": "1.1", "b": "1.1"}, ""},
		{"a general pin on one file leaves the other", "Package: *\nPin: release a=b\nPin-Priority: -1\n", map[string]string{"a": "1.1", "b": "1.1"}, "1.0 → 1.1"},
		{"a pin on the version", "Package: p\nPin: version 1.1*\nPin-Priority: 990\n", map[string]string{"a": "1.1-3", "b": "1.2"}, "1.0 → 1.1-3"},
		{"a pin on the host", "Package: p\nPin: origin a.example\nPin-Priority: -1\n", map[string]string{"a": "1.1"}, ""},
		{"a pin by glob", "Package: q* p*\nPin: release a=a\nPin-Priority: -1\n", map[string]string{"a": "1.1"}, ""},
		{"security is known by its label alone", "", map[string]string{"x": "1.1|Label: Debian-Security", "y": "1.2|Label: Debian"}, "1.0 → 1.2 security"},
		{"a security fix that is installed does not count", "", map[string]string{"x": "1.0|Label: Debian-Security", "y": "1.2|Label: Debian"}, "1.0 → 1.2"},
	}
	for _, tt := range tests {
		t.Run(tt.claim, func(t *testing.T) {
			got := gather(t, upgrades(), memHost(archive(tt.preferences, tt.releases)))
			if got["apt/upgrade/p"] != tt.want {
				t.Errorf("got %q, want %q", got["apt/upgrade/p"], tt.want)
			}
		})
	}
}

func TestUpgradeIsForItsOwnArchitecture(t *testing.T) {
	files := archive("", map[string]string{"a": "1.1"})
	files[dpkgStatus] = text(string(files[dpkgStatus].Data) + "\nPackage: p\nStatus: install ok installed\nArchitecture: i386\nVersion: 1.0\n\n" +
		"Package: q\nStatus: install ok installed\nArchitecture: all\nVersion: 1.0\n\nPackage: r\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1.0\n")
	files["var/lib/dpkg/arch"] = text("amd64\ni386\n")
	files[aptLists+"/a.example_debian_dists_a_main_binary-i386_Packages"] = text("Package: p\nArchitecture: i386\nVersion: 1.2\n\n" +
		"Package: q\nArchitecture: all\nVersion: 2\n\nPackage: r\nArchitecture: all\nVersion: 2\n")
	want := map[string]string{"apt/upgrade/p": "1.0 → 1.1", "apt/upgrade/p:i386": "1.0 → 1.2", "apt/upgrade/q": "1.0 → 2", "apt/lists/state": "complete"}
	if got := gather(t, upgrades(), memHost(files)); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestDefaultReleaseIsPreferred(t *testing.T) {
	files := archive("", map[string]string{"a": "1.1", "b": "1.2"})
	files["etc/apt/apt.conf.d/50own"] = text("APT { Default-Release \"a\"; };\n")
	if got := gather(t, upgrades(), memHost(files))["apt/upgrade/p"]; got != "1.0 → 1.1" {
		t.Errorf("got %q", got)
	}
}

func TestMissingListsAreNotNothingToDo(t *testing.T) {
	files := archive("", map[string]string{"a": "1.1", "b": "1.2"})
	delete(files, aptLists+"/a.example_debian_dists_b_main_binary-amd64_Packages")
	if got := gather(t, upgrades(), memHost(files))["apt/lists/state"]; got != "incomplete: 1 of 2 lists are missing" {
		t.Errorf("state %q", got)
	}
	maps.DeleteFunc(files, func(name string, _ *fstest.MapFile) bool { return strings.HasPrefix(name, aptLists) })
	if got := gather(t, upgrades(), memHost(files)); got["apt/lists/state"] != "none" || len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

func TestUpgradesAreRememberedUntilSomethingChanges(t *testing.T) {
	files := archive("", map[string]string{"a": "1.1"})
	h := memHost(files)
	h.Cache = &Cache{}
	first := gather(t, upgrades(), h)
	list := files[aptLists+"/a.example_debian_dists_a_main_binary-amd64_Packages"]
	list.Data = bytes.ReplaceAll(list.Data, []byte("1.1"), []byte("1.5")) // same size and time: not read again
	if got := gather(t, upgrades(), h); !maps.Equal(got, first) {
		t.Errorf("read again: %v", got)
	}
	list.ModTime = noon.Add(time.Second)
	if got := gather(t, upgrades(), h)["apt/upgrade/p"]; got != "1.0 → 1.5" {
		t.Errorf("not read again: %q", got)
	}
	files["etc/apt/preferences"] = text("Package: p\nPin: release a=a\nPin-Priority: -1\n")
	if got := gather(t, upgrades(), h)["apt/upgrade/p"]; got != "" {
		t.Errorf("the pin does not count: %q", got)
	}
}

func TestListNamesAreAsAptMakesThem(t *testing.T) {
	for uri, want := range map[string]string{
		"http://deb.example.org/debian/": "deb.example.org_debian_",
		"https://a.example:8080/x_y/~z":  "a.example:8080_x%5fy_%7ez",
		"file:/srv/repo":                 "_srv_repo",
		"file:///srv/repo":               "_srv_repo",
		"mirror+file:/etc/apt/mirrors/d": "_etc_apt_mirrors_d",
		"cdrom:[Debian GNU/Linux 12]/":   "%5bDebian%20GNU_Linux%2012%5d_",
		"bookworm/updates":               "bookworm_updates",
	} {
		if got := listName(uri); got != want {
			t.Errorf("listName(%q) = %q, want %q", uri, got, want)
		}
	}
}

func FuzzPackageLists(f *testing.F) {
	f.Add([]byte("Package: p\nArchitecture: amd64\nVersion: 1.1\n\n"), []byte("Suite: a\n"), []byte("Package: *\nPin: release a=a\nPin-Priority: 900\n"))
	f.Add([]byte("\n\n\nVersion:\n : \nPackage"), []byte("-----BEGIN PGP SIGNED MESSAGE-----\nHash: x\n\nSuite: a\nSHA256:\n x"), []byte("Package: /[/\nPin: version [\nPin-Priority: 1\n"))
	f.Fuzz(func(t *testing.T, list, release, preferences []byte) {
		files := archive("", map[string]string{"a": "1"})
		files["etc/apt/preferences"] = &fstest.MapFile{Data: preferences}
		files[aptLists+"/a.example_debian_dists_a_InRelease"] = &fstest.MapFile{Data: release}
		files[aptLists+"/a.example_debian_dists_a_main_binary-amd64_Packages"] = &fstest.MapFile{Data: list}
		r := Run(t.Context(), memHost(files), []Collector{upgrades()})
		for _, s := range r.Status {
			if strings.Contains(s.Detail, "panic") {
				t.Error(s.Detail)
			}
		}
		for _, fact := range r.Facts {
			if err := fact.Check(); err != nil {
				t.Error(err)
			}
		}
	})
}

// BenchmarkUpgrades reads the captured lists, repeated up to what a machine with
// main, contrib, updates and security has.
func BenchmarkUpgrades(b *testing.B) {
	files := profile(b, "xfce")
	total := 0
	for name, f := range files {
		if strings.HasSuffix(name, "_Packages") {
			const full = 10
			f.Data = bytes.Join(slices.Repeat([][]byte{f.Data}, full), []byte("\n\n"))
			total += len(f.Data)
		}
	}
	h := memHost(files)
	b.SetBytes(int64(total))
	b.ReportAllocs()
	for b.Loop() {
		if r := Run(b.Context(), h, []Collector{upgrades()}); r.Status[0].State != OK {
			b.Fatal(r.Status)
		}
	}
}
