package sitesummary

import (
	"cmp"
	"iter"
	"slices"
	"strconv"
	"strings"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
)

// sheet takes what the files of an upload say. Its methods make foreign strings
// inert; the names of facts are those of the agent's collectors, so that a
// question finds both.
type sheet struct {
	files    map[string][]byte
	facts    []fact.Fact
	measured []fact.Fact
	said     []cmdb.CollectorStatus
	mac      string // of the first interface by name: what sitesummary calls the machine by

	interfaces []iface
}

// What a collector's status is on the wire, see CollectorStatus in agent.proto.
const (
	statusOK      = 1
	statusNotHere = 2
	statusFailed  = 5
)

// reader reads one file of an upload.
type reader struct {
	file string
	read func(*sheet, []byte)
}

// readers lists all files that are read, in the order in which their status is
// shown.
func readers() []reader {
	return []reader{
		{"system/hostname", (*sheet).hostname},
		{"system/ifconfig-a", (*sheet).ifconfig},
		{"system/route-n", (*sheet).route},
		{"system/dmidecode", (*sheet).dmidecode},
		{"system/cpuinfo", (*sheet).cpuinfo},
		{"system/meminfo", (*sheet).meminfo},
		{"system/uname-smr", (*sheet).uname},
		{"system/lspci-n", (*sheet).lspci},
		{"system/lsusb", (*sheet).lsusb},
		{"system/lsmod", (*sheet).lsmod},
		{"system/hdparm-I", (*sheet).hdparm},
		{"debian/dpkg-l", (*sheet).dpkg},
		{"debian/debian_version", (*sheet).debianVersion},
		{"debian-edu/config", (*sheet).eduConfig},
		{"siteinfo/site", (*sheet).site},
		{"siteinfo/sitegroup", (*sheet).sitegroup},
		{"siteinfo/hostclass", (*sheet).hostclass},
	}
}

// read makes a sheet of an upload.
func read(up Upload) *sheet {
	s := &sheet{files: up.Files}
	for _, r := range readers() {
		st := cmdb.CollectorStatus{Name: "sitesummary " + r.file, Status: statusNotHere}
		if b, ok := up.Files[r.file]; ok {
			had := len(s.facts) + len(s.measured)
			r.read(s, b)
			st.Status = statusOK
			if len(s.facts)+len(s.measured) == had && len(b) > 0 {
				st.Status, st.Detail = statusFailed, "nothing in it was understood"
			}
		}
		s.said = append(s.said, st)
	}
	s.hostKeys()
	s.class()
	return s
}

// put adds a fact; an empty value is none.
func (s *sheet) put(value string, path ...string) {
	f := fact.Fact{Path: join(path), Value: fact.Value(value)}
	if f.Value != "" && f.Check() == nil && len(s.facts) < fact.MaxFacts {
		s.facts = append(s.facts, f)
	}
}

// measure adds a value of the moment.
func (s *sheet) measure(value string, path ...string) {
	f := fact.Fact{Path: "m/" + join(path), Value: fact.Value(value)}
	if f.Value != "" && f.Check() == nil && len(s.measured) < maxMeasured {
		s.measured = append(s.measured, f)
	}
}

// maxMeasured bounds the values of the moment of one upload.
const maxMeasured = 200

// get returns the value of a fact that was read before.
func (s *sheet) get(path string) string {
	for _, f := range s.facts {
		if f.Path == path {
			return f.Value
		}
	}
	return ""
}

func join(path []string) string {
	names := make([]string, len(path))
	for i, p := range path {
		names[i] = p
		if i > 0 && (strings.ContainsAny(p, "/%") || fact.Escape(p) != p) {
			names[i] = fact.Name(p)
		}
	}
	return strings.Join(names, "/")
}

// lines yields the lines of a file without their ends.
func lines(b []byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range strings.Lines(string(b)) {
			if !yield(strings.TrimRight(line, "\r\n")) {
				return
			}
		}
	}
}

// first gives the first line that is not empty and no comment.
func first(b []byte) string {
	for line := range lines(b) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			return line
		}
	}
	return ""
}

// set gives the last line that says something, without a comment: how sitesummary
// reads what an administrator has set.
func set(b []byte) (value string) {
	for line := range lines(b) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			value = line
		}
	}
	return value
}

// genuine gives s, or "" where it is a vendor's placeholder.
func genuine(s string) string {
	if fact.Placeholder(s) {
		return ""
	}
	return strings.TrimSpace(s)
}

