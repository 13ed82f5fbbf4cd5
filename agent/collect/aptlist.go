package collect

import (
	"compress/bzip2"
	"compress/gzip"
	"fmt"
	"io"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
)

const aptLists = "var/lib/apt/lists"

// packageList is one downloaded Packages file.
type packageList struct {
	file    string
	release *aptRelease // of this list, with its component and architecture
}

// findLists finds the downloaded lists of the sources. missing counts those that
// should be there: an upgrade that is listed in one of them is not seen.
func findLists(h Host, sources []aptSource, archs []string) (lists []packageList, missing int, err error) {
	names, err := h.Names(aptLists)
	if err != nil && !Absent(err) {
		return nil, 0, err
	}
	f := listFinder{host: h, names: map[string]bool{}, seen: map[string]bool{}, archs: archs}
	for _, name := range names {
		f.names[name] = true
	}
	for _, a := range sources {
		if !slices.Contains(a.Types, "deb") {
			continue
		}
		for _, uri := range a.URIs {
			for _, suite := range a.Suites {
				f.suite(a, uri, suite)
			}
		}
	}
	return f.lists, f.missing, nil
}

type listFinder struct {
	host    Host
	names   map[string]bool // what there is
	seen    map[string]bool // what was looked for
	archs   []string
	lists   []packageList
	missing int
}

// suite looks for the lists of one suite of one archive.
func (f *listFinder) suite(a aptSource, uri, suite string) {
	base := listName(uri)
	if !strings.HasSuffix(base, "_") {
		base += "_"
	}
	exact := strings.HasSuffix(suite, "/")
	if exact {
		base += listName(strings.TrimPrefix(strings.TrimPrefix(suite, "./"), "/"))
	} else {
		base += "dists_" + listName(suite) + "_"
	}
	release := f.release(base)
	if release == nil {
		f.missing++
		return
	}
	if u, err := url.Parse(uri); err == nil {
		release.Site = u.Hostname()
	}
	if exact {
		f.list(base, release, "", "")
		return
	}
	archs := f.archs
	if len(a.archs) > 0 {
		archs = a.archs
	}
	for _, component := range a.Components {
		for _, arch := range archs {
			if offers(release.Archs, arch) && offers(release.Components, component) {
				f.list(base+listName(component)+"_binary-"+arch+"_", release, component, arch)
			}
		}
	}
}

// offers tells whether an archive has something; one that does not say may. The
// security archive names its components "updates/main".
func offers(list []string, what string) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(s string) bool { return path.Base(s) == path.Base(what) })
}

func (f *listFinder) release(base string) *aptRelease {
	for _, name := range []string{base + "InRelease", base + "Release"} {
		if f.names[name] {
			if r, err := readRelease(f.host, aptLists+"/"+name); err == nil {
				return r
			}
		}
	}
	return nil
}

func (f *listFinder) list(base string, release *aptRelease, component, arch string) {
	if f.seen[base] {
		return
	}
	f.seen[base] = true
	for _, ending := range []string{"", ".lz4", ".xz", ".gz", ".zst", ".bz2"} {
		if name := base + "Packages" + ending; f.names[name] {
			r := *release
			r.component, r.arch = component, arch
			f.lists = append(f.lists, packageList{aptLists + "/" + name, &r})
			return
		}
	}
	f.missing++
}

// listName makes the name of a file in apt's list folder out of a URI, as apt
// does: no scheme, some characters as %xx, "/" as "_".
func listName(uri string) string {
	if scheme, rest, ok := strings.Cut(uri, ":"); ok && !strings.ContainsAny(scheme, "/[") {
		uri = strings.TrimPrefix(rest, "//")
	}
	var b strings.Builder
	for _, c := range []byte(uri) {
		switch {
		case c == '/':
			b.WriteByte('_')
		case c <= 0x20 || c >= 0x7f || strings.IndexByte("\\|{}[]<>\"^~_=!@#$%^&*", c) >= 0:
			fmt.Fprintf(&b, "%%%02x", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// openList opens a list and unpacks it by its ending.
func openList(h Host, name string) (io.ReadCloser, error) {
	file, err := h.FS.Open(name)
	if err != nil {
		return nil, err
	}
	var r io.Reader = file
	done := file.Close
	switch path.Ext(name) {
	case ".gz":
		r, err = gzip.NewReader(file)
	case ".xz":
		r, err = xz.NewReader(file)
	case ".lz4":
		r = lz4.NewReader(file)
	case ".bz2":
		r = bzip2.NewReader(file)
	case ".zst":
		var z *zstd.Decoder
		z, err = zstd.NewReader(file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(64<<20))
		if err == nil {
			r, done = z, func() error { z.Close(); return file.Close() }
		}
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("unpack %s: %w", name, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{r, closer(done)}, nil
}

type closer func() error

func (c closer) Close() error { return c() }
