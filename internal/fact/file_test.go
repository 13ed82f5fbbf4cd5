package fact

import (
	"io/fs"
	"maps"
	"strings"
	"testing"
)

func sameFile(a, b File) bool {
	x, y := a.Xattr, b.Xattr
	a.Xattr, b.Xattr = nil, nil
	return a.Kind == b.Kind && a.Digest == b.Digest && a.Fingerprint == b.Fingerprint && a.Target == b.Target &&
		a.Mode == b.Mode && a.Owner == b.Owner && a.Group == b.Group && maps.Equal(x, y)
}

func TestFileTextIsAPromise(t *testing.T) {
	zero, one := strings.Repeat("0", 64), "01"+strings.Repeat("0", 62)
	for _, tt := range []struct {
		file File
		want string
	}{
		{File{Kind: KindPlain, Mode: 0o640, Owner: "root", Group: "lp"}, "sha256:" + zero + " 0640 root:lp"},
		{File{Kind: KindTooBig, Digest: Digest{1}, Owner: "0", Group: "0"}, "toobig:" + one + " 0000 0:0"},
		{File{Kind: KindSealed, Fingerprint: "abcd", Digest: Digest{1}, Mode: 0o640, Owner: "root", Group: "shadow"}, "sealed:abcd sha256:" + one + " 0640 root:shadow"},
		{File{Kind: KindKeyed, Fingerprint: "abcd", Mode: 0o600, Owner: "root", Group: "root"}, "keyed:abcd 0600 root:root"},
		{File{Kind: KindLink, Target: "../a b\n%", Mode: 0o777, Owner: "root", Group: "root"}, "link:../a%20b%0A%25 0777 root:root"},
		{File{Kind: KindDir, Mode: 0o755 | fs.ModeSticky | fs.ModeSetgid, Owner: "a b:c", Group: ""}, "dir 3755 a%20b%3Ac:"},
		{File{Kind: KindOther, Mode: 0o4755&0o777 | fs.ModeSetuid, Owner: "root", Group: "root"}, "other 4755 root:root"},
		{
			File{Kind: KindDir, Owner: "r", Group: "r", Xattr: map[string]string{"user.b=c d": "\x00\xff", "security.a": ""}},
			"dir 0000 r:r xattr:security.a= xattr:user.b%3Dc%20d=AP8",
		},
	} {
		if got := tt.file.String(); got != tt.want {
			t.Errorf("String = %q, want %q", got, tt.want)
		}
		got, err := ParseFile(tt.want)
		if err != nil || !sameFile(got, tt.file) {
			t.Errorf("ParseFile(%q) = %+v, %v, want %+v", tt.want, got, err, tt.file)
		}
		if err := (Fact{"etc/x", tt.want}).Check(); err != nil {
			t.Errorf("the text is no value: %v", err)
		}
	}
}

func TestParseFileRefusesWhatItDoesNotKnow(t *testing.T) {
	zero := strings.Repeat("0", 64)
	for claim, s := range map[string]string{
		"nothing":                    "",
		"an unknown kind":            "md5:00 0644 root:root",
		"a short digest":             "sha256:00 0644 root:root",
		"no mode":                    "sha256:" + zero,
		"no owner":                   "dir 0755",
		"no group":                   "dir 0755 root",
		"a mode that is not octal":   "dir 0799 root:root",
		"a mode of too many bits":    "dir 17777 root:root",
		"a negative mode":            "dir -755 root:root",
		"half an escape":             "link:% 0777 root:root",
		"half an escape in a name":   "dir 0755 ro%:root",
		"half an escape in a group":  "dir 0755 root:%z",
		"sealed without digest":      "sealed:abcd",
		"sealed, digest without tag": "sealed:abcd " + zero + " 0640 root:root",
		"an unknown word":            "dir 0755 root:root extra",
		"an attribute without value": "dir 0755 root:root xattr:a",
		"an attribute not base64":    "dir 0755 root:root xattr:a=!",
		"a bad attribute name":       "dir 0755 root:root xattr:%=AA",
		"two spaces":                 "dir  0755 root:root",
	} {
		if f, err := ParseFile(s); err == nil {
			t.Errorf("%s: ParseFile(%q) = %+v, want an error", claim, s, f)
		}
	}
}

func TestModesAreTheTwelveBitsOfStat(t *testing.T) {
	for n := range uint32(0o10000) {
		if got := UnixMode(FileMode(n)); got != n {
			t.Fatalf("UnixMode(FileMode(%04o)) = %04o", n, got)
		}
	}
	if got := UnixMode(fs.ModeDir | fs.ModeSymlink | 0o755); got != 0o755 {
		t.Errorf("UnixMode of a folder = %04o, want 0755", got)
	}
}

func TestOnlyPlainAndSealedFilesHaveContent(t *testing.T) {
	for _, k := range []Kind{KindPlain, KindSealed, KindKeyed, KindTooBig, KindDir, KindLink, KindOther} {
		if got, want := (File{Kind: k}).HasContent(), k == KindPlain || k == KindSealed; got != want {
			t.Errorf("%s: HasContent = %v, want %v", k, got, want)
		}
	}
}

func FuzzParseFile(f *testing.F) {
	zero := strings.Repeat("0", 64)
	for _, s := range []string{
		"sha256:" + zero + " 0640 root:lp", "sealed:ab sha256:" + zero + " 0640 root:shadow", "link:a%20b 0777 root:root",
		"dir 3755 a%3Ab: xattr:user.x%3D=AP8", "keyed: 0600 root:root",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		file, err := ParseFile(s)
		if err != nil {
			if len(err.Error()) > 1000 || !inert(err.Error()) {
				t.Errorf("the error is not inert or too long: %q", err)
			}
			return
		}
		text := file.String()
		again, err := ParseFile(text)
		if err != nil || !sameFile(again, file) || again.String() != text {
			t.Errorf("ParseFile(%q) = %+v, printed %q, read again %+v, %v", s, file, text, again, err)
		}
	})
}
