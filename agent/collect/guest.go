package collect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

func guests() Collector {
	return Collector{Name: "guests", Owns: []string{"guest/"}, Collect: collectGuests}
}

// Bounds of what is read of guests.
const (
	maxGuests    = 500
	maxGuestFile = 1 << 20 // bytes
)

// collectGuests lists the virtual machines and containers that this machine is
// there for, from their configuration: libvirt's, LXC's and systemd-nspawn's.
// Docker's containers come and go with what runs in them and are not listed.
func collectGuests(_ context.Context, h Host, s *Sink) error {
	found := 0
	for _, list := range []func(Host, *Sink) (int, error){libvirtGuests, lxcGuests, nspawnGuests} {
		n, err := list(h, s)
		if err != nil {
			return err
		}
		found += n
	}
	return s.Found(found > 0)
}

// domain is what is taken of libvirt's description of a guest
// (libvirt.org/formatdomain.html).
type domain struct {
	kind, name, uuid, processors string
	memory, unit                 string
}

// parseDomain reads what libvirtd has written, always in the same order: name and
// uuid first, devices with their passwords last. Of each element the first counts.
// A reader of any XML would bring into the agent what it needs for nothing else.
func parseDomain(b []byte) (d domain, ok bool) {
	text := string(b)
	for {
		before, rest, comment := strings.Cut(text, "<!--")
		if !comment {
			break
		}
		_, rest, _ = strings.Cut(rest, "-->")
		text = before + rest
	}
	whole := strings.HasSuffix(strings.TrimSpace(text), "</domain>")
	text, _, _ = strings.Cut(text, "<devices>")
	attributes, _ := element(text, "domain")
	d.kind = attribute(attributes, "type")
	_, d.name = element(text, "name")
	_, d.uuid = element(text, "uuid")
	_, d.processors = element(text, "vcpu")
	attributes, d.memory = element(text, "memory")
	d.unit = attribute(attributes, "unit")
	return d, whole && d.name != ""
}

// element gives the attributes of the first element of a name, and the text that
// follows them.
func element(text, name string) (attributes, content string) {
	for {
		_, rest, found := strings.Cut(text, "<"+name)
		if !found {
			return "", ""
		}
		if rest == "" || rest[0] != '>' && rest[0] != ' ' { // a longer name
			text = rest
			continue
		}
		attributes, rest, _ = strings.Cut(rest, ">")
		content, _, _ = strings.Cut(rest, "<")
		return attributes, unescapeXML.Replace(strings.TrimSpace(content))
	}
}

// attribute gives the value of name='value'.
func attribute(attributes, name string) string {
	_, rest, found := strings.Cut(attributes, " "+name+"=")
	if !found || rest == "" {
		return ""
	}
	value, _, _ := strings.Cut(rest[1:], rest[:1])
	return unescapeXML.Replace(value)
}

var unescapeXML = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&quot;", `"`, "&apos;", "'", "&amp;", "&")

// libvirtGuests reads the descriptions that libvirtd keeps. Which guests run is
// seen by the files of their processes; libvirtd is not asked.
func libvirtGuests(h Host, s *Sink) (int, error) {
	const dir = "etc/libvirt/qemu"
	names, err := h.Entries(s, dir)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, file := range names {
		if path.Ext(file) != ".xml" || n == maxGuests {
			continue
		}
		b, err := h.Content(s, dir+"/"+file, maxGuestFile)
		if err != nil {
			return n, err
		}
		d, ok := parseDomain(b)
		if !ok {
			continue // libvirtd itself leaves out what it cannot read
		}
		n++
		put := func(what, value string) { s.Fact(Path("guest", "libvirt", d.name, what), value) }
		put("kind", d.kind)
		put("uuid", d.uuid)
		put("memory", memoryBytes(d.memory, d.unit))
		put("processors", d.processors)
		put("autostart", yesNo(h.Exists(dir+"/autostart/"+file)))
		if h.Live {
			put("runs", yesNo(h.Exists("run/libvirt/qemu/"+d.name+".pid")))
		}
	}
	return n, nil
}

// memoryBytes gives libvirt's size in bytes; without a unit it counts in KiB.
func memoryBytes(value, unit string) string {
	n, ok := number(value)
	shift := map[string]uint{"b": 0, "bytes": 0, "k": 10, "KiB": 10, "": 10, "M": 20, "MiB": 20, "G": 30, "GiB": 30, "T": 40, "TiB": 40}
	by, known := shift[unit]
	if !ok || n == 0 || !known || n > 1<<62>>by {
		return ""
	}
	return strconv.FormatUint(n<<by, 10)
}

// lxcGuests reads the containers of lxc(7).
func lxcGuests(h Host, s *Sink) (int, error) {
	const dir = "var/lib/lxc"
	names, err := h.Entries(s, dir)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, name := range names[:min(len(names), maxGuests)] {
		b, err := h.Content(s, dir+"/"+name+"/config", maxGuestFile)
		if err != nil {
			return n, err
		}
		if b == nil {
			continue
		}
		n++
		auto := "no"
		for line := range strings.Lines(string(b)) {
			key, value, _ := strings.Cut(line, "=")
			if k := strings.TrimSpace(key); k == "lxc.start.auto" || k == "lxc.start_auto" {
				auto = yesNo(strings.TrimSpace(value) != "0")
			}
		}
		s.Fact(Path("guest", "lxc", name, "autostart"), auto)
		if h.Live {
			s.Fact(Path("guest", "lxc", name, "runs"), yesNo(h.Exists("sys/fs/cgroup/lxc.payload."+name)))
		}
	}
	return n, nil
}

// nspawnGuests lists the images of systemd-nspawn(1).
func nspawnGuests(h Host, s *Sink) (int, error) {
	const dir = "var/lib/machines"
	names, err := h.Entries(s, dir)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, name := range names[:min(len(names), maxGuests)] {
		st, err := fs.Stat(h.FS, dir+"/"+name)
		if errors.Is(err, fs.ErrPermission) {
			return n, fmt.Errorf("%s: %w", dir, err)
		}
		if base := strings.TrimSuffix(name, ".raw"); err == nil && !strings.HasPrefix(name, ".") && (st.IsDir() || base != name) {
			n++
			s.Fact(Path("guest", "nspawn", base, "kind"), map[bool]string{true: "folder", false: "image"}[st.IsDir()])
		}
	}
	return n, nil
}
