package collect

import (
	"context"
	"encoding/binary"
	"io/fs"
	"net/netip"
	"path"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Names of linux/sock_diag.h and linux/inet_diag.h (sock_diag(7)).
const (
	sockDiagByFamily  = 20
	inetDiagCgroupID  = 21
	inetDiagMsgSize   = 72
	inetDiagReqSize   = 56
	stateListen       = 10 // of TCP
	stateClose        = 7  // of UDP: not connected
	maxControlFolders = 4000
)

// socketKey names a waiting socket.
type socketKey struct {
	proto string
	local netip.AddrPort
}

// socketUnits gives the unit that each waiting socket belongs to, by its control
// group, which systemd names like the unit. It asks the kernel for sockets only:
// to find the owner by its process, the descriptors of all processes would have
// to be read. Without an answer (an old kernel, no systemd) there are no units.
func socketUnits(ctx context.Context, h Host) map[socketKey]string {
	owners := map[socketKey]uint64{}
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		for proto, number := range map[string]uint8{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP} {
			answer, err := dumpSockets(ctx, family, number)
			if err != nil {
				return nil
			}
			for _, m := range answer {
				if local, group, ok := parseDiag(m.Data); ok {
					owners[socketKey{proto, local}] = group
				}
			}
		}
	}
	groups := controlGroups(h)
	units := map[socketKey]string{}
	for key, group := range owners {
		if unit := groups[group]; unit != "" {
			units[key] = unit
		}
	}
	return units
}

func dumpSockets(ctx context.Context, family, proto uint8) ([]netlink.Message, error) {
	c, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	request := make([]byte, inetDiagReqSize) // struct inet_diag_req_v2
	request[0], request[1] = family, proto
	state := uint32(1) << stateListen
	if proto == unix.IPPROTO_UDP {
		state = 1 << stateClose
	}
	binary.NativeEndian.PutUint32(request[4:], state)
	return c.Execute(netlink.Message{
		Header: netlink.Header{Type: sockDiagByFamily, Flags: netlink.Request | netlink.Dump},
		Data:   request,
	})
}

// parseDiag reads a struct inet_diag_msg: family, state and two timers of a byte
// each, source and destination port in network order, source address in 16
// bytes, …, then attributes.
func parseDiag(b []byte) (local netip.AddrPort, group uint64, ok bool) {
	if len(b) < inetDiagMsgSize {
		return netip.AddrPort{}, 0, false
	}
	var addr netip.Addr
	switch b[0] {
	case unix.AF_INET:
		addr = netip.AddrFrom4([4]byte(b[8:12]))
	case unix.AF_INET6:
		addr = netip.AddrFrom16([16]byte(b[8:24]))
	default:
		return netip.AddrPort{}, 0, false
	}
	ad, err := netlink.NewAttributeDecoder(b[inetDiagMsgSize:])
	if err != nil {
		return netip.AddrPort{}, 0, false
	}
	for ad.Next() {
		if ad.Type() == inetDiagCgroupID && len(ad.Bytes()) == 8 {
			group = ad.Uint64()
		}
	}
	return netip.AddrPortFrom(addr, binary.BigEndian.Uint16(b[4:])), group, group != 0 && ad.Err() == nil
}

// controlGroups gives the units by the number of their control group, which is
// the inode of its folder.
func controlGroups(h Host) map[uint64]string {
	groups := map[uint64]string{}
	looked := 0
	var walk func(dir, unit string)
	walk = func(dir, unit string) {
		names, err := h.Names(dir)
		if err != nil {
			return
		}
		for _, name := range names {
			// A service may have control groups of its own below it.
			below, kind := unit, path.Ext(name)
			if unit == "" && (kind == ".service" || kind == ".socket") {
				below = name
			}
			if below == "" && kind != ".slice" || unit != "" && strings.Contains(name, ".") {
				continue // the kernel's own files have a dot in their names
			}
			st, err := fs.Stat(h.FS, dir+"/"+name)
			if looked++; err != nil || !st.IsDir() || looked > maxControlFolders {
				continue
			}
			if below != "" {
				groups[inode(st)] = below
			}
			walk(dir+"/"+name, below)
		}
	}
	walk("sys/fs/cgroup", "")
	return groups
}
