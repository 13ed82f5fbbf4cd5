package collect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

func clients() Collector {
	return Collector{Name: "clients", Owns: []string{"client/"}, Timeout: 10 * time.Second, Collect: collectClients}
}

// Bounds of what is told of clients.
const (
	maxClients = 4096   // machines that are told of
	maxSights  = 16_384 // addresses of cards that one look tells apart
)

// collectClients tells which machines this one sees as a boot or DHCP server: who
// holds a lease of its DHCP server, and who mounts its exports by NFS. They are known
// by the address of their card. Only what stands still is a fact: the address, the
// host name, by what the machine is seen, and that it asks to boot from the network.
// When leases end and who is seen just now is measured. A machine counts when two
// looks have seen it, and stays for as long again as it was known, a week to three
// months, so that nights and holidays are no changes.
//
// Addresses that software made up, as telephones do at each visit and as who floods
// a DHCP server does, are counted and left out.
func collectClients(ctx context.Context, h Host, s *Sink) error {
	if !h.Clients {
		return fs.ErrNotExist
	}
	l := &look{h: h, s: s, now: h.Now(), sights: map[string]*sight{}, at: map[netip.Addr]string{}, random: map[string]bool{}}
	if err := l.leases(ctx); err != nil {
		return err
	}
	exports := l.exporting()
	if !l.found && !exports {
		return s.Found(false)
	}
	if err := l.neighbours(ctx); err != nil { // they vouch for others, nobody is told of for them alone
		l.note("neighbours: " + err.Error())
	}
	if exports {
		if err := l.mounts(ctx); err != nil {
			return err
		}
	}
	seen := h.Cache.Clients()
	beyond := seen.take(l.sights, l.now)
	h.Cache.SetClients(seen)
	seen.facts(s)
	s.Measure("client/seen", seen.fresh())
	for name, n := range map[string]int{"random": len(l.random), "unknown": l.unknown, "beyond": beyond + l.crowd} {
		if n > 0 {
			s.Measure("client/"+name, strconv.Itoa(n))
		}
	}
	if beyond+l.crowd > 0 {
		l.note(fmt.Sprintf("%d machines are told of, %d more are not", maxClients, beyond+l.crowd))
	}
	s.Note(strings.Join(l.notes, "; "))
	return nil
}

// sight is how one look sees a machine.
type sight struct {
	names   []string
	renewed int64 // of its newest lease; it grows with each renewal. 0: not known
	leased  bool
	mounts  bool
	boots   bool // it asks to boot from the network
	alive   bool // it was heard of since the look before, whatever its lease says
}

// look gathers what the sources of one look say.
type look struct {
	h   Host
	s   *Sink
	now time.Time

	found  bool // a DHCP server keeps leases here
	sights map[string]*sight
	at     map[netip.Addr]string // who has an address; empty: two claim it
	random map[string]bool

	confirmed map[string]bool // cards that the kernel has heard of lately
	crowd     int             // cards beyond maxSights
	unknown   int             // NFS clients of which no card is known
	notes     []string
}

func (l *look) note(text string) { l.notes = append(l.notes, text) }

// sight gives what is known of a card in this look; nil for one that is not told of.
func (l *look) sight(mac string) *sight {
	if s := l.sights[mac]; s != nil {
		return s
	}
	hw, err := net.ParseMAC(mac)
	switch {
	case err != nil || len(hw) != 6 || nonzero(hw) == nil || hw[0]&1 != 0:
		return nil
	case len(l.sights)+len(l.random) >= maxSights:
		l.crowd++
		return nil
	case hw[0]&2 != 0:
		l.random[mac] = true
		return nil
	}
	l.sights[mac] = &sight{}
	return l.sights[mac]
}

// leases reads what the DHCP servers of this machine keep.
func (l *look) leases(ctx context.Context) error {
	for _, server := range []struct {
		files []string // in the order in which the server reads them
		read  func() lineReader
	}{
		{[]string{"var/lib/dhcp/dhcpd.leases"}, func() lineReader { return &iscReader{} }},
		{keaFiles(l.h), func() lineReader { return &keaReader{} }},
		{[]string{"var/lib/misc/dnsmasq.leases"}, func() lineReader { return &dnsmasqReader{} }},
	} {
		t := &leaseTable{now: l.now, leases: map[string]clientLease{}, boots: map[string]bool{}}
		for _, name := range server.files {
			err := l.file(ctx, name, t, server.read())
			switch {
			case errors.Is(err, fs.ErrPermission):
				l.s.Denied(name)
			case Absent(err):
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil: // the rest of the file is missing; what was read stands
				l.found = true
				l.note(err.Error())
			default:
				l.found = true
			}
			if t.bad > 0 {
				l.note(fmt.Sprintf("%s: entries that are half-written or make no sense: %d, the first at line %d", name, t.bad, t.badLine))
				t.bad = 0
			}
		}
		l.apply(t)
	}
	return nil
}

// lineReader reads the lines of one file of leases into a table.
type lineReader interface {
	line(t *leaseTable, n int, text string)
	end(t *leaseTable, n int)
}

func (l *look) file(ctx context.Context, name string, t *leaseTable, r lineReader) error {
	n := 0
	err := l.h.Lines(name, func(text string) bool {
		n++
		r.line(t, n, text)
		return n%1024 != 0 || ctx.Err() == nil
	})
	if err == nil {
		err = ctx.Err()
	}
	r.end(t, n)
	return err
}

// apply takes the leases that hold now.
func (l *look) apply(t *leaseTable) {
	for _, lease := range t.leases {
		if !lease.holds(l.now) {
			continue
		}
		s := l.sight(lease.mac)
		if s == nil {
			continue
		}
		s.leased, s.renewed = true, max(s.renewed, lease.renewed)
		if hostLabel(lease.name) {
			s.names = append(s.names, strings.ToLower(lease.name))
		}
		if ip, err := netip.ParseAddr(lease.ip); err == nil {
			l.holder(ip, lease.mac)
		}
	}
	l.crowd += t.crowd
	for mac := range t.boots {
		if s := l.sights[mac]; s != nil {
			s.boots = true
		}
	}
}

// holder notes who has an address.
func (l *look) holder(ip netip.Addr, mac string) {
	ip = ip.Unmap()
	if have, ok := l.at[ip]; ok && have != mac {
		mac = ""
	}
	l.at[ip] = mac
}

// hostLabel tells whether a machine calls itself something that can be a host name
// (RFC 1123 section 2.1).
func hostLabel(s string) bool {
	return s != "" && len(s) <= 63 && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789-.") == "" && strings.Trim(s, "-.") != ""
}
