package collect

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

const maxUnitFile = 64 << 10 // bytes

func units() Collector {
	return Collector{Name: "units", Owns: []string{"svc/"}, Timeout: 10 * time.Second, Collect: collectUnits}
}

// unitFolders are systemd's search path (systemd.unit(5)), strongest first.
func unitFolders() []string {
	return []string{"etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"}
}

// unitKinds are the units that are somebody's decision. Targets and slices only
// group others; devices and scopes come and go by themselves.
func unitKinds() []string {
	return []string{".service", ".socket", ".timer", ".path", ".mount", ".automount", ".swap"}
}

// collectUnits tells the state of each unit as systemctl(1) list-unit-files
// does, from the files alone, and on the running machine asks systemd which
// units have failed.
func collectUnits(ctx context.Context, h Host, s *Sink) error {
	u, err := remember(h.Cache, "units", unitStamp(h), func() (*unitFiles, error) { return readUnits(h) })
	if err != nil {
		return err
	}
	if u.denied != "" {
		s.Denied(u.denied)
	}
	for name, state := range u.state {
		s.Fact(Path("svc", name), state)
	}
	if !h.Live {
		return nil
	}
	failed, err := failedUnits(ctx)
	for _, name := range failed {
		if wantedUnit(name) {
			s.Fact(Path("svc", name, "failed"), "yes")
		}
	}
	return err
}

// unitStamp shows whether units changed. Packages and systemctl replace whole
// files, which changes their folder; people may also edit one in place, but only
// in /etc.
func unitStamp(h Host) string {
	names := append(unitFolders(), "etc/init.d")
	for _, dir := range unitFolders()[:2] {
		own, err := h.Names(dir)
		if err != nil {
			continue // readUnits finds out why
		}
		for _, name := range own {
			names = append(names, dir+"/"+name)
		}
	}
	return h.stamp(names...)
}

func readUnits(h Host) (*unitFiles, error) {
	u := &unitFiles{host: h, files: map[string]string{}, state: map[string]string{}, enabled: map[string]bool{}, instances: map[string][]string{}}
	for _, dir := range unitFolders() {
		if err := u.folder(dir); err != nil {
			return nil, err
		}
	}
	if len(u.files) == 0 {
		return nil, fs.ErrNotExist
	}
	u.settle()
	if err := u.initScripts(); err != nil {
		return nil, err
	}
	return &unitFiles{state: u.state, denied: u.denied}, nil
}

// unitFiles gathers what the folders say about units.
type unitFiles struct {
	host    Host
	files   map[string]string // unit → its file, the strongest
	state   map[string]string
	enabled map[string]bool // a link of .wants and the like, or an alias, leads to it
	denied  string          // a name that could not be read

	instances map[string][]string // enabled ones by template
}

func wantedUnit(name string) bool {
	return slices.Contains(unitKinds(), path.Ext(name)) && !strings.HasPrefix(name, "session-")
}

// folder looks at one folder of the search path.
func (u *unitFiles) folder(dir string) error {
	names, err := u.list(dir)
	if err != nil {
		return err
	}
	configured := dir == "etc/systemd/system" || dir == "run/systemd/system"
	for _, name := range names {
		switch ext := path.Ext(name); {
		case ext == ".wants" || ext == ".requires" || ext == ".upholds":
			if !configured {
				continue // what packages pull in themselves is static
			}
			links, err := u.list(dir + "/" + name)
			if err != nil {
				return err
			}
			for _, link := range links {
				u.enable(link)
			}
		case wantedUnit(name):
			u.unit(dir, name, configured)
		}
	}
	return nil
}

func (u *unitFiles) list(dir string) ([]string, error) {
	names, err := u.host.Names(dir)
	switch {
	case errors.Is(err, fs.ErrPermission):
		u.denied = dir
		return nil, nil
	case Absent(err):
		return nil, nil
	}
	return names, err
}

// enable notes that a unit is pulled in. For an instance that says something
// about its template too.
func (u *unitFiles) enable(name string) {
	u.enabled[name] = true
	if t := template(name); t != "" {
		u.instances[t] = append(u.instances[t], name)
	}
}

