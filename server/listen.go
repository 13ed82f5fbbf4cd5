package server

import (
	"container/list"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"rollcall/internal/identity"
	"rollcall/server/auth"

	"golang.org/x/time/rate"
)

// Who has connected and not yet shown an enrolled key or a login is a stranger.
const (
	strangerFor   = 30 * time.Second // as long may one stay
	refusalsUntil = 50               // so many refused calls end a connection
	// The connection of a key that has ended stays so long: the answer to the call
	// that ended it, a rotation, leaves on it. It carries no other.
	lastWords = 500 * time.Millisecond

	// Handshakes of those without a pass cost some tenths of a millisecond each, and
	// all the processors are not for them: Config.Handshakes a second, and as many as
	// of so many seconds at once.
	strangersBurst = 4
	// Handshakes with one pass, which may have been copied from the wire. A machine
	// makes one or two for each report.
	guestRate, guestBurst = 2, 20
	guestsKept            = 200_000
)

// errCrowded ends the handshake of a stranger for whom there is no time now.
var errCrowded = errors.New("too many handshakes of strangers: try again later")

// doors bounds the connections that are open at once. An attacker must not lock
// anybody out, neither from many addresses nor from behind the one address of a
// school, where pupils sit beside enrolled machines. So the strangers have a share
// of their own, in all, for each network (/24, or /48 of IPv6) and for each host
// (/64 of IPv6), and where it is used up the oldest of them has to go: whoever is
// enrolled needs a moment to show it and does not count any more then. To refuse
// the newest instead would let 2,000 silent connections shut the server.
type doors struct {
	net.Listener
	limits doorLimits

	mu        sync.Mutex
	open      map[string]*door // by remote address
	strangers list.List        // of *door, the oldest first
	hosts     map[string]*crowdOf
	nets      map[string]int // strangers

	// Which key shows a pass of this server in the first message of its handshake;
	// nil: passes are not looked at.
	guest      func(name string) (identity.KeyID, bool)
	handshakes *rate.Limiter // of those without
	guests     map[identity.KeyID]*rate.Limiter
}

// crowdOf counts the connections of one host.
type crowdOf struct{ strangers, known int }

// doorLimits are the bounds.
type doorLimits struct {
	all, strangers           int
	strangersNet             int // strangers of one network
	strangersHost, knownHost int // of one host
	patience                 time.Duration
}

// limitsOf gives strangers half of all connections, half of these to one network,
// and half of those that a host may have.
func limitsOf(cfg Config) doorLimits {
	return doorLimits{
		all: cfg.Connections, strangers: max(1, cfg.Connections/2), strangersNet: max(1, cfg.Connections/4),
		strangersHost: max(1, cfg.PerHost/2), knownHost: cfg.PerHost, patience: strangerFor,
	}
}

func newDoors(l net.Listener, limits doorLimits, handshakes int) *doors {
	return &doors{
		Listener: l, limits: limits, open: map[string]*door{}, hosts: map[string]*crowdOf{}, nets: map[string]int{},
		handshakes: rate.NewLimiter(rate.Limit(handshakes), strangersBurst*handshakes), guests: map[identity.KeyID]*rate.Limiter{},
	}
}

// door is one connection.
type door struct {
	net.Conn
	of       *doors
	addr     string
	host     string
	net      string
	at       *list.Element // among the strangers; nil: known, or closed
	closed   bool
	refusals int
	key      identity.KeyID // that it showed; zero: none
	timer    *time.Timer
}

// Accept returns the next connection, for which another may have had to go.
func (d *doors) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		in, out := d.enter(c)
		for _, old := range out {
			_ = old.Conn.Close() // whoever serves it finds out, and closes it too
		}
		if in != nil {
			return in, nil
		}
		_ = c.Close() // it was never ours to lose
	}
}

// enter lets a connection in as a stranger. It returns nil if there is no room, and
// the connections that have to be closed to make it.
func (d *doors) enter(c net.Conn) (in *door, out []*door) {
	addr := c.RemoteAddr().String()
	in = &door{Conn: c, of: d, addr: addr, host: auth.HostOf(addr), net: networkOf(addr)}
	d.mu.Lock()
	defer d.mu.Unlock()
	crowd := d.hosts[in.host]
	switch {
	case crowd != nil && crowd.strangers >= d.limits.strangersHost:
		out = d.evict(func(o *door) bool { return o.host == in.host })
	case d.nets[in.net] >= d.limits.strangersNet:
		out = d.evict(func(o *door) bool { return o.net == in.net })
	case d.strangers.Len() >= d.limits.strangers || len(d.open) >= d.limits.all:
		out = d.evict(func(*door) bool { return true })
	}
	if len(d.open) >= d.limits.all {
		return nil, out // all are known
	}
	if crowd = d.hosts[in.host]; crowd == nil {
		crowd = &crowdOf{}
		d.hosts[in.host] = crowd
	}
	crowd.strangers++
	d.nets[in.net]++
	in.at = d.strangers.PushBack(in)
	d.open[addr] = in
	in.timer = time.AfterFunc(d.limits.patience, in.outstayed)
	return in, out
}

