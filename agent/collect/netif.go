package collect

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"slices"
	"strconv"
	"strings"
)

func network() Collector {
	return Collector{Name: "network", Owns: []string{"net/"}, Collect: collectNetwork}
}

// link is one network interface.
type link struct {
	index, master int
	name, kind    string
	masterName    string
	mac           net.HardwareAddr
	permanent     net.HardwareAddr
	mtu           int
	arphrd        uint16 // ARPHRD_ETHER and so on, see linux/if_arp.h
}

// maxInterfaces bounds the interfaces that are told about; a container host can have
// thousands.
const maxInterfaces = 512

// collectNetwork tells about interfaces, addresses, default routes and name
// servers: on the running machine by netlink, otherwise
// from the recorded sysfs. Addresses that somebody leased are measurements.
func collectNetwork(ctx context.Context, h Host, s *Sink) error {
	resolvFacts(h, s)
	links, err := sysfsLinks(h)
	if h.Live {
		if live, nerr := dumpLinks(ctx); nerr == nil {
			links, err = live, nil
		}
	}
	if err != nil {
		return err
	}
	kept := map[int]string{}
	for _, l := range links {
		if l.passing(h) || len(kept) == maxInterfaces {
			continue
		}
		kept[l.index] = l.name
		linkFacts(h, s, l)
	}
	if !h.Live {
		return nil
	}
	return errors.Join(addressFacts(ctx, s, kept), routeFacts(ctx, s, kept))
}

// passing tells of interfaces that programs make and remove as they run:
// containers, tunnels of users, dummies.
func (l link) passing(h Host) bool {
	switch l.kind {
	case "veth":
		return l.master != 0 || !onlyPort(h, l)
	case "tun", "tap", "dummy", "ifb", "nlmon", "sit", "ip6tnl", "gre", "gretap", "erspan", "ipip", "vti", "vti6", "ip6gre", "ip6gretap", "vcan":
		return true
	}
	if l.arphrd == arphrdLoopback {
		return true
	}
	for _, p := range []string{"docker", "br-", "virbr", "cni", "flannel", "cali", "lxcbr", "lxdbr", "vnet", "veth", "cilium", "podman"} {
		if strings.HasPrefix(l.name, p) {
			return true
		}
	}
	return false
}

// onlyPort tells whether a veth is what a container has for a network card.
func onlyPort(h Host, l link) bool {
	return container(h) != "" || strings.HasPrefix(l.name, "eth") || strings.HasPrefix(l.name, "en")
}

const (
	arphrdEther    = 1
	arphrdLoopback = 772
)

func linkFacts(h Host, s *Sink, l link) {
	put := func(what, value string) { s.Fact(Path("net", l.name, what), value) }
	dir := "sys/class/net/" + l.name + "/"
	kind := l.kind
	if kind == "" {
		kind = physicalKind(h, dir, l)
	}
	put("kind", kind)
	mac := l.mac.String()
	if kind == "wireless" && l.permanent != nil {
		mac = l.permanent.String() // the other one is made up anew for privacy
	}
	put("mac", mac)
	if l.permanent != nil {
		put("permanent", l.permanent.String())
	}
	put("mtu", strconv.Itoa(l.mtu))
	put("master", l.masterName)
	put("driver", h.Link(dir+"device/driver"))
	put("device", device(h, dir))
	// A link that is down has no speed: -1, or an error.
	if speed, err := h.ReadLine(dir + "speed"); err == nil {
		if n, err := strconv.Atoi(speed); err == nil && n > 0 {
			put("speed", speed)
		}
	}
	if state, err := h.ReadLine(dir + "operstate"); err == nil {
		put("operstate", state)
	}
}

func physicalKind(h Host, dir string, l link) string {
	switch {
	case h.Exists(dir+"wireless") || h.Exists(dir+"phy80211"):
		return "wireless"
	case !h.Exists(dir + "device"):
		return "virtual"
	case l.arphrd == arphrdEther:
		return "ethernet"
	}
	return "other"
}

// device gives the bus and address of the card: "pci 0000:00:1f.6", or "usb 1-2"
// for a dock or adapter, which does not identify the machine it is plugged into.
func device(h Host, dir string) string {
	bus, address := h.Link(dir+"device/subsystem"), h.Link(dir+"device")
	if bus == "" {
		return address
	}
	if bus == "usb" {
		address, _, _ = strings.Cut(address, ":") // the device, not its interface
	}
	return bus + " " + address
}

// sysfsLinks reads the interfaces of a recorded root.
func sysfsLinks(h Host) ([]link, error) {
	const top = "sys/class/net"
	names, err := h.Names(top)
	if err != nil {
		return nil, err
	}
	var links []link
	for i, name := range names[:min(len(names), 4*maxInterfaces)] {
		dir := top + "/" + name + "/"
		l := link{index: i + 1, name: name, kind: sysfsKind(h, dir), masterName: h.Link(dir + "master")}
		if l.masterName != "" {
			l.master = slices.Index(names, l.masterName) + 1
		}
		if address, err := h.ReadLine(dir + "address"); err == nil {
			l.mac = usefulMAC(address)
		}
		l.mtu = number16(h, dir+"mtu")
		l.arphrd = uint16(number16(h, dir+"type"))
		if l.arphrd == 0 && l.mac == nil && !h.Exists(dir+"address") {
			continue // a file such as bonding_masters
		}
		links = append(links, l)
	}
	if len(links) == 0 {
		return nil, fs.ErrNotExist
	}
	return links, nil
}

// sysfsKind gives the kind that the kernel names in uevent, "" for a card.
func sysfsKind(h Host, dir string) string {
	b, err := h.ReadFile(dir+"uevent", maxLine)
	if err != nil {
		return ""
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if kind, ok := strings.CutPrefix(line, "DEVTYPE="); ok && kind != "wlan" && kind != "wwan" {
			return kind
		}
	}
	return ""
}

func number16(h Host, name string) int {
	line, err := h.ReadLine(name)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(line, 10, 16)
	if err != nil {
		return 0
	}
	return int(n)
}

// usefulMAC parses an address; one of zeros is none.
func usefulMAC(s string) net.HardwareAddr {
	mac, err := net.ParseMAC(s)
	if err != nil {
		return nil
	}
	return nonzero(mac)
}

func nonzero(mac []byte) net.HardwareAddr {
	for _, b := range mac {
		if b != 0 {
			return net.HardwareAddr(mac)
		}
	}
	return nil
}

// resolvFacts puts the name servers in their order of use.
func resolvFacts(h Host, s *Sink) {
	conf, err := readResolv(h)
	switch {
	case errors.Is(err, fs.ErrPermission):
		s.Denied("etc/resolv.conf")
	case err != nil:
		return
	}
	for i, server := range conf.servers {
		s.Fact(Path("net", "dns", strconv.Itoa(i+1)), server)
	}
	s.Fact("net/search", strings.Join(conf.search, " "))
	s.Fact("net/options", strings.Join(conf.options, " "))
}
