package sitesummary

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"rollcall/internal/fact"
)

// maxText is about where a file that is written of facts ends, in bytes: a machine may
// have any number of anything, and 20,000 packages take some 2 MB.
const maxText = maxFile

// entry is what is known of a machine, to be written as sitesummary-client would.
type entry struct {
	class    string
	facts    map[string]fact.Set // by section
	measured fact.Set
	contents map[string][]byte // of files below /etc that are wanted as they are
}

func (e entry) get(path string) string {
	v, _ := e.facts[fact.SectionOf(path)].Get(path)
	return v
}

// files writes the files of a machine. The id is empty for one without a network
// card, which sitesummary has no name for.
func (e entry) files() (id string, files map[string][]byte) {
	files = map[string][]byte{}
	put := func(name, text string) {
		if text != "" {
			files[name] = []byte(text)
		}
	}
	all := e.interfaces()
	if id = primary(all); id == "" {
		return "", nil
	}
	put("system/ifconfig-a", ifconfigText(all))
	put("system/hostname", e.name())
	put("system/route-n", routeText(e.get("net/route/default")))
	put("system/uname-smr", e.unameText())
	put("system/dmidecode", e.dmiText())
	put("system/cpuinfo", e.cpuText())
	put("system/lspci-n", e.pciText())
	put("system/lsusb", e.usbText())
	put("system/procmounts", e.mountText())
	put("system/mdstat", e.raidText())
	put("debian/dpkg-l", e.dpkgText())
	if kib := decimal(e.get(memoryTotal)) >> 10; kib > 0 {
		put("system/meminfo", fmt.Sprintf("MemTotal:       %8d kB\n", kib))
	}
	for name, path := range map[string]string{
		"debian/debian_version": "os/debian", "siteinfo/site": "id/site/site",
		"siteinfo/sitegroup": "id/site/sitegroup", "siteinfo/hostclass": "id/site/hostclass",
	} {
		put(name, line(e.get(path)))
	}
	if profile := e.get("id/edu/profile"); profile != "" {
		put("debian-edu/config", fmt.Sprintf("VERSION=%q\nPROFILE=%q\n", e.get("id/edu/version"), profile))
	}
	if cmp.Or(e.class, e.get("id/class")) == "laptop" {
		files["system/laptop"] = []byte{}
	}
	if ip := firstAddress(all); ip != "" {
		put("peerinfo", ip+" "+ip+"\n")
	}
	maps.Copy(files, e.contents)
	return "ether-" + id, files
}

func line(s string) string {
	if s == "" {
		return ""
	}
	return s + "\n"
}

// name is the host name, of nothing but what may stand in one: tools put it into
// command lines.
func (e entry) name() string {
	name := e.get("id/hostname")
	if domain := e.get("id/domain"); domain != "" {
		name += "." + domain
	}
	return line(hostWord(name))
}

// hostWord leaves out what cannot stand in a host name.
func hostWord(s string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if r < 0x80 && (r == '-' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
			return r
		}
		return -1
	}, s), ".-")
}

// interfaces gives the network cards with their addresses, as ifconfig names them.
func (e entry) interfaces() []iface {
	by := map[string]*iface{}
	at := func(name string) *iface {
		if by[name] == nil {
			by[name] = &iface{name: name}
		}
		return by[name]
	}
	address := func(name, text string) {
		if text, err := fact.Unescape(text); err == nil && by[name] != nil {
			by[name].prefix(text)
		}
	}
	for _, f := range e.facts["net"] {
		switch p := strings.Split(f.Path, "/"); {
		case len(p) == 3 && (p[2] == "mac" || p[2] == "permanent" && at(p[1]).mac == ""): // in this order
			at(p[1]).mac = macOf(f.Value)
		case len(p) == 3 && p[2] == "mtu":
			at(p[1]).mtu = positive(f.Value)
		}
	}
	for _, f := range e.facts["net"] {
		if p := strings.Split(f.Path, "/"); len(p) == 4 && p[2] == "addr" {
			address(p[1], p[3])
		}
	}
	for _, f := range e.measured.Below("m/addr/") {
		if p := strings.Split(f.Path, "/"); len(p) == 4 {
			address(p[2], p[3])
		}
	}
	var all []iface
	for _, name := range slices.Sorted(maps.Keys(by)) {
		if i := by[name]; i.mac != "" && saneInterface(name) {
			all = append(all, *i)
		}
	}
	return all
}

