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

// hint is how an attribute is recognized and put into words that one fact hints at.
type hint struct {
	key   string // the same for facts that mean the same; "" for what means nothing
	prior float64
	say   func() attr
}

// hardware turns the hw section into attributes. What may sit at any address or
// slot (PCI, USB, memory, disks, monitors) is compared by what it is, not where.
func (t *table) hardware(s *section) {
	t.gather(s, func(path string) bool {
		parts := strings.Split(path, "/")
		return len(parts) >= 3 && parts[1] != "pci" && parts[1] != "pcidriver" && parts[1] != "usb" && dmiField[path] == "" && unique(parts[len(parts)-1])
	}, func(path, value string) hint {
		parts := strings.Split(path, "/")
		switch {
		case len(parts) < 3:
			return hintSetting(path, value, "fact:"+path, "")
		case parts[1] == "pci":
			return hintPCI(path, value)
		case parts[1] == "pcidriver":
			return hintDriver(path, value)
		case parts[1] == "usb":
			return hintUSB(path, parts[2])
		case dmiField[path] != "":
			return hintDMI(path, dmiField[path], value)
		case len(parts) > 3: // hw/disk/NAME/model, hw/dimm/LOCATOR/size
			return hintSetting(path, value, "hw:"+parts[1]+":"+parts[len(parts)-1], "")
		}
		return hintSetting(path, value, "fact:"+path, "")
	})
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

// hintSetting is "what the id names has this value"; where names the file that
// the value comes from.
func hintSetting(path, value, id, where string) hint {
	return hint{id + "\x00" + value, 0.9, func() attr {
		name := strings.NewReplacer("hw:", "", "fact:", "", ":", " ").Replace(id)
		return attr{
			kind: Hardware, object: thing{"", id}, also: where, path: path, holds: sameValue(value),
			words: words(name+" is "+quote(value), name+" is not "+quote(value)),
		}
	}}
}

// device is something that is there or not.
func device(path, id string, prior float64, yes, no string, holds func(string) bool) hint {
	return hint{id, prior, func() attr {
		return attr{
			kind: Hardware, object: thing{"", id}, path: path, words: words(yes, no),
			holds: func(_ int, p Past) bool { return p.Present && holds(p.Value) },
		}
	}}
}

func hintPCI(path, value string) hint {
	id, rest, _ := strings.Cut(value, " ")
	words := "PCI device " + id
	if _, class, ok := strings.Cut(rest, "class="); ok {
		class, _, _ = strings.Cut(class, " ")
		words += " (" + pciClass(class) + ")"
	}
	return device(path, "hw:pci:"+id, 1, words, "no "+words, func(v string) bool { return strings.HasPrefix(v, id) })
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

func hintDriver(path, value string) hint {
	return device(path, "hw:driver:"+value, 1, "driver "+value+" in use", "driver "+value+" not in use", func(v string) bool { return v == value })
}

func hintUSB(path, id string) hint {
	return device(path, "hw:usb:"+id, 0.9, "USB device "+id, "no USB device "+id, func(string) bool { return true })
}

func hintDMI(path, field, value string) hint {
	id := "hw:dmi:" + field
	h := device(path, id, 0.95, field+" is "+quote(value), field+" is not "+quote(value), func(v string) bool { return v == value })
	h.key += "\x00" + value
	return h
}

// resolver is the file that tells name servers, domains and options; whoever
// writes it, its content is facts.
const resolver = "file:etc/resolv.conf"

// network turns the net section into attributes: makers of cards by the first
// half of their MAC address, drivers, speeds, name servers.
func (t *table) network(s *section) {
	t.gather(s, func(path string) bool { // addresses and places
		return strings.Count(path, "/") > 2 || strings.HasSuffix(path, "/device") || strings.HasSuffix(path, "/master")
	}, func(path, value string) hint {
		parts := strings.Split(path, "/")
		field := parts[len(parts)-1]
		switch {
		case len(parts) == 3 && (field == "mac" || field == "permanent"):
			return hintMaker(path, value)
		case len(parts) == 3 && field == "driver":
			return hintDriver(path, value)
		case len(parts) == 3 && parts[1] != "route" && parts[1] != "dns":
			return hintSetting(path, value, "fact:net/*/"+field, "")
		case parts[1] == "dns":
			return hintSetting(path, value, "fact:net/dns", resolver)
		case path == "net/search", path == "net/options":
			return hintSetting(path, value, "fact:"+path, resolver)
		}
		return hintSetting(path, value, "fact:"+path, "")
	})
}

func hintMaker(path, value string) hint {
	mac := strings.ToLower(value)
	if len(mac) < 8 {
		return hint{}
	}
	card := "network card with MAC " + mac[:8] + ":…"
	return device(path, "hw:mac-oui:"+mac[:8], 0.85, card, "no "+card, func(v string) bool { return strings.HasPrefix(strings.ToLower(v), mac[:8]) })
}

func (t *table) modules(s *section) {
	for i := range s.Columns {
		c := &s.Columns[i]
		if c.Constant {
			continue
		}
		t.topic(func() {
			t.add(c.Present, s.known, 0.85, func() attr {
				name := strings.TrimPrefix(c.Path, "module/")
				return attr{
					kind: Module, object: thing{"module:", name}, path: c.Path,
					words: words("kernel module "+name+" loaded", "kernel module "+name+" not loaded"),
					holds: func(_ int, p Past) bool { return p.Present },
				}
			})
		})
	}
}

// kernelAttr is about the running kernel.
func kernelAttr() attr {
	return attr{kind: Kernel, object: thing{"kernel:", "running"}}
}

// system turns the os section into attributes: the running kernel by version and
// against the newest installed one, the kernel's command line word by word, and
// everything else as it is.
func (t *table) system(s *section) {
	for i := range s.Columns {
		c := &s.Columns[i]
		switch {
		case c.Path == "os/kernel":
			t.topic(func() {
				if !c.Constant {
					t.versions(s, "running kernel", c, kernelAttr)
				}
			})
			t.lagging(s, c)
		case strings.HasPrefix(c.Path, "os/kernels/"):
		case c.Path == "os/cmdline":
			t.topic(func() { t.cmdline(s, c) })
		case c.Path == "os/reboot-needed":
			t.topic(func() { t.reboot(s, c) })
		case !c.Constant:
			t.topic(func() { t.settings(s, c) })
		}
	}
}

// lagging adds "runs a kernel older than the newest installed".
func (t *table) lagging(s *section, running *Column) {
	installed := map[string]set{}
	for i := range s.Columns {
		if version, ok := strings.CutPrefix(s.Columns[i].Path, "os/kernels/"); ok {
			installed[version] = t.f.look(s.Columns[i].Present, s.known)
		}
	}
	member := t.f.all.blank()
	for _, v := range running.Values {
		newer := t.f.all.blank()
		for version, has := range installed {
			if fact.CompareVersions(v.Text, version) < 0 {
				newer = newer.or(has)
			}
		}
		member = member.or(newer.and(t.f.look(v.Crowd, s.known)))
	}
	who := t.f.keep(member)
	t.topic(func() {
		t.add(who, s.known, 1, func() attr {
			a := kernelAttr()
			a.path, a.words = running.Path, words("running kernel older than the newest installed one", "running kernel is the newest installed one")
			return a
		})
	})
}

func (t *table) cmdline(s *section, c *Column) {
	if s, c = t.inside(s, c); c == nil {
		return
	}
	t.parts(s, c, func(text string, see func(string)) {
		for word := range strings.FieldsSeq(text) {
			see(t.reader.generic(word))
		}
	}, 1, func(word string) attr {
		return attr{
			kind: Setting, object: thing{"fact:", "os/cmdline " + word}, id: thing{"fact:", "os/cmdline"}, path: c.Path,
			words: words("kernel command line has "+quote(word), "kernel command line without "+quote(word)),
			holds: func(_ int, p Past) bool {
				return p.Present && strings.Contains(" "+t.reader.generic(p.Value)+" ", " "+word+" ")
			},
		}
	})
}

func (t *table) reboot(s *section, c *Column) {
	var who Crowd
	for _, v := range c.Values {
		if strings.HasPrefix(v.Text, "yes") {
			who.join(v.Crowd)
		}
	}
	t.add(who, s.known, 1, func() attr {
		a := kernelAttr()
		a.path, a.words = c.Path, words("waits for a reboot", "needs no reboot")
		a.holds = func(_ int, p Past) bool { return p.Present && strings.HasPrefix(p.Value, "yes") }
		return a
	})
}
