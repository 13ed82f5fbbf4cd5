package collect

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"testing/fstest"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// linkMessage makes the body of an RTM_NEWLINK message.
func linkMessage(t testing.TB, index uint32, arphrd uint16, fill func(ae *netlink.AttributeEncoder)) []byte {
	t.Helper()
	header := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint16(header[2:], arphrd)
	binary.NativeEndian.PutUint32(header[4:], index)
	ae := netlink.NewAttributeEncoder()
	fill(ae)
	b, err := ae.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return append(header, b...)
}

func TestLinkMessageGivesNameKindAndPermanentAddress(t *testing.T) {
	l, ok := parseLink(linkMessage(t, 3, arphrdEther, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.IFLA_IFNAME, "enp3s0")
		ae.Uint32(unix.IFLA_MTU, 1500)
		ae.Uint32(unix.IFLA_MASTER, 7)
		ae.Bytes(unix.IFLA_ADDRESS, []byte{2, 0, 0, 0, 0, 1})
		ae.Bytes(unix.IFLA_PERM_ADDRESS, []byte{2, 0, 0, 0, 0, 2})
	}))
	if !ok || l.name != "enp3s0" || l.index != 3 || l.master != 7 || l.mtu != 1500 ||
		l.mac.String() != "02:00:00:00:00:01" || l.permanent.String() != "02:00:00:00:00:02" || l.kind != "" {
		t.Errorf("card: %+v, %v", l, ok)
	}
	l, ok = parseLink(linkMessage(t, 7, arphrdEther, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.IFLA_IFNAME, "bond0")
		ae.Nested(unix.IFLA_LINKINFO, func(nae *netlink.AttributeEncoder) error {
			nae.String(unix.IFLA_INFO_KIND, "bond")
			return nil
		})
	}))
	if !ok || l.kind != "bond" {
		t.Errorf("bond: %+v, %v", l, ok)
	}
	for name, b := range map[string][]byte{"empty": nil, "header only": make([]byte, unix.SizeofIfInfomsg), "cut attribute": append(make([]byte, unix.SizeofIfInfomsg), 200, 0, 3, 0)} {
		if l, ok := parseLink(b); ok {
			t.Errorf("%s: taken for %+v", name, l)
		}
	}
}

func TestAddressWithALifetimeIsLeased(t *testing.T) {
	message := func(valid uint32, flags byte) []byte {
		header := make([]byte, unix.SizeofIfAddrmsg)
		header[0], header[1], header[2] = unix.AF_INET, 24, flags
		binary.NativeEndian.PutUint32(header[4:], 2)
		ae := netlink.NewAttributeEncoder()
		ae.Bytes(unix.IFA_ADDRESS, []byte{192, 0, 2, 9}) // the peer of a tunnel
		ae.Bytes(unix.IFA_LOCAL, []byte{192, 0, 2, 7})
		cache := make([]byte, 16)
		binary.NativeEndian.PutUint32(cache[4:], valid)
		ae.Bytes(unix.IFA_CACHEINFO, cache)
		b, err := ae.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return append(header, b...)
	}
	for _, tt := range []struct {
		valid   uint32
		forever bool
	}{{0xffffffff, true}, {86400, false}} {
		a, ok := parseAddress(message(tt.valid, 0))
		if !ok || a.forever != tt.forever || a.prefix != netip.MustParsePrefix("192.0.2.7/24") || a.index != 2 {
			t.Errorf("valid %d: %+v, %v", tt.valid, a, ok)
		}
	}
}

