package collect

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"
)

func apt() Collector {
	return Collector{
		Name: "apt",
		Owns: []string{"apt/auto/", "apt/hold/", "apt/source/", "apt/pin/", "apt/key/", "apt/proxy/", "apt/lists/age"},
		Collect: func(ctx context.Context, h Host, s *Sink) error {
			for _, part := range []func(Host, *Sink) error{aptMarks, aptSources, aptPins, aptKeys, aptProxy, aptAge} {
				if err := errors.Join(ctx.Err(), part(h, s)); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// aptMarks tells which packages are there only because others need them
// (apt-mark(8) showauto), and which are held back.
func aptMarks(h Host, s *Sink) error {
	const states = "var/lib/apt/extended_states"
	db, err := readPackages(h)
	if err != nil {
		return err
	}
	auto, err := remember(h.Cache, states, h.stamp(states, dpkgStatus), func() ([]string, error) {
		return autoInstalled(h, states, db)
	})
	if err != nil {
		return err
	}
	for _, path := range auto {
		s.Fact(path, "auto")
	}
	for _, p := range db.list {
		if p.want() == "hold" && p.unpacked() {
			s.Fact(Path("apt", "hold", db.key(p.Name, p.Arch)), "hold")
		}
	}
	return nil
}

// autoInstalled gives the paths of the facts about automatically installed
// packages. apt's file has marks of removed packages too.
func autoInstalled(h Host, states string, db *packages) ([]string, error) {
	unpacked := make(map[string]bool, len(db.list))
	for _, p := range db.list {
		key := db.key(p.Name, p.Arch)
		unpacked[key] = unpacked[key] || p.unpacked()
	}
	var auto []string
	err := h.eachStanza(states, func(stanza []byte) error {
		var name, arch string
		marked := false
		for field, value := range fields(stanza) {
			switch {
			case is(field, "Package"):
				name = string(value)
			case is(field, "Architecture"):
				arch = string(value)
			case is(field, "Auto-Installed"):
				marked = string(value) == "1"
			}
		}
		if key := db.key(name, arch); marked && unpacked[key] {
			auto = append(auto, Path("apt", "auto", key))
		}
		return nil
	})
	if err != nil && !Absent(err) {
		return nil, err
	}
	return auto, nil
}

func aptSources(h Host, s *Sink) error {
	sources, err := readAptSources(h, s)
	for _, a := range sources {
		s.Fact(Path("apt", "source", a.File, strconv.Itoa(a.Number)), a.String())
	}
	return err
}

func aptPins(h Host, s *Sink) error {
	pins, err := readPins(h, s)
	for _, p := range pins {
		s.Fact(Path("apt", "pin", p.File, strconv.Itoa(p.Number)), p.String())
	}
	return err
}

// aptKeys gives the digests of the keys that apt trusts by the administrator's
// choice. Those in /usr/share/keyrings belong to packages.
func aptKeys(h Host, s *Sink) error {
	files := []string{"etc/apt/trusted.gpg"}
	for _, dir := range []string{"etc/apt/trusted.gpg.d", "etc/apt/keyrings"} {
		names, err := aptFiles(h, dir, ".gpg", ".asc")
		if err != nil {
			return err
		}
		files = append(files, names...)
	}
	for _, file := range files {
		b, err := h.ReadFile(file, maxAptFile)
		switch {
		case errors.Is(err, fs.ErrPermission):
			s.Denied(file)
		case err == nil:
			sum := sha256.Sum256(b)
			s.Fact(Path("apt", "key", path.Base(file)), hex.EncodeToString(sum[:]))
		case !Absent(err):
			return err
		}
	}
	return nil
}

// aptProxy gives the proxies of apt.conf(5), without credentials.
func aptProxy(h Host, s *Sink) error {
	conf, err := readAptConf(h, s)
	for name, value := range conf {
		rest, ok := strings.CutPrefix(name, "acquire::")
		scheme, last, ok2 := strings.Cut(rest, "::")
		if !ok || !ok2 || value == "" {
			continue
		}
		if host, isProxy := strings.CutPrefix(last, "proxy"); isProxy {
			if host = strings.TrimPrefix(host, "::"); host != "" {
				scheme += "::" + host
			}
			s.Fact(Path("apt", "proxy", scheme), bareURI(value))
		}
	}
	return err
}

// aptAge tells how many days ago the package lists were brought up to date: by
// the stamp of the daily update, by the folder that a download changes, or by
// the archive's own date, whichever is newest. Without lists there is no age.
func aptAge(h Host, s *Sink) error {
	const lists = "var/lib/apt/lists"
	names, err := h.Names(lists)
	if err != nil && !Absent(err) {
		return err
	}
	var newest time.Time
	for _, name := range names {
		if !strings.HasSuffix(name, "_InRelease") && !strings.HasSuffix(name, "_Release") {
			continue
		}
		r, err := readRelease(h, lists+"/"+name)
		if err == nil && r.Date.After(newest) {
			newest = r.Date
		}
	}
	if newest.IsZero() {
		return nil
	}
	for _, name := range []string{lists, "var/lib/apt/periodic/update-success-stamp", "var/lib/apt/periodic/update-stamp"} {
		if st, err := fs.Stat(h.FS, name); err == nil && st.ModTime().After(newest) {
			newest = st.ModTime()
		}
	}
	days := max(0, int(h.Now().Sub(newest).Hours()/24))
	s.Fact("apt/lists/age", strconv.Itoa(days))
	return nil
}

// aptRelease is what a Release file says about an archive
// (https://wiki.debian.org/DebianRepository/Format).
type aptRelease struct {
	Origin, Label, Suite, Codename, Version string
	Date                                    time.Time
	NotAutomatic, ButAutomatic              bool
	Archs, Components                       []string // none if it does not say
	Site                                    string   // host of the URI

	component, arch string // of one list
}

// maxRelease bounds the part of a Release file before its lists of checksums.
const maxRelease = 16 << 10

func readRelease(h Host, name string) (*aptRelease, error) {
	f, err := h.FS.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxRelease))
	if err != nil {
		return nil, err
	}
	return parseRelease(b), nil
}

// parseRelease reads a Release file, also one with a signature around it. The
// signature is not checked: apt did that when it put the file there.
func parseRelease(b []byte) *aptRelease {
	text := strings.ReplaceAll(string(b), "\r\n", "\n")
	if strings.HasPrefix(text, "-----BEGIN PGP SIGNED") {
		_, text, _ = strings.Cut(text, "\n\n")
	}
	r := &aptRelease{}
	for name, value := range fields([]byte(text)) {
		v := string(value)
		switch {
		case is(name, "Origin"):
			r.Origin = v
		case is(name, "Label"):
			r.Label = v
		case is(name, "Suite"):
			r.Suite = v
		case is(name, "Codename"):
			r.Codename = v
		case is(name, "Version"):
			r.Version = v
		case is(name, "Date"):
			if t, err := time.Parse(time.RFC1123, v); err == nil {
				r.Date = t
			}
		case is(name, "NotAutomatic"):
			r.NotAutomatic = v == "yes"
		case is(name, "ButAutomaticUpgrades"):
			r.ButAutomatic = v == "yes"
		case is(name, "Architectures"):
			r.Archs = strings.Fields(v)
		case is(name, "Components"):
			r.Components = strings.Fields(v)
		case is(name, "MD5Sum"), is(name, "SHA256"), is(name, "SHA1"), is(name, "SHA512"):
			return r
		}
	}
	return r
}
