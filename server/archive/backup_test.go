package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rollcall/internal/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sample makes a backup of two files.
func sample(t testing.TB) []byte {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{Store: strings.Repeat("store ", 200), "server.key": "key", "notes.txt": "not for a backup", "control.sock": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := WriteBackup(&b, dir, &Manifest{Made: time.Unix(1_700_000_000, 5), Tenant: "main"}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestABackupIsReadAsItWasWritten(t *testing.T) {
	got := map[string]int{}
	m, err := ReadBackup(bytes.NewReader(sample(t)), func(name string, r io.Reader) error {
		b, err := io.ReadAll(r)
		got[name] = len(b)
		return err
	})
	if err != nil || got[Store] != 1200 || got["server.key"] != 3 || len(got) != 2 || len(m.Files) != 2 || m.Tenant != "main" {
		t.Errorf("%v, %+v, %v", got, m, err)
	}
}

// No tar archive but a backup is one, whatever is in it.
func TestWhatIsNoBackupIsRefused(t *testing.T) {
	plain := func(name string) *tar.Header {
		return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: 3, Mode: 0o600}
	}
	with := func(h *tar.Header, change func(*tar.Header)) *tar.Header {
		change(h)
		return h
	}
	tests := map[string][]*tar.Header{
		"empty":         {},
		"no store":      {plain("server.key")},
		"no manifest":   {plain(Store)},
		"a folder up":   {plain(Store), plain("../server.key")},
		"an absolute":   {plain("/etc/passwd")},
		"below":         {plain("x/server.key")},
		"another file":  {plain("authorized_keys")},
		"twice":         {plain(Store), plain(Store)},
		"a link":        {with(plain(Store), func(h *tar.Header) { h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, "/etc/passwd", 0 })},
		"a hard link":   {with(plain(Store), func(h *tar.Header) { h.Typeflag, h.Linkname, h.Size = tar.TypeLink, "/etc/passwd", 0 })},
		"a device":      {with(plain(Store), func(h *tar.Header) { h.Typeflag, h.Size = tar.TypeChar, 0 })},
		"a folder":      {with(plain("rollcall.db"), func(h *tar.Header) { h.Typeflag, h.Size = tar.TypeDir, 0 })},
		"attributes":    {with(plain(Store), func(h *tar.Header) { h.PAXRecords = map[string]string{"SCHILY.xattr.user.a": "b"} })},
		"a large key":   {plain(Store), with(plain("server.key"), func(h *tar.Header) { h.Size = maxKey + 1 })},
		"bad manifest":  {plain(Store), plain("manifest.json")},
		"manifest only": {plain("manifest.json")},
	}
	for name, headers := range tests {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range headers {
			if err := w.WriteHeader(h); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if _, err := w.Write(bytes.Repeat([]byte{'x'}, int(h.Size))); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadBackup(&b, nil); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v, want ErrFormat", name, err)
		}
	}
}

func TestAFileHasItsNameOnlyWhenItWasReadBack(t *testing.T) {
	private, public := seal.GenerateIdentity()
	to, err := seal.ParseRecipients([]string{public})
	if err != nil {
		t.Fatal(err)
	}
	ids, err := seal.ParseIdentities(strings.NewReader(private))
	if err != nil {
		t.Fatal(err)
	}
	fill := func(w io.Writer) error {
		_, err := w.Write([]byte("all of it"))
		return err
	}
	whole := func(r io.Reader) error {
		b, err := io.ReadAll(r)
		if err == nil && string(b) != "all of it" {
			err = errors.New("something else")
		}
		return err
	}
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		fill   func(io.Writer) error
		verify func(io.Reader) error
		ok     bool
	}{
		"good":             {fill, whole, true},
		"the writer fails": {func(w io.Writer) error { return errors.Join(fill(w), broken) }, whole, false},
		"the check fails":  {fill, func(io.Reader) error { return broken }, false},
		"it goes on":       {fill, func(r io.Reader) error { _, err := io.ReadFull(r, make([]byte, 3)); return err }, false},
	} {
		for _, to := range []seal.Recipients{to, {}} {
			dir := t.TempDir()
			file := filepath.Join(dir, "file")
			left := filepath.Join(dir, partPrefix+"killed")
			if err := os.WriteFile(left, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Create(context.Background(), file, to, tt.fill, tt.verify)
			_, serr := os.Stat(file)
			if (err == nil) != tt.ok || (serr == nil) != tt.ok {
				t.Errorf("%s: %v, %v", name, err, serr)
			}
			entries, err := os.ReadDir(dir)
			if err != nil || tt.ok && len(entries) != 1 || !tt.ok && len(entries) != 0 {
				t.Errorf("%s: %v is in the folder, %v", name, entries, err)
			}
			if !tt.ok {
				continue
			}
			if err := Open(context.Background(), file, ids, whole); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := Create(context.Background(), file, to, fill, whole); !errors.Is(err, fs.ErrExist) {
				t.Errorf("%s: over another: %v, want ErrExist", name, err)
			}
		}
	}
}

// Whatever the bytes are: no panic, and what is accepted has a store and the
// members that its manifest names.
func FuzzReadBackup(f *testing.F) {
	good := sample(f)
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		names := map[string]bool{}
		m, err := ReadBackup(bytes.NewReader(b), func(name string, r io.Reader) error {
			names[name] = true
			return nil
		})
		if err == nil && (!names[Store] || len(names) != len(m.Files)) {
			t.Errorf("accepted with members %v", names)
		}
	})
}