func saneInterface(name string) bool {
	return name != "" && len(name) <= 15 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@") == ""
}

// primary is the MAC that sitesummary knows a machine by: of the first card by name.
func primary(all []iface) string {
	for _, i := range all {
		if i.mac != "" {
			return i.mac
		}
	}
	return ""
}

func firstAddress(all []iface) string {
	for _, i := range all {
		for _, a := range i.addrs {
			if a.Addr().Is4() {
				return a.Addr().String()
			}
		}
	}
	return ""
}

// ifconfigText is what ifconfig -a of net-tools 2 prints, as far as it is known.
func ifconfigText(all []iface) string {
	var b strings.Builder
	for _, i := range all[:min(len(all), maxInterfaces)] {
		fmt.Fprintf(&b, "%s: flags=4163<UP,BROADCAST,RUNNING,MULTICAST>  mtu %s\n", i.name, cmp.Or(i.mtu, "1500"))
		for _, a := range i.addrs {
			if !a.Addr().Is4() {
				fmt.Fprintf(&b, "        inet6 %s  prefixlen %d\n", a.Addr(), a.Bits())
				continue
			}
			mask := net.CIDRMask(a.Bits(), 32)
			last := a.Addr().As4()
			for k := range last {
				last[k] |= ^mask[k]
			}
			fmt.Fprintf(&b, "        inet %s  netmask %s  broadcast %s\n", a.Addr(), net.IP(mask), netip.AddrFrom4(last))
		}
		fmt.Fprintf(&b, "        ether %s  txqueuelen 1000  (Ethernet)\n\n", i.mac)
	}
	return b.String()
}

// routeText writes "10.0.2.1 dev eno1" as route -n does.
func routeText(route string) string {
	via, name, _ := strings.Cut(route, " dev ")
	gateway, err := netip.ParseAddr(via)
	if err != nil || !saneInterface(name) {
		return ""
	}
	return fmt.Sprintf("Kernel IP routing table\nDestination     Gateway         Genmask         Flags Metric Ref    Use Iface\n"+
		"0.0.0.0         %-15s 0.0.0.0         UG    0      0        0 %s\n", gateway, name)
}

func (e entry) unameText() string {
	kernel := e.get("os/kernel")
	if kernel == "" {
		return ""
	}
	machine := "unknown"
	for suffix, name := range map[string]string{"amd64": "x86_64", "arm64": "aarch64", "686": "i686", "686-pae": "i686", "armmp": "armv7l"} {
		if strings.HasSuffix(kernel, "-"+suffix) {
			machine = name
		}
	}
	return "Linux " + kernel + " " + machine + "\n"
}

