package agent

import (
	"errors"
	"maps"
	"os"
	"path"
	"strings"
	"testing"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
)

func TestAnImageReadsWhatItWrote(t *testing.T) {
	want := Image{CI: "ci00112233445566778899", Sets: map[string]fact.Set{"pkg": {{Path: "pkg/cups/version", Value: "2.4.2"}}}}
	name := t.TempDir() + "/image"
	must(t, WriteImage(name, want))
	got, err := ReadImage(name)
	if err != nil || got.CI != want.CI || !maps.EqualFunc(got.Sets, want.Sets, func(a, b fact.Set) bool { return a.Digest() == b.Digest() }) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("its mode is %v, %v, want 0644: it lies in an image", info.Mode(), err)
	}
	raw, err := want.Encode()
	must(t, err)
	for i := range raw {
		bent := append([]byte(nil), raw...)
		bent[i] ^= 0x20
		if got, err := ParseImage(bent); err == nil && got.CI == want.CI {
			t.Fatalf("a flipped bit at byte %d is not noticed", i)
		}
	}
}

func FuzzParseImage(f *testing.F) {
	raw, err := Image{CI: "ci00112233445566778899", Sets: map[string]fact.Set{"id": {{Path: "id/class", Value: "diskless"}}}}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte("rollcall-image v1 x\nRCS1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		i, err := ParseImage(b)
		if err == nil && (i.CI == "" || i.CI != fact.Name(i.CI)) {
			t.Errorf("an image of CI %q", i.CI)
		}
	})
}

// The pattern by which LTSP leaves the state folder for machines out of which images
// are made, as docs/seats.md tells to configure it, and the default one.
const (
	imageState   = "/var/backups/rollcall"
	ltspBackups  = "var/backups/*"
	ltspExcludes = "/usr/share/ltsp/server/image/image.excludes"
)

// skipped tells whether mksquashfs leaves a path out, which LTSP runs with these
// patterns: one that fits a folder takes all below it. Those with !(…) are none of
// path.Match and are passed over.
func skipped(patterns []string, name string) bool {
	for name = strings.TrimPrefix(name, "/"); name != "."; name = path.Dir(name) {
		for _, p := range patterns {
			if ok, err := path.Match(p, name); ok && err == nil {
				return true
			}
		}
	}
	return false
}

func TestLTSPLeavesTheStateOfAServerOutOfItsImages(t *testing.T) {
	patterns := []string{ltspBackups}
	name := ltspExcludes
	if v := os.Getenv("LTSP_EXCLUDES"); v != "" {
		name = v
	}
	if b, err := os.ReadFile(name); err == nil {
		patterns = nil
		for line := range strings.Lines(string(b)) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' && !strings.Contains(line, "!(") {
				patterns = append(patterns, line)
			}
		}
	} else {
		t.Logf("Debian's package ltsp is not here: %s stands for its list", ltspBackups)
	}
	for _, file := range []string{keyFile, birthFile, serverFile, spoolDir + "/1.env", sealedDir + "/x", fingerprintFile} {
		if !skipped(patterns, imageState+"/"+file) {
			t.Errorf("%s/%s comes into an image", imageState, file)
		}
		if skipped(patterns, Default().State+"/"+file) {
			t.Errorf("%s/%s is left out of images: docs/seats.md says that it is not", Default().State, file)
		}
	}
}

func TestATokenThatIsASecretIsNoneForABootImage(t *testing.T) {
	c := Default()
	c.Root, c.State = t.TempDir(), t.TempDir()+"/nowhere"
	_, err := Open(c, Deps{Seat: &Seat{Token: identity.Token{ID: "0102"}}})
	if !errors.Is(err, ErrSecretToken) {
		t.Errorf("Open: %v, want ErrSecretToken", err)
	}
}
