package compare

import (
	"strings"

	"rollcall/internal/fact"
)

// dmiField maps facts to the names that the kernel gives them below
// /sys/class/dmi/id, which is how people search for them.
var dmiField = map[string]string{
	"hw/system/vendor": "sys_vendor", "hw/system/product": "product_name", "hw/system/version": "product_version",
	"hw/system/family": "product_family", "hw/system/sku": "product_sku",
	"hw/board/vendor": "board_vendor", "hw/board/product": "board_name", "hw/board/name": "board_name", "hw/board/version": "board_version",
	"hw/bios/vendor": "bios_vendor", "hw/bios/version": "bios_version", "hw/bios/date": "bios_date",
	"hw/chassis/type": "chassis_type", "hw/chassis/vendor": "chassis_vendor",
}

// hardware turns the hw section into attributes. What may sit at any address or
// slot (PCI, USB, memory, disks, monitors) is compared by what it is, not where.
func (t *table) hardware(s *section) {
	g := t.gather(s)
	for _, path := range s.paths() {
		c := s.cols[path]
		vs, _ := s.values(c)
		parts := strings.Split(path, "/")
		for _, v := range vs {
			switch {
			case len(parts) < 3:
				t.seeSetting(g, path, "fact:"+path, v)
			case parts[1] == "pci":
				t.seePCI(g, path, v)
			case parts[1] == "pcidriver":
				t.seeDriver(g, path, v)
			case parts[1] == "usb":
				t.seeUSB(g, path, parts[2], v)
			case dmiField[path] != "":
				t.seeDMI(g, path, dmiField[path], v)
			case unique(parts[len(parts)-1]):
			case len(parts) > 3: // hw/disk/NAME/model, hw/dimm/LOCATOR/size
				t.seeSetting(g, path, "hw:"+parts[1]+":"+parts[len(parts)-1], v)
			default:
				t.seeSetting(g, path, "fact:"+path, v)
			}
		}
	}
	g.done()
}

// unique tells whether a field differs on every machine by nature.
func unique(field string) bool {
	switch field {
	case "serial", "uuid", "wwn", "tag", "asset", "mac", "permanent", "edid", "slaves", "member":
		return true
	}
	return false
}

// sameValue is the holds function of attributes "this path has this value".
func sameValue(text string) func(int, Past) bool {
	return func(_ int, p Past) bool { return p.Present && p.Value == text }
}

// seeSetting adds "what the id names has this value"; where names the file that
// the value comes from.
func (t *table) seeSetting(g *gather, path, id string, v value, where ...string) {
	g.see(id+"\x00"+v.text, v.who, func() *attr {
		name := strings.NewReplacer("hw:", "", "fact:", "", ":", " ").Replace(id)
		return &attr{
			kind: Hardware, object: id, ids: append([]string{id}, where...), path: path, prior: 0.9,
			yes: name + " is " + quote(v.text), no: name + " is not " + quote(v.text), holds: sameValue(v.text),
		}
	})
}

func (t *table) seePCI(g *gather, path string, v value) {
	device, rest, _ := strings.Cut(v.text, " ")
	id := "hw:pci:" + device
	g.see(id, v.who, func() *attr {
		words := "PCI device " + device
		if _, class, ok := strings.Cut(rest, "class="); ok {
			class, _, _ = strings.Cut(class, " ")
			words += " (" + pciClass(class) + ")"
		}
		return &attr{
			kind: Hardware, object: id, ids: []string{id}, path: path, yes: words, no: "no " + words,
			holds: func(_ int, p Past) bool { return p.Present && strings.HasPrefix(p.Value, device) },
		}
	})
}

// pciClass names the base class of a PCI device (PCI Code and ID Assignment
// Specification, chapter 1).
func pciClass(class string) string {
	names := map[string]string{
		"01": "storage", "02": "network", "03": "display", "04": "multimedia", "05": "memory",
		"06": "bridge", "07": "serial or modem", "0c": "USB or other bus", "0d": "wireless",
	}
	class = strings.ToLower(strings.TrimPrefix(class, "0x"))
	if len(class) >= 2 && names[class[:2]] != "" {
		return names[class[:2]]
	}
	return "class " + class
}

func (t *table) seeDriver(g *gather, path string, v value) {
	id := "hw:driver:" + v.text
	g.see(id, v.who, func() *attr {
		return &attr{
			kind: Hardware, object: id, ids: []string{id}, path: path,
			yes: "driver " + v.text + " in use", no: "driver " + v.text + " not in use", holds: sameValue(v.text),
		}
	})
}

func (t *table) seeUSB(g *gather, path, device string, v value) {
	id := "hw:usb:" + device
	g.see(id, v.who, func() *attr {
		return &attr{
			kind: Hardware, object: id, ids: []string{id}, path: path, prior: 0.9,
			yes: "USB device " + device, no: "no USB device " + device, holds: func(_ int, p Past) bool { return p.Present },
		}
	})
}

func (t *table) seeDMI(g *gather, path, field string, v value) {
	id := "hw:dmi:" + field
	g.see(id+"\x00"+v.text, v.who, func() *attr {
		return &attr{
			kind: Hardware, object: id, ids: []string{id}, path: path, prior: 0.95,
			yes: field + " is " + quote(v.text), no: field + " is not " + quote(v.text), holds: sameValue(v.text),
		}
	})
}

