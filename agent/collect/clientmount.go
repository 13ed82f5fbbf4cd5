package collect

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	nfsdClients = "proc/fs/nfsd/clients"
	rmtab       = "var/lib/nfs/rmtab"
)

// lately is within how many seconds a machine was heard of that counts as seen now:
// somewhat more than the usual time between two looks.
const lately = 75 * 60

// exporting tells whether this machine is a file server.
func (l *look) exporting() bool { return l.h.Exists(nfsdClients) || l.h.Exists(rmtab) }

// mounts adds the machines that mount from here: by NFS 4 as the kernel tells, by NFS
// 3 as mountd notes. Both know addresses; the cards are known from leases and
// neighbours. Only tables of this machine are read, no mount and no client.
func (l *look) mounts(ctx context.Context) error {
	names, err := l.h.Entries(l.s, nfsdClients)
	if err != nil {
		return err
	}
	for _, name := range names[:min(len(names), maxSights)] {
		if err := ctx.Err(); err != nil {
			return err
		}
		file := nfsdClients + "/" + name + "/info"
		b, err := l.h.Content(l.s, file, maxLine)
		switch {
		case errors.Is(err, ErrTooBig):
			l.note(err.Error())
		case err != nil:
			return err
		default:
			l.mounted(parseNFSClient(string(b)))
		}
	}
	n := 0
	err = l.h.Lines(rmtab, func(line string) bool {
		n++
		l.mounted(parseRmtab(line))
		return n < maxLeases && ctx.Err() == nil
	})
	switch {
	case errors.Is(err, fs.ErrPermission):
		l.s.Denied(rmtab)
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && !Absent(err):
		l.note(err.Error())
	}
	return nil
}

// nfsClient is a machine that mounts from here.
type nfsClient struct {
	ip    netip.Addr // not valid: there is none
	name  string
	alive bool // its kernel was heard of lately
	boots bool // it mounts what machines boot from
}

// mounted notes a machine that mounts. What mountd notes stays when a machine was
// switched off without a word. So the kernel has to have heard of the card, and the
// address may be none that is leased: it could have been given to somebody else since.
func (l *look) mounted(c nfsClient) {
	if !c.ip.IsValid() || c.ip.IsLoopback() {
		return
	}
	mac := l.at[c.ip]
	if mac == "" {
		if c.alive {
			l.unknown++
		}
		return
	}
	if known := l.sights[mac]; !c.alive && (!l.confirmed[mac] || known != nil && known.leased) {
		return
	}
	s := l.sight(mac)
	if s == nil {
		return
	}
	s.mounts, s.boots, s.alive = true, s.boots || c.boots, s.alive || c.alive || l.confirmed[mac]
	if hostLabel(c.name) {
		s.names = append(s.names, strings.ToLower(c.name))
	}
}

// parseNFSClient reads what the kernel tells of a client of NFS 4 (client_info_show in
// fs/nfsd/nfs4state.c): lines "address: "10.0.2.51:745"", "status: confirmed",
// "seconds from last renew: 12", "name: "Linux NFSv4.2 pc07"".
func parseNFSClient(text string) (c nfsClient) {
	confirmed := false
	renewed := uint64(0)
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		value = strings.Trim(strings.TrimSpace(value), `"`)
		switch key {
		case "address":
			if at, err := netip.ParseAddrPort(value); err == nil {
				c.ip = at.Addr().Unmap()
			}
		case "status":
			confirmed = value == "confirmed"
		case "seconds from last renew":
			if n, ok := number(value); ok {
				renewed = n
			}
		case "name": // what the client calls itself; Linux puts its host name last
			if f := strings.Fields(value); len(f) > 2 && strings.HasPrefix(value, "Linux NFSv4") {
				c.name, _, _ = strings.Cut(f[2], "/")
			}
		}
	}
	if !confirmed || renewed > lately {
		return nfsClient{}
	}
	c.alive = true
	return c
}

// bootFolders are where LTSP keeps what machines boot from.
var bootFolders = []string{"/srv/ltsp", "/opt/ltsp"}

// parseRmtab reads a line of rmtab(5), HOST:FOLDER:COUNT with the count in
// hexadecimal. Hosts that are named and not numbered are left out: no name service is
// asked.
func parseRmtab(line string) (c nfsClient) {
	at := strings.LastIndexByte(line, ':')
	if at < 0 {
		return c
	}
	count, err := strconv.ParseUint(strings.TrimPrefix(line[at+1:], "0x"), 16, 32)
	host, folder, ok := strings.Cut(line[:at], ":/")
	if err != nil || count == 0 || !ok {
		return c
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	if err != nil {
		return c
	}
	c.ip = ip.Unmap()
	for _, boot := range bootFolders {
		c.boots = c.boots || "/"+folder == boot || strings.HasPrefix("/"+folder, boot+"/")
	}
	return c
}

// neighbours asks the kernel which card answers for which address, and which it has
// heard of lately (rtnetlink(7), RTM_GETNEIGH). Nobody is asked over the network.
func (l *look) neighbours(ctx context.Context) error {
	l.confirmed = map[string]bool{}
	if !l.h.Live {
		return nil
	}
	answer, err := dump(ctx, unix.RTM_GETNEIGH, make([]byte, unix.SizeofNdMsg))
	if err != nil {
		return err
	}
	for _, m := range answer[:min(len(answer), maxLeases)] {
		n, ok := parseNeighbour(m.Data)
		if !ok {
			continue
		}
		l.holder(n.ip, n.mac)
		if !n.fresh() {
			continue
		}
		l.confirmed[n.mac] = true
		if s := l.sights[n.mac]; s != nil {
			s.alive = true
		}
	}
	return nil
}

// neighbour is an entry of the kernel's neighbour table.
type neighbour struct {
	ip        netip.Addr
	mac       string
	reachable bool
	confirmed uint32 // seconds since it was heard of
	aged      bool   // that is known
}

// fresh tells whether the machine was heard of lately. An entry that is only stale may
// be of last week: the kernel keeps it while it has room.
func (n neighbour) fresh() bool { return n.reachable || n.aged && n.confirmed <= lately }

// clockTicks is how many ticks of times that the kernel tells are a second (USER_HZ).
const clockTicks = 100

// parseNeighbour reads an ndmsg with its attributes; ok is false for those without a
// card of their own.
func parseNeighbour(b []byte) (n neighbour, ok bool) {
	if len(b) < unix.SizeofNdMsg {
		return n, false
	}
	state := binary.NativeEndian.Uint16(b[8:])
	if state&(unix.NUD_REACHABLE|unix.NUD_STALE|unix.NUD_DELAY|unix.NUD_PROBE) == 0 {
		return n, false
	}
	n.reachable = state&unix.NUD_REACHABLE != 0
	ad, err := netlink.NewAttributeDecoder(b[unix.SizeofNdMsg:])
	if err != nil {
		return n, false
	}
	for ad.Next() {
		switch ad.Type() {
		case unix.NDA_DST:
			n.ip, _ = netip.AddrFromSlice(ad.Bytes())
		case unix.NDA_LLADDR:
			if mac := ad.Bytes(); len(mac) == 6 {
				n.mac = net.HardwareAddr(mac).String()
			}
		case unix.NDA_CACHEINFO: // struct nda_cacheinfo: confirmed, used, updated, users
			if c := ad.Bytes(); len(c) >= 4 {
				n.confirmed, n.aged = binary.NativeEndian.Uint32(c)/clockTicks, true
			}
		}
	}
	return n, ad.Err() == nil && n.ip.IsValid() && n.mac != ""
}
