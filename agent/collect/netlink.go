package collect

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// dump asks the kernel for all of something (rtnetlink(7)). It needs no rights.
func dump(ctx context.Context, kind netlink.HeaderType, request []byte) ([]netlink.Message, error) {
	return ask(ctx, netlink.Message{Header: netlink.Header{Type: kind, Flags: netlink.Request | netlink.Dump}, Data: request})
}

func ask(ctx context.Context, m netlink.Message) ([]netlink.Message, error) {
	c, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return nil, fmt.Errorf("ask the kernel about the network: %w", err)
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(deadline); err != nil {
			return nil, fmt.Errorf("ask the kernel about the network: %w", err)
		}
	}
	answer, err := c.Execute(m)
	if err != nil {
		return nil, fmt.Errorf("ask the kernel about the network: %w", err)
	}
	return answer, nil
}

// dumpLinks lists the interfaces with one RTM_GETLINK dump.
func dumpLinks(ctx context.Context) ([]link, error) {
	answer, err := dump(ctx, unix.RTM_GETLINK, make([]byte, unix.SizeofIfInfomsg))
	if err != nil {
		return nil, err
	}
	var links []link
	names := map[int]string{}
	for _, m := range answer {
		if l, ok := parseLink(m.Data); ok && m.Header.Type == unix.RTM_NEWLINK {
			links = append(links, l)
			names[l.index] = l.name
		}
	}
	for i := range links {
		links[i].masterName = names[links[i].master]
	}
	return links, nil
}

// parseLink reads an ifinfomsg with its attributes.
func parseLink(b []byte) (link, bool) {
	if len(b) < unix.SizeofIfInfomsg {
		return link{}, false
	}
	l := link{arphrd: binary.NativeEndian.Uint16(b[2:]), index: int(binary.NativeEndian.Uint32(b[4:]))}
	ad, err := netlink.NewAttributeDecoder(b[unix.SizeofIfInfomsg:])
	if err != nil {
		return link{}, false
	}
	for ad.Next() {
		switch ad.Type() {
		case unix.IFLA_IFNAME:
			l.name = ad.String()
		case unix.IFLA_MTU:
			l.mtu = int(ad.Uint32())
		case unix.IFLA_MASTER:
			l.master = int(ad.Uint32())
		case unix.IFLA_ADDRESS:
			l.mac = hardware48(ad.Bytes())
		case unix.IFLA_PERM_ADDRESS:
			l.permanent = hardware48(ad.Bytes())
		case unix.IFLA_LINKINFO:
			ad.Nested(func(info *netlink.AttributeDecoder) error {
				for info.Next() {
					if info.Type() == unix.IFLA_INFO_KIND {
						l.kind = info.String()
					}
				}
				return nil
			})
		}
	}
	return l, ad.Err() == nil && l.name != ""
}

// hardware48 takes addresses of Ethernet's length, and of InfiniBand's 20 bytes.
func hardware48(b []byte) []byte {
	if len(b) != 6 && len(b) != 8 && len(b) != 20 {
		return nil
	}
	return nonzero(b)
}

// address is one address of an interface.
type address struct {
	index   int
	prefix  netip.Prefix
	flags   uint32
	scope   byte
	forever bool // its lifetime has no end: nobody leased it
}

// addressFacts puts the addresses that were set for good. Leased ones and those
// that IPv6 makes up for privacy change by themselves: they are measured.
func addressFacts(ctx context.Context, s *Sink, kept map[int]string) error {
	answer, err := dump(ctx, unix.RTM_GETADDR, make([]byte, unix.SizeofIfAddrmsg))
	if err != nil {
		return err
	}
	for _, m := range answer {
		a, ok := parseAddress(m.Data)
		name, known := kept[a.index]
		if !ok || !known || a.prefix.Addr().IsLinkLocalUnicast() {
			continue
		}
		if a.forever && a.flags&unix.IFA_F_TEMPORARY == 0 {
			s.Fact(Path("net", name, "addr", a.prefix.String()), "static")
		} else {
			s.Measure(Path("addr", name, a.prefix.String()), "leased")
		}
	}
	return nil
}

