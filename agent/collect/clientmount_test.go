package collect

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestWhoMountsIsKnownByLeaseOrNeighbour(t *testing.T) {
	const info = "clientid: 0x4a3c5f6e00000001\naddress: \"10.99.0.107:745\"\nstatus: confirmed\nseconds from last renew: 12\nname: \"Linux NFSv4.2 tc05.intern/10.99.0.107\"\nminor version: 2\n"
	for _, tt := range []struct {
		name    string
		c, want nfsClient
	}{
		{"kernel", parseNFSClient(info), nfsClient{ip: addr("10.99.0.107"), name: "tc05.intern", alive: true}},
		{"courtesy", parseNFSClient(strings.Replace(info, "confirmed", "courtesy", 1)), nfsClient{}},
		{"silent", parseNFSClient(strings.Replace(info, "renew: 12", "renew: 90000", 1)), nfsClient{}},
		{"half", parseNFSClient("clientid: 0x4a3c5f6e00000001\naddress: \"10.99"), nfsClient{}},
		{"mountd", parseRmtab("10.0.2.55:/srv/nfs4:0x00000002"), nfsClient{ip: addr("10.0.2.55")}},
		{"boots", parseRmtab("10.0.2.55:/srv/ltsp/x86_64:0x00000001"), nfsClient{ip: addr("10.0.2.55"), boots: true}},
		{"looks like it", parseRmtab("10.0.2.55:/srv/ltsp-old:0x00000001"), nfsClient{ip: addr("10.0.2.55")}},
		{"not any more", parseRmtab("10.0.2.55:/srv/ltsp:0x00000000"), nfsClient{}},
		{"named", parseRmtab("pc07.intern:/srv/ltsp:0x00000001"), nfsClient{}},
		{"IPv6", parseRmtab("fd00::7:/srv/ltsp:0x00000001"), nfsClient{ip: addr("fd00::7"), boots: true}},
		{"half", parseRmtab("10.0.2.55:/srv"), nfsClient{}},
	} {
		if tt.c != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, tt.c, tt.want)
		}
	}
	s := newSchool(t)
	got := factsOf(s.twice(tree(map[string]string{
		dnsmasqName: dnsmasqFile, "proc/fs/nfsd/clients/7/info": info, "proc/fs/nfsd/clients/8/info": strings.Replace(info, "0.107", "0.200", 1),
		"var/lib/nfs/rmtab": "10.99.0.106:/srv/ltsp:0x00000001\n",
	})).Facts)
	if got["client/00:16:3e:11:22:33/by"] != "leases nfs" || got["client/00:16:3e:11:22:33/name"] != "tc05" || len(got) != 3 {
		t.Errorf("%v", got)
	}
}

func neighbourMessage(t testing.TB, state uint16, ip, mac []byte, confirmed uint32) []byte {
	t.Helper()
	ae := netlink.NewAttributeEncoder()
	ae.Bytes(unix.NDA_DST, ip)
	ae.Bytes(unix.NDA_LLADDR, mac)
	ae.Do(unix.NDA_CACHEINFO, func() ([]byte, error) {
		return append([]byte{byte(confirmed), byte(confirmed >> 8), byte(confirmed >> 16), byte(confirmed >> 24)}, make([]byte, 12)...), nil
	})
	b, err := ae.Encode()
	if err != nil {
		t.Fatal(err)
	}
	head := make([]byte, unix.SizeofNdMsg)
	head[0], head[8], head[9] = unix.AF_INET, byte(state), byte(state>>8)
	return append(head, b...)
}

func TestNeighbourThatIsOnlyStaleMayBeOfLastWeek(t *testing.T) {
	ip, mac := []byte{10, 0, 2, 20}, []byte{0, 0x16, 0x3e, 0, 0, 0xa}
	for _, tt := range []struct {
		name      string
		b         []byte
		ok, fresh bool
	}{
		{"reachable", neighbourMessage(t, unix.NUD_REACHABLE, ip, mac, 0), true, true},
		{"stale for a minute", neighbourMessage(t, unix.NUD_STALE, ip, mac, 60*clockTicks), true, true},
		{"stale for a week", neighbourMessage(t, unix.NUD_STALE, ip, mac, 7*86400*clockTicks), true, false},
		{"nobody answered", neighbourMessage(t, unix.NUD_FAILED, ip, nil, 0), false, false},
		{"no Ethernet", neighbourMessage(t, unix.NUD_REACHABLE, ip, make([]byte, 20), 0), false, false},
		{"cut off", neighbourMessage(t, unix.NUD_REACHABLE, ip, mac, 0)[:20], false, false},
	} {
		n, ok := parseNeighbour(tt.b)
		if ok != tt.ok || ok && (n.fresh() != tt.fresh || n.mac != "00:16:3e:00:00:0a" || n.ip != addr("10.0.2.20")) {
			t.Errorf("%s: %+v, %v", tt.name, n, ok)
		}
	}
}

// A machine that mounts without a lease is known by its neighbour entry alone, and one
// that is only a neighbour is nobody.
func TestNeighboursVouchForOthersOnly(t *testing.T) {
	const mounts, only = "00:16:3e:00:00:0a", "00:16:3e:00:00:0b"
	l := &look{
		sights: map[string]*sight{}, random: map[string]bool{}, confirmed: map[string]bool{mounts: true, only: true},
		at: map[netip.Addr]string{addr("10.0.2.20"): mounts, addr("10.0.2.21"): only},
	}
	l.mounted(parseRmtab("10.0.2.20:/srv/ltsp:0x00000001"))
	l.mounted(parseRmtab("10.0.2.22:/srv/ltsp:0x00000001"))
	if s := l.sights[mounts]; len(l.sights) != 1 || s == nil || !s.mounts || !s.boots || !s.alive {
		t.Errorf("%v", l.sights)
	}
}

func FuzzNFSClients(f *testing.F) {
	f.Add("address: \"10.99.0.107:745\"\nstatus: confirmed\nname: \"Linux NFSv4.2 tc05\"\n", "10.0.2.55:/srv/ltsp:0x00000001", neighbourMessage(f, unix.NUD_STALE, []byte{10, 0, 2, 20}, []byte{0, 0x16, 0x3e, 0, 0, 0xa}, 100))
	f.Fuzz(func(t *testing.T, info, mounted string, neighbour []byte) {
		if c := parseNFSClient(info); c.alive && c.ip.IsValid() && c.ip.Is4In6() {
			t.Error("an address of IPv4 in IPv6's clothes")
		}
		if c := parseRmtab(mounted); !c.ip.IsValid() && c.boots {
			t.Error("nobody boots")
		}
		if n, ok := parseNeighbour(neighbour); ok && cardOf(n.mac) != n.mac {
			t.Errorf("card %q", n.mac)
		}
	})
}