func (s *sheet) hostname(b []byte) {
	name, domain, _ := strings.Cut(first(b), ".")
	s.put(name, "id", "hostname")
	s.put(strings.Trim(domain, "."), "id", "domain")
}

func (s *sheet) debianVersion(b []byte) { s.put(first(b), "os", "debian") }
func (s *sheet) site(b []byte)          { s.put(set(b), "id", "site", "site") }
func (s *sheet) sitegroup(b []byte)     { s.put(set(b), "id", "site", "sitegroup") }
func (s *sheet) hostclass(b []byte)     { s.put(set(b), "id", "site", "hostclass") }

// uname reads "Linux 6.1.0-28-amd64 x86_64".
func (s *sheet) uname(b []byte) {
	if words := strings.Fields(first(b)); len(words) >= 2 && words[0] == "Linux" {
		s.put(words[1], "os", "kernel")
	}
}

// eduConfig reads lines of shell assignments.
func (s *sheet) eduConfig(b []byte) {
	for line := range lines(b) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch value = strings.Trim(value, `"'`); key {
		case "PROFILE":
			s.put(value, "id", "edu", "profile")
		case "VERSION":
			s.put(value, "id", "edu", "version")
		}
	}
}

// class tells what kind of machine this is, as far as the files say.
func (s *sheet) class() {
	profile, chassis := s.get("id/edu/profile"), s.get("hw/chassis/type")
	_, laptop := s.files["system/laptop"]
	portable := slices.Contains([]string{"portable", "laptop", "notebook", "hand held", "sub notebook", "tablet", "convertible", "detachable"}, chassis)
	has := func(roles ...string) bool {
		return slices.ContainsFunc(roles, func(r string) bool { return strings.Contains(profile, r) })
	}
	switch {
	case has("Main-Server", "LTSP-Server", "Thin-Client-Server", "Minimal"):
		s.put("server", "id", "class")
	case laptop || portable || has("Roaming-Workstation"):
		s.put("laptop", "id", "class")
	case has("Workstation", "Standalone"):
		s.put("workstation", "id", "class")
	}
}

// maxPackages is what one machine may have, as for agents.
const maxPackages = 20_000

// dpkg reads the table of "dpkg -l". Where it was cut to the width of a terminal,
// as dpkg did until Debian 7, names are not whole and nothing is taken.
func (s *sheet) dpkg(b []byte) {
	type row struct{ state, name, version, arch string }
	var rows []row
	native := ""
	for line := range lines(b) {
		if strings.HasPrefix(line, "+++-") && len(line) <= 80 && strings.Count(line, "-=") < 4 {
			return
		}
		f := strings.Fields(line)
		if len(f) < 4 || len(f[0]) < 2 || len(f[0]) > 3 || strings.Trim(f[0], "uihrpncUHFWtR") != "" || len(rows) == maxPackages {
			continue
		}
		rows = append(rows, row{f[0], f[1], f[2], f[3]})
		if f[1] == "dpkg" {
			native = f[3]
		}
	}
	for _, r := range rows {
		name, arch, _ := strings.Cut(r.name, ":")
		if arch = cmp.Or(arch, r.arch); arch != "all" && arch != native && native != "" {
			name += ":" + arch
		}
		if r.state != "ii" {
			s.put(dpkgState(r.state), "pkg", name, "state")
		}
		if r.state[1] != 'n' && r.state[1] != 'c' {
			s.put(r.version, "pkg", name, "version")
		}
	}
}

// dpkgState spells the letters of "dpkg -l" as dpkg's database does: "rc" is
// "deinstall ok config-files".
func dpkgState(letters string) string {
	want := map[byte]string{'u': "unknown", 'i': "install", 'h': "hold", 'r': "deinstall", 'p': "purge"}[letters[0]]
	state := map[byte]string{
		'n': "not-installed", 'c': "config-files", 'H': "half-installed", 'U': "unpacked", 'F': "half-configured",
		'W': "triggers-awaited", 't': "triggers-pending", 'i': "installed",
	}[letters[1]]
	flag := "ok"
	if len(letters) > 2 && letters[2] == 'R' {
		flag = "reinstreq"
	}
	return strings.Join([]string{cmp.Or(want, "unknown"), flag, cmp.Or(state, "unknown")}, " ")
}

// number puts a number that is more than nothing.
func (s *sheet) number(n int, path ...string) {
	if n > 0 {
		s.put(strconv.Itoa(n), path...)
	}
}