// dmiText writes types 0 to 3 as dmidecode does. What is not known is not specified.
func (e entry) dmiText() string {
	product, version := e.get("hw/system/product"), e.get("hw/system/version")
	if strings.EqualFold(e.get("hw/system/vendor"), "lenovo") && version != "" {
		product, version = version, product // as the firmware has them
	}
	var b strings.Builder
	structure := func(kind int, title string, pairs ...string) {
		fmt.Fprintf(&b, "Handle 0x%04X, DMI type %d, 27 bytes\n%s\n", kind, kind, title)
		for k := 0; k < len(pairs); k += 2 {
			fmt.Fprintf(&b, "\t%s: %s\n", pairs[k], cmp.Or(pairs[k+1], "Not Specified"))
		}
		b.WriteString("\n")
	}
	b.WriteString("# dmidecode 3.4\n\n")
	structure(0, "BIOS Information", "Vendor", e.get("hw/bios/vendor"), "Version", e.get("hw/bios/version"), "Release Date", e.get("hw/bios/date"))
	structure(1, "System Information", "Manufacturer", e.get("hw/system/vendor"), "Product Name", product, "Version", version,
		"Serial Number", e.get("id/serial/product"), "UUID", strings.ToUpper(e.get("id/uuid")), "SKU Number", e.get("hw/system/sku"), "Family", e.get("hw/system/family"))
	structure(2, "Base Board Information", "Manufacturer", e.get("hw/board/vendor"), "Product Name", e.get("hw/board/product"), "Version", e.get("hw/board/version"),
		"Serial Number", e.get("id/serial/board"))
	structure(3, "Chassis Information", "Manufacturer", e.get("hw/chassis/vendor"), "Type", e.get("hw/chassis/type"), "Version", e.get("hw/chassis/version"),
		"Serial Number", e.get("id/serial/chassis"), "Asset Tag", e.get("id/tag"))
	return b.String()
}

