package collect

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"rollcall/internal/fact"
)

const (
	dpkgStatus  = "var/lib/dpkg/status"
	maxPackages = 40_000
)

// errBusy tells that a package manager is at work: what its database says now
// is neither the state before nor the one after.
var errBusy = errors.New("dpkg is at work; its records are read when it is done")

func dpkg() Collector {
	return Collector{Name: "dpkg", Owns: []string{"pkg/"}, Collect: collectPackages}
}

// debPackage is one package of dpkg's database (dpkg-query(1)).
type debPackage struct {
	Name, Arch, Version string
	Source              string // name of the source package where it differs
	Status              string // "install ok installed": want, flag, state
}

// installed tells whether the package's files are there as they should be.
// Triggers that are pending or awaited do not change that.
func (p debPackage) installed() bool {
	switch p.state() {
	case "installed", "triggers-pending", "triggers-awaited":
		return true
	}
	return false
}

// unpacked tells whether a version of the package is on the machine at all.
func (p debPackage) unpacked() bool {
	switch p.state() {
	case "not-installed", "config-files", "":
		return false
	}
	return true
}

func (p debPackage) state() string { return p.Status[strings.LastIndexByte(p.Status, ' ')+1:] }
func (p debPackage) want() string  { want, _, _ := strings.Cut(p.Status, " "); return want }

// packages is dpkg's database.
type packages struct {
	native    string // architecture
	list      []debPackage
	conffiles map[string]fact.Conffile // by absolute path, of unpacked packages
}

// key names a package: with its architecture only if that is a foreign one.
func (p *packages) key(name, arch string) string {
	if arch == "" || arch == "all" || arch == p.native {
		return name
	}
	return name + ":" + arch
}

func collectPackages(_ context.Context, h Host, s *Sink) error {
	db, err := readPackages(h)
	if err != nil {
		return err
	}
	for _, p := range db.list {
		if p.state() == "not-installed" {
			continue
		}
		prefix := "pkg/" + fact.Name(db.key(p.Name, p.Arch))
		if p.Status != "install ok installed" {
			s.Fact(prefix+"/state", p.Status)
		}
		if !p.unpacked() {
			continue
		}
		s.Fact(prefix+"/version", p.Version)
		s.Fact(prefix+"/source", p.Source)
	}
	return nil
}

// Conffiles gives dpkg's record of the configuration files of all packages that
// are unpacked, by absolute path; where a file is diverted (dpkg-divert(1)), by
// the path it was diverted to. With a Cache in the host it costs nothing after
// the packages were collected. The map must not be changed. The error is
// fs.ErrNotExist where there is no dpkg.
func Conffiles(h Host) (map[string]fact.Conffile, error) {
	db, err := readPackages(h)
	if err != nil {
		return nil, err
	}
	return db.conffiles, nil
}

// readPackages reads dpkg's database, or remembers it.
func readPackages(h Host) (*packages, error) {
	key := h.stamp(dpkgStatus, "var/lib/dpkg/diversions")
	if !remembered(h.Cache, dpkgStatus, key) && dpkgBusy(h) {
		return nil, errBusy
	}
	return remember(h.Cache, dpkgStatus, key, func() (*packages, error) {
		db := &packages{conffiles: map[string]fact.Conffile{}}
		diverted, err := readDiversions(h)
		if err != nil {
			return nil, err
		}
		p := statusParser{db: db, diverted: diverted, texts: map[string]string{}}
		if err := h.eachStanza(dpkgStatus, p.stanza); err != nil {
			return nil, err
		}
		db.native = p.native
		return db, nil
	})
}

// statusParser reads stanzas of /var/lib/dpkg/status.
type statusParser struct {
	db       *packages
	diverted map[string]diversion
	texts    map[string]string // strings that occur again and again
	native   string            // the architecture that dpkg itself has
}