// template gives "getty@.service" for "getty@tty1.service", "" for others.
func template(name string) string {
	before, after, ok := strings.Cut(name, "@")
	ext := path.Ext(name)
	if !ok || after == ext {
		return ""
	}
	return before + "@" + ext
}

// unit looks at one unit's file, or at the link in its place: to /dev/null it
// masks, to a unit of another name it is an alias, to the file it is the file.
func (u *unitFiles) unit(dir, name string, configured bool) {
	file := dir + "/" + name
	target, err := fs.ReadLink(u.host.FS, file)
	if err != nil {
		target = ""
	}
	switch base := path.Base(target); {
	case target == "/dev/null":
		if u.files[name] == "" && u.state[name] == "" {
			u.state[name] = "masked"
		}
	case target != "" && base != name && template(name) != base:
		if configured {
			u.enable(base)
		}
		if u.files[name] == "" && u.state[name] == "" {
			u.state[name] = "alias"
		}
	case u.state[name] == "" && u.files[name] == "":
		u.files[name] = file
	}
}

// settle decides about the units that are neither masked nor an alias.
func (u *unitFiles) settle() {
	for name, state := range u.state {
		if state == "alias" {
			delete(u.state, name)
		}
	}
	for name, file := range u.files {
		if u.state[name] != "" {
			continue
		}
		u.state[name] = u.fileState(name, file)
	}
	for name := range u.enabled { // instances have no file of their own
		if t := template(name); t != "" && u.files[t] != "" && u.files[name] == "" && u.state[name] == "" && wantedUnit(name) {
			u.state[name] = "enabled"
		}
	}
}

func (u *unitFiles) fileState(name, file string) string {
	if u.enabled[name] {
		return "enabled"
	}
	b, err := u.host.ReadFile(file, maxUnitFile)
	switch {
	case errors.Is(err, fs.ErrPermission):
		u.denied = file
		return "unreadable"
	case err != nil: // a dangling link
		return "bad"
	case len(b) == 0:
		return "masked"
	}
	install := installSection(b)
	if running := u.instances[name]; len(running) > 0 {
		byDefault := strings.Replace(name, "@", "@"+install.instance, 1)
		if slices.Contains(running, byDefault) {
			return "enabled"
		}
		return "indirect"
	}
	switch {
	case install.wanted:
		return "disabled"
	case install.also:
		return "indirect"
	}
	return "static"
}

// install is what an [Install] section says (systemd.unit(5)).
type install struct {
	wanted   bool   // it can be enabled by itself
	also     bool   // it is enabled together with another unit
	instance string // of a template, which enabling it means
}

func installSection(b []byte) install {
	var in install
	inside := false
	for line := range bytes.Lines(b) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] == '[' {
			inside = string(line) == "[Install]"
			continue
		}
		name, value, ok := bytes.Cut(line, []byte("="))
		value = bytes.TrimSpace(value)
		if !inside || !ok || len(value) == 0 {
			continue
		}
		switch string(bytes.TrimSpace(name)) {
		case "WantedBy", "RequiredBy", "UpheldBy", "Alias":
			in.wanted = true
		case "Also":
			in.also = true
		case "DefaultInstance":
			in.instance = string(value)
		}
	}
	return in
}

// initScripts adds System V init scripts that have no unit file: systemd makes
// one up for each (systemd-sysv-generator(8)).
func (u *unitFiles) initScripts() error {
	names, err := u.list("etc/init.d")
	if err != nil {
		return err
	}
	for _, name := range names {
		unit := strings.TrimSuffix(name, ".sh") + ".service"
		if u.files[unit] != "" || u.state[unit] != "" || u.enabled[unit] || u.aliased(unit) {
			continue
		}
		b, err := u.host.ReadHead("etc/init.d/"+name, 4096)
		if err == nil && bytes.HasPrefix(b, []byte("#!")) {
			u.state[unit] = "generated"
		}
	}
	return nil
}

// aliased tells whether a file or link of that name stands in the search path.
func (u *unitFiles) aliased(unit string) bool {
	for _, dir := range unitFolders() {
		if _, err := fs.ReadLink(u.host.FS, dir+"/"+unit); err == nil {
			return true
		}
	}
	return false
}