func (e entry) cpuText() string {
	var b strings.Builder
	for n := range min(decimal(e.get("hw/cpu/threads")), 1024) {
		fmt.Fprintf(&b, "processor\t: %d\n", n)
		for _, p := range [][2]string{{"vendor_id", "vendor"}, {"cpu family", "family"}, {"model", "part"}, {"model name", "model"}, {"stepping", "stepping"}, {"microcode", "microcode"}} {
			if v := e.get("hw/cpu/" + p[1]); v != "" {
				fmt.Fprintf(&b, "%s\t: %s\n", p[0], v)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// pciText writes "00:1f.6 0200: 8086:15d7 (rev 21)".
func (e entry) pciText() string {
	var b strings.Builder
	for _, f := range e.facts["hw"].Below("hw/pci/") {
		words := strings.Fields(f.Value)
		if len(words) == 0 || b.Len() > maxText {
			continue
		}
		class, rev := value(words, "class="), value(words, "rev=")
		fmt.Fprintf(&b, "%s %s: %s", strings.TrimPrefix(f.Path[len("hw/pci/"):], "0000:"), class, words[0])
		if rev != "" && rev != "0x00" {
			fmt.Fprintf(&b, " (rev %s)", strings.TrimPrefix(rev, "0x"))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (e entry) usbText() string {
	var b strings.Builder
	n := 1
	for _, f := range e.facts["hw"].Below("hw/usb/") {
		count, text, _ := strings.Cut(strings.TrimPrefix(f.Value, "count="), " ")
		for range min(decimal(count), 64) {
			if b.Len() > maxText {
				return b.String()
			}
			n++
			fmt.Fprintf(&b, "Bus 001 Device %03d: ID %s %s\n", n, f.Path[len("hw/usb/"):], text)
		}
	}
	return b.String()
}

// mountText writes lines of proc_mounts(5). Where a word would be more than a path
// the line is left out: tools make checks of it.
func (e entry) mountText() string {
	var b strings.Builder
	for _, f := range e.facts["fs"].Below("fs/mount/") {
		point, err := fact.Unescape(f.Path[len("fs/mount/"):])
		words := strings.Fields(f.Value)
		if err == nil && len(words) >= 3 && b.Len() <= maxText {
			b.WriteString(mountLine(words[0], point, words[1], words[2]))
		}
	}
	return b.String()
}

func mountLine(source, point, kind, options string) string {
	for _, w := range []string{source, point, kind, options} {
		if w == "" || strings.Trim(w, nameBytes+"/,") != "" {
			return ""
		}
	}
	return source + " " + point + " " + kind + " " + options + " 0 0\n"
}

// raidText writes mdstat, as far as tools look: which arrays there are.
func (e entry) raidText() string {
	b := strings.Builder{}
	b.WriteString("Personalities : \n")
	for _, f := range e.facts["hw"].Below("hw/raid/") {
		if p := strings.Split(f.Path, "/"); len(p) == 4 && p[3] == "level" && b.Len() <= maxText {
			fmt.Fprintf(&b, "%s : active %s\n", p[2], f.Value)
		}
	}
	b.WriteString("unused devices: <none>\n")
	return b.String()
}

// dpkgText writes the table of dpkg -l without descriptions.
func (e entry) dpkgText() string {
	if len(e.facts["pkg"]) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("Desired=Unknown/Install/Remove/Purge/Hold\n" +
		"| Status=Not/Inst/Conf-files/Unpacked/halF-conf/Half-inst/trig-aWait/Trig-pend\n" +
		"|/ Err?=(none)/Reinst-required (Status,Err: uppercase=bad)\n" +
		"||/ Name                                         Version                             Architecture Description\n" +
		"+++-============================================-===================================-============-=======================\n")
	states, versions := map[string]string{}, map[string]string{}
	for _, f := range e.facts["pkg"] {
		switch p := strings.Split(f.Path, "/"); {
		case len(p) == 3 && p[2] == "state":
			states[p[1]] = f.Value
		case len(p) == 3 && p[2] == "version":
			versions[p[1]] = f.Value
		}
	}
	names := maps.Clone(versions)
	maps.Copy(names, states)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if b.Len() > maxText {
			break
		}
		_, arch, _ := strings.Cut(name, ":")
		fmt.Fprintf(&b, "%-3s %-44s %-35s %-12s -\n", dpkgLetters(states[name]), name, cmp.Or(versions[name], "<none>"), cmp.Or(arch, "any"))
	}
	return b.String()
}

// dpkgLetters is the opposite of dpkgState.
func dpkgLetters(state string) string {
	if state == "" {
		return "ii"
	}
	for _, want := range "uihrp" {
		for _, is := range "ncHUFWti" {
			for _, flag := range []string{"", "R"} {
				if letters := string(want) + string(is) + flag; dpkgState(letters) == state {
					return letters
				}
			}
		}
	}
	return "uU"
}

// ofUpload gives the files of an upload as they came, except for what tools would
// act upon: host name, addresses and routes are written from what was understood of
// them, mounts and everything else are cleaned.
func ofUpload(up Upload, s *sheet) map[string][]byte {
	e := entry{facts: fact.Split(slices.Clone(s.facts)), measured: fact.NewSet(slices.Clone(s.measured))}
	files := map[string][]byte{}
	for name, b := range up.Files {
		switch {
		case name == "system/procmounts":
			files[name] = cleanMounts(b)
		case strings.HasPrefix(name, "system/cdpr."): // names and addresses of switches, which nobody vouches for
		default:
			files[name] = clean(b)
		}
	}
	files["system/ifconfig-a"] = []byte(ifconfigText(slices.DeleteFunc(slices.Clone(s.interfaces), func(i iface) bool {
		return i.mac == "" || !saneInterface(i.name)
	})))
	for name, text := range map[string]string{"system/hostname": e.name(), "system/route-n": routeText(e.get("net/route/default"))} {
		delete(files, name)
		if text != "" {
			files[name] = []byte(text)
		}
	}
	return files
}

func cleanMounts(b []byte) []byte {
	var out strings.Builder
	for l := range lines(b) {
		if w := strings.Fields(l); len(w) >= 4 {
			out.WriteString(mountLine(w[0], w[1], w[2], w[3]))
		}
	}
	return []byte(out.String())
}

// clean takes out of a text what a page, a terminal or a shell would act upon: the
// reports of sitesummary are HTML that escapes nothing.
func clean(b []byte) []byte {
	return bytes.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r < ' ' || r == 0x7f:
			return -1
		case r == '<':
			return '('
		case r == '>':
			return ')'
		case r == '`' || r == '$' || r == '!':
			return '_'
		}
		return r
	}, b)
}

// cleaned cleans all files of an entry that are not written from checked words.
func cleaned(files map[string][]byte) map[string][]byte {
	for name, b := range files {
		if name != "system/ifconfig-a" {
			files[name] = clean(b)
		}
	}
	return files
}
