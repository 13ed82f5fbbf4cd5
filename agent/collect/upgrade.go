package collect

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/internal/fact"
)

func upgrades() Collector {
	return Collector{Name: "upgrades", Owns: []string{"apt/upgrade/", "apt/lists/state"}, Timeout: 30 * time.Second, Collect: collectUpgrades}
}

// pending is what apt would upgrade.
type pending struct {
	state string // of the lists: "complete", "none", "incomplete: …"
	list  []upgrade
}

type upgrade struct {
	name, from, to string
	security       bool
}

// collectUpgrades finds out what "apt list --upgradable" would print, from the
// lists that are there, and which of it a security archive asks for. An empty
// answer means nothing to do only while apt/lists/state says "complete" and
// apt/lists/age is low.
func collectUpgrades(ctx context.Context, h Host, s *Sink) error {
	db, err := readPackages(h)
	if err != nil {
		return err
	}
	sources, err := readAptSources(h, s)
	if err != nil {
		return err
	}
	lists, missing, err := findLists(h, sources, architectures(h, db))
	if err != nil {
		return err
	}
	p := planner{db: db}
	if p.pins, err = readPins(h, s); err != nil {
		return err
	}
	conf, err := readAptConf(h, s)
	if err != nil {
		return err
	}
	if target := conf["apt::default-release"]; target != "" {
		p.pins = slices.Insert(p.pins, 0, pin{Package: "*", Kind: "release", Match: target, Priority: 990})
	}
	key := []string{dpkgStatus}
	for _, l := range lists {
		key = append(key, l.file)
		p.files = append(p.files, l.release)
	}
	found, err := remember(h.Cache, "upgrades", fmt.Sprint(h.stamp(key...), p.pins, p.releases(), missing), func() (pending, error) {
		return p.plan(ctx, h, lists, missing)
	})
	if err != nil {
		return err
	}
	s.Fact("apt/lists/state", found.state)
	for _, u := range found.list {
		value := u.from + " → " + u.to
		if u.security {
			value += " security"
		}
		s.Fact(Path("apt", "upgrade", u.name), value)
	}
	return nil
}

// architectures gives what dpkg installs here, the machine's own first.
func architectures(h Host, db *packages) []string {
	archs := []string{db.native}
	err := h.Lines("var/lib/dpkg/arch", func(line string) bool {
		if arch := strings.TrimSpace(line); arch != "" && !slices.Contains(archs, arch) {
			archs = append(archs, arch)
		}
		return len(archs) < 16
	})
	if err != nil {
		return archs[:1] // without the file there are no foreign ones
	}
	return archs
}

// planner decides as apt's policy does (apt_preferences(5)).
type planner struct {
	db    *packages
	pins  []pin
	files []*aptRelease

	wanted   map[string][]*choice // by name: one for each architecture
	priority []int                // of each file
	status   int                  // priority of what is installed, as such
}

// choice is an installed package and what could take its place.
type choice struct {
	pkg      debPackage
	arch     string // "all" counts as the machine's own
	versions []version
}

// version is one version, not older than the installed one, and the files that
// have it, by their number.
type version struct {
	text  string
	files []uint16
}

func (p *planner) releases() string {
	var b strings.Builder
	for _, f := range p.files {
		fmt.Fprintln(&b, *f)
	}
	return b.String()
}

func (p *planner) plan(ctx context.Context, h Host, lists []packageList, missing int) (pending, error) {
	p.wanted = make(map[string][]*choice, len(p.db.list))
	for _, pkg := range p.db.list {
		if pkg.unpacked() {
			p.wanted[pkg.Name] = append(p.wanted[pkg.Name], &choice{pkg: pkg, arch: p.effective(pkg.Arch)})
		}
	}
	for i, l := range lists {
		if err := p.read(ctx, h, l.file, uint16(i)); err != nil {
			return pending{}, err
		}
	}
	p.rank()
	out := pending{state: "complete"}
	switch {
	case len(lists) == 0:
		out.state = "none"
	case missing > 0:
		out.state = fmt.Sprintf("incomplete: %d of %d lists are missing", missing, missing+len(lists))
	}
	specific := p.specific()
	for _, pkg := range p.db.list {
		for _, c := range p.wanted[pkg.Name] {
			if c.pkg == pkg {
				if u, ok := p.decide(c, specific); ok {
					out.list = append(out.list, u)
				}
			}
		}
	}
	return out, nil
}

func (p *planner) effective(arch string) string {
	if arch == "all" || arch == "" {
		return p.db.native
	}
	return arch
}