// evict takes the oldest stranger of a kind out of the count.
func (d *doors) evict(kind func(*door) bool) []*door {
	for e := d.strangers.Front(); e != nil; e = e.Next() {
		if o := e.Value.(*door); kind(o) {
			d.leave(o)
			return []*door{o}
		}
	}
	return nil
}

// leave takes a connection out of the count, once.
func (d *doors) leave(c *door) {
	if c.closed {
		return
	}
	c.closed = true
	c.timer.Stop()
	d.unstrange(c)
	if crowd := d.hosts[c.host]; crowd.strangers+crowd.known == 1 {
		delete(d.hosts, c.host)
	} else {
		crowd.known--
	}
	if d.open[c.addr] == c {
		delete(d.open, c.addr)
	}
}

// unstrange counts a stranger as known.
func (d *doors) unstrange(c *door) {
	if c.at == nil {
		return
	}
	d.strangers.Remove(c.at)
	c.at = nil
	crowd := d.hosts[c.host]
	crowd.strangers--
	crowd.known++
	if d.nets[c.net]--; d.nets[c.net] <= 0 {
		delete(d.nets, c.net)
	}
}

// Known implements api.Doors. A host that has enough of them stays a stranger with
// the rest: it is served, and has to go first.
func (d *doors) Known(addr string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.open[addr]
	if c == nil || c.at == nil || d.hosts[c.host].known >= d.limits.knownHost {
		return
	}
	d.unstrange(c)
	c.timer.Stop()
}

// Refused implements api.Doors. Whoever asks again and again for what it may not
// have begins again with a handshake, which costs it more than the server's refusal
// costs the server.
func (d *doors) Refused(addr string) {
	d.mu.Lock()
	c := d.open[addr]
	if c != nil {
		c.refusals++
	}
	enough := c != nil && c.refusals >= refusalsUntil
	d.mu.Unlock()
	if enough {
		_ = c.Close() // whoever serves it finds out
	}
}

// Shows implements api.Doors.
func (d *doors) Shows(addr string, key identity.KeyID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.open[addr]; c != nil {
		c.key = key
	}
}

// Ended implements api.Doors: it closes all connections that showed the key.
func (d *doors) Ended(key string) {
	id, err := identity.ParseKeyID(key)
	if err != nil {
		return // no connection showed such a key
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.open { // some thousands, and keys end seldom
		if c.key == id {
			time.AfterFunc(lastWords, func() { _ = c.Close() }) // whoever serves it finds out
		}
	}
}

// hello decides about a handshake when its first message has come, before anything
// has been computed for it. Whoever shows a pass is a stranger no more: an enrolled
// machine gets in while thousands hammer at the door, also from its own address.
func (d *doors) hello(hi *tls.ClientHelloInfo) (*tls.Config, error) {
	c, ok := hi.Conn.(*door)
	if !ok {
		return nil, nil
	}
	if d.guest != nil {
		if id, ok := d.guest(hi.ServerName); ok && d.welcome(id) {
			d.Known(c.addr)
			return nil, nil
		}
	}
	if !d.handshakes.Allow() {
		return nil, errCrowded
	}
	return nil, nil
}

// welcome tells whether a pass counts now.
func (d *doors) welcome(id identity.KeyID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.guests) > guestsKept {
		clear(d.guests)
	}
	if d.guests[id] == nil {
		d.guests[id] = rate.NewLimiter(guestRate, guestBurst)
	}
	return d.guests[id].Allow()
}

// outstayed closes a connection that has not shown who it is.
func (c *door) outstayed() {
	c.of.mu.Lock()
	stranger := c.at != nil
	c.of.mu.Unlock()
	if stranger {
		_ = c.Close() // whoever serves it finds out
	}
}

// Close closes the connection and makes room for another.
func (c *door) Close() error {
	c.of.mu.Lock()
	c.of.leave(c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// networkOf gives the network that an address counts with: what one organisation or
// one tenant of a hoster has.
func networkOf(addr string) string {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return addr
	}
	ip, bits := ap.Addr().Unmap().WithZone(""), 48
	if ip.Is4() {
		bits = 24
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return addr
	}
	return p.String()
}