// resolver is the file that tells name servers, domains and options; whoever
// writes it, its content is facts.
const resolver = "file:etc/resolv.conf"

// network turns the net section into attributes: makers of cards by the first
// half of their MAC address, drivers, speeds, name servers.
func (t *table) network(s *section) {
	g := t.gather(s)
	for _, path := range s.paths() {
		parts := strings.Split(path, "/")
		field := parts[len(parts)-1]
		vs, _ := s.values(s.cols[path])
		for _, v := range vs {
			switch {
			case len(parts) == 3 && (field == "mac" || field == "permanent"):
				t.seeMaker(g, path, v)
			case len(parts) == 3 && field == "driver":
				t.seeDriver(g, path, v)
			case len(parts) > 3, field == "device", field == "master": // addresses and places
			case len(parts) == 3 && parts[1] != "route" && parts[1] != "dns":
				t.seeSetting(g, path, "fact:net/*/"+field, v)
			case parts[1] == "dns":
				t.seeSetting(g, path, "fact:net/dns", v, resolver)
			case path == "net/search", path == "net/options":
				t.seeSetting(g, path, "fact:"+path, v, resolver)
			default:
				t.seeSetting(g, path, "fact:"+path, v)
			}
		}
	}
	g.done()
}

func (t *table) seeMaker(g *gather, path string, v value) {
	mac := strings.ToLower(v.text)
	if len(mac) < 8 {
		return
	}
	id := "hw:mac-oui:" + mac[:8]
	g.see(id, v.who, func() *attr {
		return &attr{
			kind: Hardware, object: id, ids: []string{id}, path: path, prior: 0.85,
			yes: "network card with MAC " + mac[:8] + ":…", no: "no network card with MAC " + mac[:8] + ":…",
			holds: func(_ int, p Past) bool { return p.Present && strings.HasPrefix(strings.ToLower(p.Value), mac[:8]) },
		}
	})
}

func (t *table) modules(s *section) {
	for _, path := range s.paths() {
		c := s.cols[path]
		if c.constant {
			continue
		}
		_, present := s.values(c)
		name := strings.TrimPrefix(path, "module/")
		t.add(&attr{
			kind: Module, object: "module:" + name, ids: []string{"module:" + name}, path: path, prior: 0.85,
			yes: "kernel module " + name + " loaded", no: "kernel module " + name + " not loaded",
			holds: func(_ int, p Past) bool { return p.Present }, member: present, known: s.known,
		})
	}
}

// system turns the os section into attributes: the running kernel by version and
// against the newest installed one, the kernel's command line word by word, and
// everything else as it is.
func (t *table) system(s *section) {
	base := attr{kind: Kernel, object: "kernel:running", ids: []string{"kernel:running"}, known: s.known}
	if c := s.cols["os/kernel"]; c != nil {
		if !c.constant {
			t.versions(s, "running kernel", c, base)
		}
		t.lagging(s, c, base)
	}
	g := t.gather(s)
	for _, path := range s.paths() {
		c := s.cols[path]
		switch {
		case path == "os/kernel" || strings.HasPrefix(path, "os/kernels/"):
		case path == "os/cmdline":
			t.cmdline(g, s, c)
		case path == "os/reboot-needed":
			t.reboot(s, c, base)
		case !c.constant:
			t.settings(s, c)
		}
	}
	g.done()
}

// lagging adds "runs a kernel older than the newest installed".
func (t *table) lagging(s *section, running *column, base attr) {
	newest := make(map[int]string)
	for path, c := range s.cols {
		version, ok := strings.CutPrefix(path, "os/kernels/")
		if !ok {
			continue
		}
		for _, x := range c.all() {
			if newest[x.set] == "" || fact.CompareVersions(version, newest[x.set]) > 0 {
				newest[x.set] = version
			}
		}
	}
	base.path, base.member = running.path, s.known.blank()
	for _, x := range running.all() {
		if newest[x.set] != "" && fact.CompareVersions(x.value, newest[x.set]) < 0 {
			base.member = base.member.or(s.who[x.set])
		}
	}
	base.yes, base.no = "running kernel older than the newest installed one", "running kernel is the newest installed one"
	t.add(&base)
}

func (t *table) cmdline(g *gather, s *section, c *column) {
	vs, _ := s.values(c)
	for _, v := range vs {
		for word := range strings.FieldsSeq(v.text) {
			masked := t.reader.generic(word)
			g.see(masked, v.who, func() *attr {
				return &attr{
					kind: Setting, object: "fact:os/cmdline " + masked, ids: []string{"fact:os/cmdline"}, path: c.path,
					yes: "kernel command line has " + quote(masked), no: "kernel command line without " + quote(masked),
					holds: func(_ int, p Past) bool { return p.Present && strings.Contains(" "+p.Value+" ", " "+word+" ") },
				}
			})
		}
	}
}

func (t *table) reboot(s *section, c *column, base attr) {
	vs, _ := s.values(c)
	base.path, base.member = c.path, s.known.blank()
	for _, v := range vs {
		if strings.HasPrefix(v.text, "yes") {
			base.member = base.member.or(v.who)
		}
	}
	base.yes, base.no = "waits for a reboot", "needs no reboot"
	base.holds = func(_ int, p Past) bool { return p.Present && strings.HasPrefix(p.Value, "yes") }
	t.add(&base)
}