func TestOnlyDefaultRoutesAreTaken(t *testing.T) {
	message := func(bits byte, via []byte) []byte {
		header := make([]byte, unix.SizeofRtMsg)
		header[0], header[1], header[7] = unix.AF_INET, bits, unix.RTN_UNICAST
		ae := netlink.NewAttributeEncoder()
		ae.Uint32(unix.RTA_OIF, 2)
		if via != nil {
			ae.Bytes(unix.RTA_GATEWAY, via)
		}
		b, err := ae.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return append(header, b...)
	}
	if r, ok := parseRoute(message(0, []byte{192, 0, 2, 1})); !ok || r.via != "192.0.2.1" || r.out != 2 {
		t.Errorf("default route: %+v, %v", r, ok)
	}
	if r, ok := parseRoute(message(0, nil)); !ok || r.via != "direct" {
		t.Errorf("route to a link: %+v, %v", r, ok)
	}
	if r, ok := parseRoute(message(24, []byte{192, 0, 2, 1})); ok {
		t.Errorf("route to a network taken for the default: %+v", r)
	}
}

func TestPassingInterfacesAreLeftOut(t *testing.T) {
	host := testHost(fstest.MapFS{})
	tests := []struct {
		l    link
		want bool
	}{
		{link{name: "enp3s0", arphrd: arphrdEther}, false},
		{link{name: "lo", arphrd: arphrdLoopback}, true},
		{link{name: "docker0", kind: "bridge", arphrd: arphrdEther}, true},
		{link{name: "br-0a1b2c3d4e5f", kind: "bridge", arphrd: arphrdEther}, true},
		{link{name: "br0", kind: "bridge", arphrd: arphrdEther}, false},
		{link{name: "bond0", kind: "bond", arphrd: arphrdEther}, false},
		{link{name: "eth0.42", kind: "vlan", arphrd: arphrdEther}, false},
		{link{name: "vethd1f2a3b", kind: "veth", master: 4, arphrd: arphrdEther}, true},
		{link{name: "eth0", kind: "veth", arphrd: arphrdEther}, false}, // a container's own port
		{link{name: "tun0", kind: "tun", arphrd: 65534}, true},
		{link{name: "dummy0", kind: "dummy", arphrd: arphrdEther}, true},
		{link{name: "wg0", kind: "wireguard", arphrd: 65534}, false},
	}
	for _, tt := range tests {
		if got := tt.l.passing(host); got != tt.want {
			t.Errorf("%s (%s): passing = %v, want %v", tt.l.name, tt.l.kind, got, tt.want)
		}
	}
}

func TestWirelessAddressIsThePermanentOne(t *testing.T) {
	c := Collector{Name: "x", Owns: []string{"net/"}}
	s := &Sink{collector: c}
	h := testHost(fstest.MapFS{"sys/class/net/wlp2s0/wireless/status": {}})
	linkFacts(h, s, link{name: "wlp2s0", mac: []byte{0xfa, 1, 2, 3, 4, 5}, permanent: []byte{2, 0, 0, 0, 0, 9}, arphrd: arphrdEther})
	facts, _, _ := s.close()
	for _, f := range facts {
		if f.Path == "net/wlp2s0/mac" && f.Value != "02:00:00:00:00:09" {
			t.Errorf("mac = %s, want the permanent one: the other is random", f.Value)
		}
	}
	if len(facts) < 3 {
		t.Errorf("facts = %v", facts)
	}
}

func FuzzNetlink(f *testing.F) {
	f.Add(linkMessage(f, 3, arphrdEther, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.IFLA_IFNAME, "enp3s0")
		ae.Bytes(unix.IFLA_PERM_ADDRESS, []byte{2, 0, 0, 0, 0, 2})
		ae.Nested(unix.IFLA_LINKINFO, func(nae *netlink.AttributeEncoder) error {
			nae.String(unix.IFLA_INFO_KIND, "bond")
			return nil
		})
	}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, ok := parseLink(b); ok {
			s := &Sink{collector: Collector{Owns: []string{"net/"}}}
			linkFacts(testHost(fstest.MapFS{}), s, l)
			if s.foreign != "" {
				t.Errorf("bad fact %q", s.foreign)
			}
		}
		if a, ok := parseAddress(b); ok && !a.prefix.IsValid() {
			t.Error("address without a prefix")
		}
		_, _ = parseRoute(b)
	})
}
