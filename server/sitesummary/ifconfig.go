package sitesummary

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// iface is one interface as ifconfig(8) of net-tools shows it.
type iface struct {
	name, mac, mtu string
	addrs          []netip.Prefix
	loopback       bool
}

// maxInterfaces bounds the interfaces of one machine, as for agents.
const maxInterfaces = 512

// ifconfig reads the interfaces, in the form of net-tools 2 ("enp0s3: flags=…") or
// of the one before ("eth0  Link encap:Ethernet  HWaddr …").
func (s *sheet) ifconfig(b []byte) {
	all := parseIfconfig(b)
	slices.SortFunc(all, func(a, b iface) int { return strings.Compare(a.name, b.name) })
	s.mac, s.interfaces = primary(all), all
	for _, i := range all {
		if i.loopback || passing(i.name) {
			continue
		}
		s.put(i.mac, "net", i.name, "mac")
		s.put(i.mtu, "net", i.name, "mtu")
		for _, a := range i.addrs {
			if !a.Addr().IsLinkLocalUnicast() {
				s.measure("seen", "addr", i.name, a.String()) // ifconfig does not tell a leased one from a static one
			}
		}
	}
}

func parseIfconfig(b []byte) []iface {
	var all []iface
	for line := range lines(b) {
		if line == "" {
			continue
		}
		if line[0] != ' ' && line[0] != '\t' {
			if len(all) == maxInterfaces {
				return all
			}
			all = append(all, beginInterface(line))
		}
		if len(all) > 0 {
			all[len(all)-1].line(strings.Fields(line))
		}
	}
	return all
}

// beginInterface reads the name from the first line of an interface.
func beginInterface(line string) iface {
	name, _, _ := strings.Cut(line, " ")
	return iface{name: strings.TrimSuffix(name, ":"), loopback: strings.Contains(line, "LOOPBACK") || strings.Contains(line, "Local Loopback")}
}

// line takes what one line says of an interface: words, each before its value.
func (i *iface) line(words []string) {
	after := func(k int) string {
		if k+1 < len(words) {
			return words[k+1]
		}
		return ""
	}
	for k, w := range words {
		switch {
		case w == "ether" || w == "HWaddr":
			i.mac = macOf(after(k))
		case w == "mtu":
			i.mtu = positive(after(k))
		case strings.HasPrefix(w, "MTU:"):
			i.mtu = positive(w[len("MTU:"):])
		case w == "inet" && strings.HasPrefix(after(k), "addr:"): // the old form
			i.address(after(k)[len("addr:"):], value(words, "Mask:"))
		case w == "inet":
			i.address(after(k), next(words, "netmask"))
		case w == "inet6" && after(k) == "addr:":
			i.prefix(after(k + 1))
		case w == "inet6":
			i.prefix(after(k) + "/" + next(words, "prefixlen"))
		}
	}
}

func (i *iface) address(ip, mask string) {
	a, err := netip.ParseAddr(ip)
	m := net.ParseIP(mask).To4()
	if err != nil || !a.Is4() || m == nil {
		return
	}
	if ones, bits := net.IPMask(m).Size(); bits == 32 {
		i.prefix(a.String() + "/" + strconv.Itoa(ones))
	}
}

func (i *iface) prefix(s string) {
	if p, err := netip.ParsePrefix(s); err == nil && len(i.addrs) < 32 {
		i.addrs = append(i.addrs, p)
	}
}

// next gives the word after a word.
func next(words []string, word string) string {
	if k := slices.Index(words, word); k >= 0 && k+1 < len(words) {
		return words[k+1]
	}
	return ""
}

// value gives the rest of the word that begins so.
func value(words []string, prefix string) string {
	for _, w := range words {
		if v, ok := strings.CutPrefix(w, prefix); ok {
			return v
		}
	}
	return ""
}

// macOf gives a MAC of one Ethernet card in lower case, "" for any other word.
func macOf(s string) string {
	m, err := net.ParseMAC(s)
	if err != nil || len(m) != 6 || m[0]&1 != 0 || m.String() == "00:00:00:00:00:00" {
		return ""
	}
	return m.String()
}

func positive(s string) string {
	if n, err := strconv.ParseUint(s, 10, 32); err != nil || n == 0 {
		return ""
	}
	return s
}

// passing tells of interfaces that programs make and remove as they run: the
// agent leaves out the same.
func passing(name string) bool {
	for _, p := range []string{"docker", "br-", "virbr", "cni", "flannel", "cali", "lxcbr", "lxdbr", "vnet", "veth", "cilium", "podman", "tun", "tap", "dummy", "sit"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return strings.ContainsAny(name, ":") // an alias of another interface
}

// route reads the default route from "route -n".
func (s *sheet) route(b []byte) {
	for line := range lines(b) {
		f := strings.Fields(line)
		if len(f) < 8 || f[0] != "0.0.0.0" || f[2] != "0.0.0.0" {
			continue
		}
		if gateway, err := netip.ParseAddr(f[1]); err == nil {
			s.put(gateway.String()+" dev "+f[7], "net", "route", "default")
			return
		}
	}
}