func (p *statusParser) stanza(stanza []byte) error {
	if len(p.db.list) == maxPackages {
		return fmt.Errorf("%w: more than %d packages", ErrTooBig, maxPackages)
	}
	var pkg debPackage
	var conffiles []byte
	for name, value := range fields(stanza) {
		switch name[0] | 0x20 {
		case 'p':
			if is(name, "Package") {
				pkg.Name = string(value)
			}
		case 's':
			switch {
			case is(name, "Status"):
				pkg.Status = p.text(value)
			case is(name, "Source"):
				source, _, _ := bytes.Cut(value, []byte(" "))
				pkg.Source = p.text(source)
			}
		case 'a':
			if is(name, "Architecture") {
				pkg.Arch = p.text(value)
			}
		case 'v':
			if is(name, "Version") {
				pkg.Version = p.text(value)
			}
		case 'c':
			if is(name, "Conffiles") {
				conffiles = value
			}
		}
	}
	if pkg.Name == "" || pkg.Status == "" {
		return nil
	}
	if pkg.Source == pkg.Name {
		pkg.Source = ""
	}
	if pkg.Name == "dpkg" && pkg.unpacked() {
		p.native = pkg.Arch
	}
	p.db.list = append(p.db.list, pkg)
	if pkg.unpacked() {
		p.conffiles(pkg, conffiles)
	}
	return nil
}

func (p *statusParser) text(b []byte) string {
	if s, ok := p.texts[string(b)]; ok {
		return s
	}
	s := string(b)
	p.texts[s] = s
	return s
}

// conffiles reads lines " /etc/path md5 [obsolete] [remove-on-upgrade]". A file
// that dpkg only knows the name of so far has "newconffile" for its digest.
func (p *statusParser) conffiles(pkg debPackage, lines []byte) {
	for line := range bytes.Lines(lines) {
		line = bytes.TrimSpace(line)
		obsolete := false
		for {
			rest, ok := bytes.CutSuffix(line, []byte(" obsolete"))
			rest, ok2 := bytes.CutSuffix(rest, []byte(" remove-on-upgrade"))
			if !ok && !ok2 {
				break
			}
			obsolete, line = obsolete || ok, rest
		}
		i := bytes.LastIndexByte(line, ' ') // the path may hold blanks
		if i < 1 || line[0] != '/' {
			continue
		}
		cf := fact.Conffile{Package: pkg.Name, Obsolete: obsolete}
		if n, err := hex.Decode(cf.MD5[:], line[i+1:min(len(line), i+1+32)]); err != nil || n != 16 || len(line)-i-1 != 32 {
			continue
		}
		path := string(line[:i])
		if d, ok := p.diverted[path]; ok && d.by != pkg.Name {
			path = d.to
		}
		// A file that moved from one package to another is obsolete in the old.
		if had, taken := p.db.conffiles[path]; taken && !had.Obsolete {
			continue
		}
		p.db.conffiles[path] = cf
	}
}

// diversion is where the file of every package but one goes.
type diversion struct{ to, by string }

// readDiversions reads /var/lib/dpkg/diversions: path, new path and package in
// three lines, the package being ":" for the administrator's own diversion.
func readDiversions(h Host) (map[string]diversion, error) {
	out := map[string]diversion{}
	var three [3]string
	n := 0
	err := h.Lines("var/lib/dpkg/diversions", func(line string) bool {
		three[n%3] = line
		if n++; n%3 == 0 {
			out[three[0]] = diversion{to: three[1], by: three[2]}
		}
		return n < 3*maxPackages
	})
	if err != nil && !Absent(err) {
		return nil, err
	}
	return out, nil
}

// dpkgBusy tells whether a package manager runs: dpkg has journal entries that
// are not merged yet, or somebody holds the lock of dpkg or of its front ends.
func dpkgBusy(h Host) bool {
	if names, err := h.Names("var/lib/dpkg/updates"); err == nil && len(names) > 0 {
		return true
	}
	return h.Live && (locked(h, "var/lib/dpkg/lock-frontend") || locked(h, "var/lib/dpkg/lock"))
}

// locked asks about a lock of fcntl(2) and never takes it.
func locked(h Host, name string) bool {
	f, err := h.FS.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	file, ok := f.(interface{ Fd() uintptr })
	if !ok {
		return false
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	err = unix.FcntlFlock(file.Fd(), unix.F_GETLK, &lock)
	return err == nil && lock.Type != unix.F_UNLCK
}
