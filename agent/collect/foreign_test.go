package collect

import (
	"io/fs"
	"strings"
	"testing"
)

func TestVersionOfAFlatpakIsFoundInItsRecord(t *testing.T) {
	for _, tt := range []struct{ record, want string }{
		{"xappdata-version\x00\x002.10.38\x00\x00s\x00", "2.10.38"},
		{"appdata-version\x001.0\x00s", "1.0"},
		{"appdata-version\x001.0\x00b", ""},
		{"appdata-version\x001.0", ""},
		{"appdata-version", ""},
		{"appdata-name\x00x\x00s", ""},
	} {
		if got := deployedVersion([]byte(tt.record)); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.record, got, tt.want)
		}
	}
}

func TestNamesOfGemsAreTakenApart(t *testing.T) {
	for file, want := range map[string][2]string{
		"rake-13.0.6.gemspec":                    {"rake", "13.0.6"},
		"nokogiri-1.15.4-x86_64-linux.gemspec":   {"nokogiri", "1.15.4"},
		"net-http2-0.18.5.gemspec":               {"net-http2", "0.18.5"},
		"foo-2fa-1.0.gemspec":                    {"foo-2fa", "1.0"},
		"rails-7.1.0.beta1.gemspec":              {"rails", "7.1.0.beta1"},
		"google-protobuf-3.25.1-java.gemspec":    {"google-protobuf", "3.25.1"},
		"README":                                 {},
		"noversion.gemspec":                      {},
		strings.Repeat("-1", 5000) + ".gemspec9": {},
	} {
		var got [2]string
		if m := gemFile.FindStringSubmatch(file); m != nil {
			got = [2]string{m[1], m[2]}
		}
		if got != want {
			t.Errorf("%.40q: %q, want %q", file, got, want)
		}
	}
}

func TestScriptThatWasChangedInPlaceIsNoticed(t *testing.T) {
	root := recorded(t, "testdata/tjener.txtar")
	h := Host{FS: root, Now: memHost(nil).Now, Cache: &Cache{}}
	const path = "app/local/%2Fusr%2Flocal%2Fbin%2Fsync-pupils"
	before, _ := Run(t.Context(), h, []Collector{localSoftware()}).Facts.Get(path)
	write(t, root, "usr/local/bin/sync-pupils", "#!/bin/sX\n") // as long as before
	after, _ := Run(t.Context(), h, []Collector{localSoftware()}).Facts.Get(path)
	if before == after || !strings.Contains(after, "sha256:") {
		t.Errorf("before %q, after %q", before, after)
	}
}

func FuzzForeignSoftware(f *testing.F) {
	f.Add("appdata-version\x001.0\x00s", "version: '1'", `{"version":"1"}`, "rake-13.gemspec")
	f.Fuzz(func(t *testing.T, deploy, snap, module, name string) {
		if !fs.ValidPath(name) || strings.Contains(name, "/") || name == "." {
			name = "x"
		}
		root := tree(map[string]string{
			"var/lib/flatpak/app/a/b/c/active/deploy": deploy, "var/lib/snapd/snaps/a_1.snap": "", "snap/a/1/meta/snap.yaml": snap,
			"usr/local/lib/node_modules/a/package.json": module, "var/lib/gems/1/specifications/" + name: "", "opt/" + name: "",
			"usr/local/lib/python3.11/dist-packages/" + name: "",
		})
		inert(t, root, flatpaks(), snaps(), languagePackages(), localSoftware())
	})
}
