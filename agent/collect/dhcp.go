package collect

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"path"
	"strings"
	"time"
)

func dhcpClients() Collector {
	return Collector{Name: "dhcp", Owns: []string{"dhcp/"}, Collect: collectDHCPClients}
}

// maxLeaseFile bounds a client's own leases, in bytes. Old ones are appended to
// for months.
const maxLeaseFile = 1 << 20

// lease is what a DHCP client has been given last.
type lease struct {
	device, server, domain string
	router, dns            string
	until                  time.Time // zero if the file does not tell
}

// collectDHCPClients tells which server gives each interface its address, with
// which router and name servers: a second server that nobody set up is seen here
// first. The address itself, and when it ends, are measurements.
func collectDHCPClients(_ context.Context, h Host, s *Sink) error {
	found := false
	for _, k := range []struct {
		dir, like string
		parse     func(h Host, name string, b []byte) lease
	}{
		{"var/lib/dhcp", "dhclient*.lease*", parseDhclient},
		{"run/systemd/netif/leases", "*", parseNetworkd},
		{"var/lib/NetworkManager", "*.lease", parseNetworkManager},
		{"run/NetworkManager/devices", "*", parseNMDevice},
	} {
		names, err := h.Entries(s, k.dir)
		if err != nil {
			return err
		}
		for _, name := range names {
			if ok, err := path.Match(k.like, name); !ok || err != nil {
				continue
			}
			b, err := h.ReadFile(k.dir+"/"+name, maxLeaseFile)
			switch {
			case errors.Is(err, fs.ErrPermission):
				s.Denied(k.dir + "/" + name)
			case err == nil:
				if l := k.parse(h, name, b); l.device != "" && l.stands(h.Now()) {
					found = true
					l.facts(s)
				}
			case !Absent(err) && !errors.Is(err, ErrTooBig):
				return err
			}
		}
	}
	return s.Found(found)
}

// stands tells whether a lease says something about now and not about a network
// that the machine was in once.
func (l lease) stands(now time.Time) bool { return l.until.IsZero() || l.until.After(now) }

func (l lease) facts(s *Sink) {
	if _, err := netip.ParseAddr(l.server); err != nil {
		return
	}
	s.Fact(Path("dhcp", l.device, "server"), l.server)
	s.Fact(Path("dhcp", l.device, "router"), l.router)
	s.Fact(Path("dhcp", l.device, "dns"), l.dns)
	s.Fact(Path("dhcp", l.device, "domain"), l.domain)
}

// parseDhclient reads dhclient.leases(5): blocks lease { … }, of which the last
// counts.
func parseDhclient(_ Host, _ string, b []byte) lease {
	var l lease
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSuffix(strings.TrimSpace(line), ";")
		if strings.HasPrefix(line, "lease {") {
			l = lease{}
			continue
		}
		line = strings.TrimPrefix(line, "option ")
		key, value, _ := strings.Cut(line, " ")
		value = strings.Trim(value, `"`)
		switch key {
		case "interface":
			l.device = value
		case "dhcp-server-identifier":
			l.server = value
		case "routers":
			l.router = value
		case "domain-name-servers":
			l.dns = strings.ReplaceAll(value, ",", " ")
		case "domain-name":
			l.domain = value
		case "expire":
			l.until = leaseTime(value)
		}
	}
	return l
}

// leaseTime reads a time of ISC's lease files: "6 2026/11/28 05:17:51" in UTC,
// "epoch 1795842000", or "never", which is zero (dhcpd.leases(5)).
func leaseTime(s string) time.Time {
	s, _, _ = strings.Cut(s, ";")
	if seconds, ok := strings.CutPrefix(s, "epoch "); ok {
		if n, ok := number(strings.TrimSpace(seconds)); ok && n < 1<<40 {
			return time.Unix(int64(n), 0).UTC()
		}
		return time.Time{}
	}
	_, date, _ := strings.Cut(s, " ")
	t, err := time.Parse("2006/01/02 15:04:05", strings.TrimSpace(date))
	if err != nil {
		return time.Time{}
	}
	return t
}

// parseNetworkd reads what systemd-networkd keeps for each interface, whose number
// is the file's name. It is there as long as the lease is.
func parseNetworkd(h Host, name string, b []byte) lease {
	v := parseAssignments(string(b))
	return lease{
		device: interfaceNumbered(h, name), server: v["SERVER_ADDRESS"], domain: v["DOMAINNAME"], router: v["ROUTER"], dns: v["DNS"],
	}
}

// interfaceNumbered finds the name of the interface with an index.
func interfaceNumbered(h Host, index string) string {
	const dir = "sys/class/net"
	names, err := h.Names(dir)
	if err != nil {
		return ""
	}
	for _, name := range names[:min(len(names), 4*maxInterfaces)] {
		if n, err := h.ReadLine(dir + "/" + name + "/ifindex"); err == nil && n == index {
			return name
		}
	}
	return ""
}

// parseNetworkManager reads a lease of NetworkManager's own client,
// internal-UUID-DEVICE.lease; those of dhclient have that one's form.
func parseNetworkManager(h Host, name string, b []byte) lease {
	if strings.HasPrefix(name, "dhclient") {
		return parseDhclient(h, name, b)
	}
	// It keeps only the address; what came with it is in the file of the device.
	return lease{}
}

// parseNMDevice reads what NetworkManager keeps of a device while it runs
// (/run/NetworkManager/devices/INDEX): a section [dhcp4] with the options.
func parseNMDevice(h Host, name string, b []byte) lease {
	v := map[string]string{}
	for _, t := range parseSettings(b) {
		if strings.EqualFold(t.section, "dhcp4") {
			v[t.key] = t.value
		}
	}
	if len(v) == 0 {
		return lease{}
	}
	return lease{
		device: interfaceNumbered(h, name), server: v["dhcp_server_identifier"], domain: v["domain_name"],
		router: v["routers"], dns: v["domain_name_servers"],
	}
}
