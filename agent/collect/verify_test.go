package collect

import (
	"crypto/md5"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// sums makes a list of digests as dpkg keeps it.
func sums(files ...string) string {
	var b strings.Builder
	for i := 0; i < len(files); i += 2 {
		fmt.Fprintf(&b, "%x  %s\n", md5.Sum([]byte(files[i+1])), files[i])
	}
	return b.String()
}

// shipped is a machine with a few packages, of whose files some are not as they were.
func shipped() fstest.MapFS {
	return tree(map[string]string{
		"var/lib/dpkg/info/a.md5sums":       sums("usr/bin/a", "a", "usr/share/doc/a/README", "x", "usr/share/doc/a/copyright", "c", "usr/lib/a b", "two words"),
		"var/lib/dpkg/info/b:amd64.md5sums": sums("usr/bin/b", "b", "usr/bin/gone", "g", "usr/bin/shared", "b's"),
		"var/lib/dpkg/info/b:amd64.list":    "/usr/bin/b\n",
		"var/lib/dpkg/info/torn.md5sums":    "not a digest  usr/bin/a\n0123\n\n" + strings.Repeat("0", 32) + "  ../../etc/shadow\n",
		"var/lib/dpkg/diversions":           "/usr/bin/shared\n/usr/bin/shared.b\nd\n",
		"etc/dpkg/dpkg.cfg.d/docs":          "# x\npath-exclude=/usr/share/doc/*\npath-include=/usr/share/doc/*/copyright\n",
		"usr/bin/a":                         "a", "usr/lib/a b": "two words", "usr/share/doc/a/copyright": "c",
		"usr/bin/b": "patched", "usr/bin/shared": "d's", "usr/bin/shared.b": "b's",
	})
}

var unlike = map[string]string{"verify/%2Fusr%2Fbin%2Fb": "changed b", "verify/%2Fusr%2Fbin%2Fgone": "missing b", "verify/round": "finished"}

func TestFilesThatAreNotAsTheyWereShippedAreFound(t *testing.T) {
	files, now := shipped(), noon
	h := Host{FS: files, Now: func() time.Time { return now }, Cache: &Cache{}, Verify: true}
	look := func() map[string]string {
		r := Run(t.Context(), h, []Collector{verify()})
		got := map[string]string{}
		for _, f := range r.Facts {
			got[f.Path] = f.Value
		}
		if r.Status[0].State != OK {
			t.Errorf("%+v", r.Status[0])
		}
		return got
	}
	if got := look(); !maps.Equal(got, unlike) {
		t.Errorf("got %v\nwant %v", got, unlike)
	}
	files["usr/bin/b"] = &fstest.MapFile{Data: []byte("b")}
	delete(files, "usr/bin/a")
	now = now.Add(6 * 24 * time.Hour)
	if got := look(); !maps.Equal(got, unlike) {
		t.Errorf("read again before a week is over: %v", got)
	}
	now = now.Add(24 * time.Hour)
	want := map[string]string{"verify/%2Fusr%2Fbin%2Fa": "missing a", "verify/%2Fusr%2Fbin%2Fgone": "missing b", "verify/round": "finished"}
	if got := look(); !maps.Equal(got, want) {
		t.Errorf("a week later: got %v\nwant %v", got, want)
	}
	delete(files, "var/lib/dpkg/info/b:amd64.md5sums")
	now = now.Add(7 * 24 * time.Hour)
	if got := look(); got["verify/%2Fusr%2Fbin%2Fgone"] != "" {
		t.Errorf("of a package that is gone: %v", got)
	}
}

func TestRoundGoesOnInTheNextLookAndAfterARestart(t *testing.T) {
	now := noon
	h := Host{FS: shipped(), Verify: true, Now: func() time.Time { now = now.Add(8 * time.Second); return now }}
	var saved []byte
	for look := 1; ; look++ {
		h.Cache = &Cache{} // the program was started anew
		var v Verification
		if err := json.Unmarshal(append([]byte(nil), saved...), &v); saved != nil && err != nil {
			t.Fatal(err)
		}
		h.Cache.SetVerification(v)
		r := Run(t.Context(), h, []Collector{verify()})
		got := map[string]string{}
		for _, f := range r.Facts {
			got[f.Path] = f.Value
			if unlike[f.Path] != f.Value && f.Path != "verify/round" {
				t.Errorf("look %d: %s = %s", look, f.Path, f.Value)
			}
		}
		if maps.Equal(got, unlike) {
			if look < 3 {
				t.Errorf("done after %d looks: nothing went on", look)
			}
			return
		}
		if look == 50 {
			t.Fatalf("never done: %v", got)
		}
		var err error
		if saved, err = json.Marshal(h.Cache.Verification()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFilesAreOnlyComparedWhereThatIsAskedFor(t *testing.T) {
	r := Run(t.Context(), Host{FS: shipped(), Now: time.Now}, []Collector{verify()})
	if r.Status[0].State != NotHere || len(r.Facts) > 0 {
		t.Errorf("%+v %v", r.Status[0], r.Facts)
	}
}

func TestWhatIsSeenWhileDpkgWorksDoesNotCount(t *testing.T) {
	files := shipped()
	files["var/lib/dpkg/updates/0001"] = &fstest.MapFile{}
	h := Host{FS: files, Now: func() time.Time { return noon }, Cache: &Cache{}, Verify: true}
	r := Run(t.Context(), h, []Collector{verify()})
	if got, _ := r.Facts.Get("verify/round"); len(r.Facts) != 1 || got != "never finished" {
		t.Errorf("%v", r.Facts)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(sums("usr/bin/a", "a"), "/usr/bin/a\n/usr/bin/c\nd\n", "path-exclude=/usr/share/doc/*\npath-include=[\n")
	f.Fuzz(func(t *testing.T, list, diversions, config string) {
		root := tree(map[string]string{
			"var/lib/dpkg/info/a.md5sums": list, "var/lib/dpkg/diversions": diversions, "etc/dpkg/dpkg.cfg": config, "usr/bin/a": "a",
		})
		h := Host{FS: root, Now: func() time.Time { return noon }, Cache: &Cache{}, Verify: true}
		r := Run(t.Context(), h, []Collector{verify()})
		for _, f := range r.Facts {
			if err := f.Check(); err != nil {
				t.Error(err)
			}
		}
		if strings.Contains(r.Status[0].Detail, "panic") {
			t.Error(r.Status[0].Detail)
		}
	})
}
