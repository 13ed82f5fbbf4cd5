package sim

import (
	"fmt"
	"slices"
	"strings"

	"rollcall/internal/fact"
)

// rows lists the packages of a machine beyond its profile, sorted: those of the
// school, and some of its own.
func (f *Fleet) rows(m Member) []int {
	if m.Profile == Thin {
		return nil // the school's image
	}
	rows := slices.Clone(m.school.extras)
	if m.Profile != MainServer {
		for k := range poisson(f.draw(m.Number, "extras"), f.data.layout.OwnExtras) {
			rows = append(rows, f.data.extras[pick(f.draw(m.Number, "extra", uint64(k)), len(f.data.extras))])
		}
	}
	slices.Sort(rows)
	return slices.Compact(rows)
}

// packageFacts are those of one package, as the agent's dpkg collector makes
// them.
func (c *catalogue) packageFacts(to []fact.Fact, row int, day Day) []fact.Fact {
	p := &c.packages[row]
	to = append(to, fact.Fact{Path: p.versionPath, Value: c.versionAt(row, day)})
	if p.source != p.name {
		to = append(to, fact.Fact{Path: p.sourcePath, Value: p.source})
	}
	return to
}

// packages is section pkg.
func (f *Fleet) packages(m Member, s state) Section {
	base := f.bases.get(baseKey{section: "pkg", profile: m.Profile, a: int(s.updated)}, func() (facts []fact.Fact) {
		for _, row := range f.data.profiles[m.Profile.String()] {
			facts = f.data.packageFacts(facts, row, s.updated)
		}
		for _, k := range f.kernels(m.Profile, s.updated) {
			name := "linux-image-" + k.abi
			facts = append(facts, fact.Fact{Path: "pkg/" + name + "/version", Value: k.version}, fact.Fact{Path: "pkg/" + name + "/source", Value: "linux-signed-amd64"})
		}
		return facts
	})
	sec := Section{Name: "pkg", Base: base}
	for _, row := range f.rows(m) {
		if _, in := base.Facts.Get(f.data.packages[row].versionPath); !in {
			sec.Put = f.data.packageFacts(sec.Put, row, s.updated)
		}
	}
	sec.Put = fact.NewSet(sec.Put)
	return sec
}

// kernel is an installed kernel. Its package's name changes with its ABI, so
// that the old one stays until it is removed.
type kernel struct{ abi, version string }

// kernels gives the kernels of a machine that is up to date, the oldest first: the
// newest and the one before. The ABI's number is not in the data: it is counted
// back from 6.1.0-56, which was recorded with the newest version, one for each
// upload.
func (f *Fleet) kernels(p Profile, day Day) []kernel {
	steps := f.data.timeline["linux"]
	n, _ := slices.BinarySearchFunc(steps, day+1, func(s step, d Day) int { return int(s.day) - int(d) })
	n = max(n, 1)
	var out []kernel
	for i := max(0, n-2); i < n; i++ {
		out = append(out, kernel{abi: fmt.Sprintf("6.1.0-%d-amd64", 56-len(steps)+1+i), version: steps[i].version})
	}
	if p == Thin {
		out = out[len(out)-1:] // an image is made with one
	}
	return out
}

// system is section os.
func (f *Fleet) system(m Member, s state) Section {
	key := baseKey{section: "os", profile: m.Profile, a: int(s.updated), b: int(s.booted)}
	return Section{Name: "os", Base: f.bases.get(key, func() []fact.Fact {
		running, installed := f.kernels(m.Profile, s.booted), f.kernels(m.Profile, s.updated)
		runs, newest := running[len(running)-1], installed[len(installed)-1]
		facts := []fact.Fact{
			{Path: "os/id", Value: "debian"},
			{Path: "os/version", Value: "12"},
			{Path: "os/codename", Value: "bookworm"},
			{Path: "os/debian", Value: f.pointRelease(s.updated)},
			{Path: "os/kernel", Value: runs.abi},
			{Path: "os/tainted", Value: "0"},
			{Path: "os/cmdline", Value: "root=/dev/mapper/vg_system-root ro quiet"},
			{Path: "os/reboot-needed", Value: "no"},
		}
		if runs != newest {
			facts[7].Value = "yes: kernel " + newest.abi + " is installed"
		}
		for _, k := range installed {
			facts = append(facts, fact.Fact{Path: "os/kernels/" + k.abi, Value: "installed"})
		}
		return facts
	})}
}

// pointRelease is what /etc/debian_version says: "12.4+deb12u11" of base-files
// is Debian 12.11.
func (f *Fleet) pointRelease(day Day) string {
	version := f.data.stepAt("base-files", day).version
	if _, n, ok := strings.Cut(version, "+deb12u"); ok {
		return "12." + n
	}
	return strings.SplitN(version, "-", 2)[0]
}

// apt is section apt: what was installed automatically, the sources, and which
// updates wait.
func (f *Fleet) apt(m Member, s state) Section {
	lists := max(s.lists, s.updated)
	key := baseKey{section: "apt", profile: m.Profile, a: int(s.updated), b: int(lists)}
	return Section{Name: "apt", Base: f.bases.get(key, func() []fact.Fact {
		facts := []fact.Fact{
			{Path: "apt/source/sources.list/1", Value: "deb http://deb.debian.org/debian bookworm main contrib non-free-firmware"},
			{Path: "apt/source/sources.list/2", Value: "deb http://deb.debian.org/debian bookworm-updates main contrib non-free-firmware"},
			{Path: "apt/source/sources.list/3", Value: "deb http://security.debian.org/debian-security bookworm-security main contrib non-free-firmware"},
			{Path: "apt/lists/state", Value: "complete"},
			{Path: "apt/lists/age", Value: "0"},
		}
		for n, row := range f.data.profiles[m.Profile.String()] {
			p := &f.data.packages[row]
			if n%20 != 0 { // some were asked for by name
				facts = append(facts, fact.Fact{Path: p.autoPath, Value: "auto"})
			}
			from, to := f.data.versionAt(row, s.updated), f.data.versionAt(row, lists)
			if from == to {
				continue
			}
			value := from + " → " + to
			if f.data.stepAt(p.source, lists).security {
				value += " security"
			}
			facts = append(facts, fact.Fact{Path: p.upgradePath, Value: f.bases.intern(value)})
		}
		return facts
	})}
}

// recordedAs is the recorded machine that a profile takes its services, accounts
// and files of /etc from.
func (p Profile) recordedAs() string {
	return [profiles]string{"tjener", "tjener", "ws", "ws", "thin"}[p]
}

// recorded is a section that was recorded on a real machine: svc, user, group.
func (f *Fleet) recorded(section string, m Member) Section {
	key := baseKey{section: section, profile: m.Profile}
	if section == "user" {
		key.a = int(m.school.set) // passwords were last changed when it was installed
	}
	return Section{Name: section, Base: f.bases.get(key, func() (facts []fact.Fact) {
		for _, r := range f.data.recorded[m.Profile.recordedAs()] {
			if fact.SectionOf(r.path) != section {
				continue
			}
			if section == "user" {
				r.value += fmt.Sprintf(" changed=%d", m.school.set.Time().Unix()/86400)
			}
			facts = append(facts, fact.Fact{Path: r.path, Value: r.value})
		}
		return facts
	})}
}