// parseAddress reads an ifaddrmsg with its attributes.
func parseAddress(b []byte) (address, bool) {
	if len(b) < unix.SizeofIfAddrmsg {
		return address{}, false
	}
	a := address{index: int(binary.NativeEndian.Uint32(b[4:])), flags: uint32(b[2]), scope: b[3], forever: true}
	ad, err := netlink.NewAttributeDecoder(b[unix.SizeofIfAddrmsg:])
	if err != nil {
		return address{}, false
	}
	bits := int(b[1])
	for ad.Next() {
		switch ad.Type() {
		case unix.IFA_LOCAL: // with a peer, IFA_ADDRESS is the peer's
			a.prefix = prefix(ad.Bytes(), bits)
		case unix.IFA_ADDRESS:
			if !a.prefix.IsValid() {
				a.prefix = prefix(ad.Bytes(), bits)
			}
		case unix.IFA_FLAGS:
			a.flags = ad.Uint32()
		case unix.IFA_CACHEINFO:
			if c := ad.Bytes(); len(c) >= 8 {
				a.forever = binary.NativeEndian.Uint32(c[4:]) == 0xffffffff // ifa_valid
			}
		}
	}
	return a, ad.Err() == nil && a.prefix.IsValid()
}

func prefix(b []byte, bits int) netip.Prefix {
	ip, ok := netip.AddrFromSlice(b)
	if !ok {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(ip, bits)
}

// routeFacts puts the default routes. The kernel is asked for the way to an
// address that only documentation uses (RFC 5737, RFC 3849): a dump of a whole
// routing table can have a million entries.
func routeFacts(ctx context.Context, s *Sink, kept map[int]string) error {
	for _, q := range []struct {
		path   string
		family byte
		to     netip.Addr
	}{
		{"net/route/default", unix.AF_INET, netip.AddrFrom4([4]byte{198, 51, 100, 1})},
		{"net/route/default6", unix.AF_INET6, netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 15: 1})},
	} {
		request, err := routeRequest(q.family, q.to)
		if err != nil {
			return err
		}
		answer, err := ask(ctx, netlink.Message{Header: netlink.Header{Type: unix.RTM_GETROUTE, Flags: netlink.Request}, Data: request})
		if err != nil {
			continue // no way there, or no such protocol
		}
		for _, m := range answer {
			r, ok := parseRoute(m.Data)
			if name, known := kept[r.out]; ok && known {
				s.Fact(q.path, r.via+" dev "+name)
			}
		}
	}
	return nil
}

// routeRequest asks which entry of the routing table an address falls under.
func routeRequest(family byte, to netip.Addr) ([]byte, error) {
	ae := netlink.NewAttributeEncoder()
	ae.Bytes(unix.RTA_DST, to.AsSlice())
	attributes, err := ae.Encode()
	if err != nil {
		return nil, fmt.Errorf("ask the kernel for the way to %s: %w", to, err)
	}
	header := make([]byte, unix.SizeofRtMsg)
	header[0], header[1] = family, byte(to.BitLen())
	binary.NativeEndian.PutUint32(header[8:], unix.RTM_F_FIB_MATCH)
	return append(header, attributes...), nil
}

// route is a default route.
type route struct {
	out int
	via string
}

// parseRoute reads an rtmsg; ok is false for all but default routes.
func parseRoute(b []byte) (r route, ok bool) {
	if len(b) < unix.SizeofRtMsg || b[1] != 0 || b[7] != unix.RTN_UNICAST {
		return route{}, false
	}
	r.via = "direct"
	ad, err := netlink.NewAttributeDecoder(b[unix.SizeofRtMsg:])
	if err != nil {
		return route{}, false
	}
	for ad.Next() {
		switch ad.Type() {
		case unix.RTA_OIF:
			r.out = int(ad.Uint32())
		case unix.RTA_GATEWAY:
			if ip, valid := netip.AddrFromSlice(ad.Bytes()); valid {
				r.via = ip.String()
			}
		}
	}
	return r, ad.Err() == nil && r.out != 0
}
