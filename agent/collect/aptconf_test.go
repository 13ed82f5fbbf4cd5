package collect

import (
	"maps"
	"strings"
	"testing"
	"testing/fstest"
)

func TestSourcesOfBothStyles(t *testing.T) {
	got := gather(t, apt(), memHost(fstest.MapFS{
		dpkgStatus: text(smallStatus),
		"etc/apt/sources.list": text("# deb http://off.example/debian x main\n" +
			"deb http://user:CANARY@deb.example/debian bookworm main contrib # why\n" +
			"deb-src [ signed-by=/usr/share/keyrings/k.gpg arch=amd64,i386 ] http://deb.example/debian\tbookworm main\n" +
			"deb http://flat.example/ ./\ndeb http://broken.example\n"),
		"etc/apt/sources.list.d/b.sources": text("# comment\nTypes: deb deb-src\nURIs: http://a.example/debian\n  https://u:CANARY@b.example/\n# in between\nSuites: trixie trixie-updates\n" +
			"Components: main\nSigned-By: /k.gpg\n   \nEnabled: no\nTypes: deb\nURIs: http://off.example/\nSuites: x\nComponents: y\n"),
		"etc/apt/sources.list.d/ignored.list.save": text("deb http://off.example/debian x main\n"),
		"etc/apt/preferences":                      text("Package: *\nPin: release n=trixie\nPin-Priority: -10\n"),
		"etc/apt/preferences.d/own.pref":           text("Explanation: x\nPackage: cups  cups-client\nPin: version 2.4*\nPin-Priority: 1001\n"),
		"etc/apt/apt.conf.d/10proxy": text("// comment\nAcquire::http::Proxy \"http://u:CANARY@proxy.example:3128/\";\n/* block\n*/\n" +
			"Acquire { https { Proxy \"DIRECT\"; }; ftp::Proxy::ftp.example \"x\"; };\nDPkg::Post-Invoke { \"echo { ; }\"; };\n"),
		"etc/apt/keyrings/k.asc": text("key"),
	}))
	want := map[string]string{
		"apt/source/sources.list/1":  "deb http://deb.example/debian bookworm main contrib",
		"apt/source/sources.list/2":  "deb-src http://deb.example/debian bookworm main [signed-by=/usr/share/keyrings/k.gpg arch=amd64,i386]",
		"apt/source/sources.list/3":  "deb http://flat.example/ ./",
		"apt/source/b.sources/1":     "deb deb-src http://a.example/debian https://b.example/ trixie trixie-updates main [signed-by=/k.gpg]",
		"apt/pin/preferences/1":      "*; release n=trixie; -10",
		"apt/pin/own.pref/1":         "cups cups-client; version 2.4*; 1001",
		"apt/proxy/http":             "http://proxy.example:3128/",
		"apt/proxy/https":            "DIRECT",
		"apt/proxy/ftp::ftp.example": "x",
		"apt/key/k.asc":              "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683",
		"apt/hold/libc6":             "hold",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestAgeOfListsIsInDaysAndAbsentWithoutLists(t *testing.T) {
	files := archive("", map[string]string{"a": "1.1"})
	for _, f := range files {
		f.ModTime = noon.AddDate(0, 0, -40)
	}
	files[aptLists] = &fstest.MapFile{Mode: 0o755 | 1<<31, ModTime: noon.AddDate(0, 0, -100)}
	release := files[aptLists+"/a.example_debian_dists_a_InRelease"]
	release.Data = []byte(strings.Replace(string(release.Data), "Sat, 21 Nov", "Sat, 07 Nov", 1))
	if got := gather(t, apt(), memHost(files))["apt/lists/age"]; got != "14" {
		t.Errorf("age %q, want 14 (the bucket of 14 days)", got)
	}
	files["var/lib/apt/periodic/update-success-stamp"] = text("")
	if got := gather(t, apt(), memHost(files))["apt/lists/age"]; got != "0" {
		t.Errorf("age %q, want 0 after an update", got)
	}
	if got, ok := gather(t, apt(), memHost(dpkgTree(smallStatus)))["apt/lists/age"]; ok {
		t.Errorf("age %q without lists", got)
	}
}

func FuzzAptConfiguration(f *testing.F) {
	f.Add("deb [ arch=amd64 ] http://a/ b c\n", "Types: deb\nURIs: x\nSuites: y\n", "Acquire::http::Proxy \"x\";{}};\"")
	f.Add("deb http://[::1%25]:x@/ ./\n", "Types:\n #\nURIs", "/* { // \n # x")
	f.Fuzz(func(t *testing.T, list, sources, conf string) {
		r := Run(t.Context(), memHost(fstest.MapFS{
			dpkgStatus: text(smallStatus), "etc/apt/sources.list": text(list), "etc/apt/sources.list.d/x.sources": text(sources), "etc/apt/apt.conf": text(conf),
		}), []Collector{apt(), upgrades()})
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