// read goes through one list and notes the versions of what is installed.
func (p *planner) read(ctx context.Context, h Host, name string, file uint16) error {
	r, err := openList(h, name)
	if err != nil {
		return err
	}
	defer r.Close()
	n := 0
	return eachStanza(name, r, func(stanza []byte) error {
		if n++; n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		line, _, _ := bytes.Cut(stanza, []byte("\n"))
		pkg, ok := bytes.CutPrefix(line, []byte("Package: "))
		if !ok { // unusual: the name is not the first field
			pkg = field(stanza, "Package")
		}
		choices := p.wanted[string(bytes.TrimSpace(pkg))]
		if len(choices) == 0 {
			return nil
		}
		arch, text := field(stanza, "Architecture"), field(stanza, "Version")
		for _, c := range choices {
			if string(arch) == c.arch || string(arch) == "all" && c.arch == p.db.native {
				c.offer(text, file)
			}
		}
		return nil
	})
}

func field(stanza []byte, want string) []byte {
	for name, value := range fields(stanza) {
		if is(name, want) {
			return value
		}
	}
	return nil
}

// offer notes that a file has a version. Older ones than the installed are of no
// interest: going back is no upgrade.
func (c *choice) offer(text []byte, file uint16) {
	for i := range c.versions {
		if c.versions[i].text == string(text) {
			c.versions[i].files = append(c.versions[i].files, file)
			return
		}
	}
	const most = 64
	if v := string(text); len(c.versions) < most && fact.CompareVersions(v, c.pkg.Version) >= 0 {
		c.versions = append(c.versions, version{text: v, files: []uint16{file}})
	}
}

// rank gives each file its priority: by the first general pin that fits, else
// 500, or 1 and 100 for archives that ask for it.
func (p *planner) rank() {
	installed := &aptRelease{Suite: "now"}
	p.priority, p.status = make([]int, len(p.files)), 100
	for i, f := range p.files {
		p.priority[i] = 500
		if f.NotAutomatic {
			p.priority[i] = 1
			if f.ButAutomatic {
				p.priority[i] = 100
			}
		}
	}
	ranked := make([]bool, len(p.files)+1)
	for _, pin := range p.pins {
		if !pin.general() || pin.Kind == "version" {
			continue
		}
		match := pin.file()
		for i, f := range p.files {
			if !ranked[i] && match(f) {
				p.priority[i], ranked[i] = pin.Priority, true
			}
		}
		if last := len(p.files); !ranked[last] && match(installed) {
			p.status, ranked[last] = pin.Priority, true
		}
	}
}

// specificPin is a compiled pin for certain packages.
type specificPin struct {
	packages func(name, source string) bool
	version  func(string) bool
	file     func(*aptRelease) bool
	priority int
}

func (p *planner) specific() []specificPin {
	var out []specificPin
	for _, pin := range p.pins {
		if pin.general() {
			continue
		}
		s := specificPin{packages: pin.packages(), priority: pin.Priority}
		if pin.Kind == "version" {
			s.version = pin.version()
		} else {
			s.file = pin.file()
		}
		out = append(out, s)
	}
	return out
}

// decide finds the candidate: the highest priority, then the highest version.
func (p *planner) decide(c *choice, pins []specificPin) (upgrade, bool) {
	best, bestPriority := c.pkg.Version, p.of(c, version{text: c.pkg.Version}, pins)
	for _, v := range c.versions {
		priority := p.of(c, v, pins)
		newer := fact.CompareVersions(v.text, best)
		if priority > 0 && (priority > bestPriority || priority == bestPriority && newer > 0) {
			best, bestPriority = v.text, priority
		}
	}
	if fact.CompareVersions(best, c.pkg.Version) <= 0 {
		return upgrade{}, false
	}
	u := upgrade{name: p.db.key(c.pkg.Name, c.pkg.Arch), from: c.pkg.Version, to: best}
	for _, v := range c.versions {
		if fact.CompareVersions(v.text, c.pkg.Version) > 0 && fact.CompareVersions(v.text, best) <= 0 {
			u.security = u.security || slices.ContainsFunc(v.files, func(f uint16) bool { return p.files[f].Label == "Debian-Security" })
		}
	}
	return u, true
}

// of gives the priority of a version: by the first pin for this package that
// fits one of the version's files, which then is for the whole version; else the
// highest of its files.
func (p *planner) of(c *choice, v version, pins []specificPin) int {
	installed := v.text == c.pkg.Version
	for _, s := range pins {
		if !s.packages(c.pkg.Name, sourceOf(c.pkg)) {
			continue
		}
		fits := s.version != nil && s.version(v.text)
		if s.file != nil {
			fits = slices.ContainsFunc(v.files, func(f uint16) bool { return s.file(p.files[f]) }) ||
				installed && s.file(&aptRelease{Suite: "now"})
		}
		if fits {
			return s.priority
		}
	}
	priority := -1 << 15
	if installed {
		priority = p.status
	}
	for _, f := range v.files {
		priority = max(priority, p.priority[f])
	}
	return priority
}

func sourceOf(p debPackage) string {
	if p.Source != "" {
		return p.Source
	}
	return p.Name
}
