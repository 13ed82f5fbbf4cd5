package sitesummary

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// packed makes a tar.gz of headers, each with as many bytes as it says.
func packed(t testing.TB, all ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	zw, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	tw := tar.NewWriter(zw)
	for _, h := range all {
		h.Mode = 0o644
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(bytes.Repeat([]byte{'x'}, int(h.Size))); err != nil && h.Typeflag == tar.TypeReg {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), zw.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func file(name string, size int64) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size}
}

func TestOnlyFilesWithSaneNamesAreUnpacked(t *testing.T) {
	b := packed(
		t,
		tar.Header{Typeflag: tar.TypeDir, Name: "./system/"}, file("./system/hostname", 4), file("debian/dpkg-l", 2),
		file("../../etc/passwd", 1), file("/etc/passwd", 1), file("system/../../x", 1), file("a//b", 1), file("system/.hidden", 1),
		file("system/new\nline", 1), file("system/-rf", 1), file("a/b/c/d", 1), file(strings.Repeat("n", 100), 1), file("system/ø", 1),
		tar.Header{Typeflag: tar.TypeSymlink, Name: "system/link", Linkname: "/etc/shadow"},
		tar.Header{Typeflag: tar.TypeLink, Name: "system/hard", Linkname: "/etc/shadow"},
		tar.Header{Typeflag: tar.TypeChar, Name: "system/dev"}, tar.Header{Typeflag: tar.TypeFifo, Name: "system/fifo"},
	)
	up, err := unpack(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(up.Files)); !slices.Equal(got, []string{"debian/dpkg-l", "system/hostname"}) || up.Skipped != 14 {
		t.Errorf("unpacked %q, skipped %d", got, up.Skipped)
	}
}

func TestAnArchiveThatIsTooMuchIsRefused(t *testing.T) {
	many := make([]tar.Header, maxFiles+1)
	for i := range many {
		many[i] = file(fmt.Sprint("system/f", i), 0)
	}
	var sum []tar.Header
	for i := range maxUnpacked/maxFile + 1 {
		sum = append(sum, file(fmt.Sprint("system/f", i), maxFile))
	}
	whole := packed(t, file("system/hostname", 100))
	skipped := []tar.Header{}
	for i := range 9 { // what is left out is read over all the same
		skipped = append(skipped, file(fmt.Sprint("../f", i), maxFile))
	}
	tests := []struct {
		name string
		b    []byte
	}{
		{"a file of more than its bound", packed(t, file("system/big", maxFile+1))},
		{"files of more than their bound together", packed(t, sum...)},
		{"files that are left out, of more than their bound", packed(t, skipped...)},
		{"too many files", packed(t, many...)},
		{"an archive that is cut", whole[:len(whole)-20]},
		{"no archive", []byte("hello")},
		{"nothing", nil},
	}
	for _, tt := range tests {
		if _, err := unpack(bytes.NewReader(tt.b)); !errors.Is(err, ErrUpload) {
			t.Errorf("%s: %v, want ErrUpload", tt.name, err)
		}
	}
}

// A sparse file says that it is large and takes no room in the archive.
func TestASparseFileIsAsLargeAsItSays(t *testing.T) {
	var plain bytes.Buffer
	tw := tar.NewWriter(&plain)
	h := file("system/hostname", 0)
	h.Format = tar.FormatGNU
	if err := errors.Join(tw.WriteHeader(&h), tw.Close()); err != nil {
		t.Fatal(err)
	}
	block := plain.Bytes()[:512] // made a sparse file of the old GNU form: 2 GiB of nothing
	block[156] = 'S'
	copy(block[257:], "ustar  \x00")
	copy(block[386:], "20000000000\x0000000000000\x00")
	copy(block[483:], "20000000000\x00")
	copy(block[148:], "        ")
	sum := 0
	for _, c := range block {
		sum += int(c)
	}
	copy(block[148:], fmt.Sprintf("%06o\x00 ", sum))
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	_, err := zw.Write(plain.Bytes())
	if err = errors.Join(err, zw.Close()); err != nil {
		t.Fatal(err)
	}
	tr := tar.NewReader(&plain)
	if got, err := tr.Next(); err != nil || got.Size != 2<<30 {
		t.Fatalf("the archive of this test holds %+v, %v", got, err)
	}
	if up, err := unpack(&b); !errors.Is(err, ErrUpload) && up.Skipped != 1 {
		t.Errorf("unpacked %d files, skipped %d, %v", len(up.Files), up.Skipped, err)
	}
}

// FuzzUnpack unpacks anything: names are sane and sizes within their bounds.
func FuzzUnpack(f *testing.F) {
	f.Add(packed(f, tar.Header{Typeflag: tar.TypeDir, Name: "./system/"}, file("./system/hostname", 4)))
	f.Add(packed(f, file("../../etc/passwd", 1), tar.Header{Typeflag: tar.TypeSymlink, Name: "system/link", Linkname: "/etc/shadow"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		up, err := unpack(bytes.NewReader(b))
		if err != nil && !errors.Is(err, ErrUpload) {
			t.Error(err)
		}
		size := 0
		for name, content := range up.Files {
			size += len(content)
			if got, ok := saneName(name); !ok || got != name {
				t.Errorf("name %q", name)
			}
		}
		if size > maxUnpacked || len(up.Files) > maxFiles {
			t.Errorf("%d files of %d bytes", len(up.Files), size)
		}
	})
}

// What an upload of a workstation with 2,900 packages takes before it is stored.
func BenchmarkUpload(b *testing.B) {
	up := recorded(b)
	var table bytes.Buffer
	table.Write(up.Files["debian/dpkg-l"])
	for n := range 2900 {
		fmt.Fprintf(&table, "ii  package-number-%-8d 1.2.%d-3+deb12u%d        amd64        one of many packages of a workstation\n", n, n%97, n%7)
	}
	up.Files["debian/dpkg-l"] = table.Bytes()
	up.Files["system/Xorg.0.log"] = bytes.Repeat([]byte("[    42.123] (II) modesetting(0): a line of the log of the display\n"), 1000)
	var all bytes.Buffer
	zw := gzip.NewWriter(&all)
	tw := tar.NewWriter(zw)
	for name, content := range up.Files {
		h := file("./"+name, int64(len(content)))
		h.Mode = 0o644
		if err := tw.WriteHeader(&h); err != nil {
			b.Fatal(err)
		}
		if _, err := tw.Write(content); err != nil {
			b.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), zw.Close()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(all.Len()), "bytes")
	b.ReportAllocs()
	for b.Loop() {
		got, err := unpack(bytes.NewReader(all.Bytes()))
		if err != nil {
			b.Fatal(err)
		}
		if s := read(got); len(s.facts) < 2900 {
			b.Fatal("packages are missing")
		}
	}
}
