package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	rollcallv1 "rollcall/proto/rollcall/v1"

	"google.golang.org/grpc/codes"
)

// line is a connection between two ends in memory that has an address.
type line struct {
	net.Conn
	from net.Addr
}

func (l line) RemoteAddr() net.Addr { return l.from }

// guests let connections in without a network.
type guests struct {
	t *testing.T
	d *doors
	n int
}

func (g *guests) from(host string) *door {
	g.t.Helper()
	near, far := net.Pipe()
	g.t.Cleanup(func() { _ = far.Close() })
	g.n++
	addr, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(host, fmt.Sprint(g.n)))
	if err != nil {
		g.t.Fatal(err)
	}
	in, out := g.d.enter(line{near, addr})
	for _, old := range out {
		_ = old.Conn.Close()
	}
	if in != nil {
		g.t.Cleanup(func() { _ = in.Close() })
	}
	return in
}

// open tells whether a connection has not been closed.
func (c *door) open() bool { return !c.closed }

func TestTheOldestStrangerGoesForTheNewest(t *testing.T) {
	tests := []struct {
		name   string
		limits doorLimits
		first  string // connects first
		others string // a host of these connects again and again; %d is the number
		n      int    // until the first has to go
	}{
		{"of one host", doorLimits{all: 100, strangers: 50, strangersNet: 40, strangersHost: 3, knownHost: 9}, "10.0.0.1", "10.0.0.1", 3},
		{"of one network", doorLimits{all: 100, strangers: 50, strangersNet: 4, strangersHost: 3, knownHost: 9}, "10.0.0.1", "10.0.0.%d", 4},
		{"of all", doorLimits{all: 100, strangers: 5, strangersNet: 4, strangersHost: 3, knownHost: 9}, "10.0.0.1", "10.%d.0.1", 5},
		{"of one /64 of IPv6", doorLimits{all: 100, strangers: 50, strangersNet: 40, strangersHost: 3, knownHost: 9}, "2001:db8:1:1::1", "2001:db8:1:1::%d", 3},
		{"of one /48 of IPv6", doorLimits{all: 100, strangers: 50, strangersNet: 4, strangersHost: 3, knownHost: 9}, "2001:db8:1:1::1", "2001:db8:1:%d::1", 4},
	}
	for _, tt := range tests {
		tt.limits.patience = time.Hour
		g := &guests{t: t, d: newDoors(nil, tt.limits, 200)}
		first := g.from(tt.first)
		for i := 1; i <= tt.n; i++ {
			if !first.open() {
				t.Errorf("%s: the first has to go for the %d. other, want the %d.", tt.name, i-1, tt.n)
			}
			host := tt.others
			if i > 0 && host != tt.first {
				host = fmt.Sprintf(tt.others, i+10)
			}
			if g.from(host) == nil {
				t.Errorf("%s: the %d. other is refused", tt.name, i)
			}
		}
		if first.open() {
			t.Errorf("%s: the first is there after %d others", tt.name, tt.n)
		}
	}
}

// Pupils sit behind the same address as the enrolled machines of their school: what
// they do must not close the door to them.
func TestStrangersCannotLockOutTheKnownOfTheirOwnHost(t *testing.T) {
	g := &guests{t: t, d: newDoors(nil, doorLimits{all: 20, strangers: 10, strangersNet: 8, strangersHost: 4, knownHost: 6, patience: time.Hour}, 200)}
	known := []*door{}
	for range 6 {
		c := g.from("192.0.2.1")
		g.d.Known(c.addr)
		known = append(known, c)
	}
	for range 500 {
		g.from("192.0.2.1")
	}
	late := g.from("192.0.2.1")
	if late == nil || !late.open() {
		t.Fatal("a newcomer is refused")
	}
	for i, c := range known {
		if !c.open() {
			t.Errorf("known connection %d has been closed", i)
		}
	}
	if open, strangers := g.d.count(); open != 10 || strangers != 4 {
		t.Errorf("%d connections, %d strangers, want 10 and 4", open, strangers)
	}
	g.d.Known(late.addr) // one too many of this host: it stays, and goes first
	if _, strangers := g.d.count(); strangers != 4 {
		t.Errorf("%d strangers, want 4: the host has all known connections that it may have", strangers)
	}
	for i := range 14 { // fill the house with the known
		c := g.from(fmt.Sprintf("198.51.%d.1", i))
		g.d.Known(c.addr)
	}
	if c := g.from("203.0.113.1"); c != nil {
		t.Error("a newcomer is let in though all are known")
	}
	for i, c := range known {
		if !c.open() {
			t.Errorf("known connection %d has been closed", i)
		}
	}
}

func TestAStrangerMayNotStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &guests{t: t, d: newDoors(nil, doorLimits{all: 9, strangers: 9, strangersNet: 9, strangersHost: 9, knownHost: 9, patience: strangerFor}, 200)}
		a, b := g.from("192.0.2.1"), g.from("192.0.2.1")
		time.Sleep(strangerFor / 2)
		g.d.Known(b.addr)
		time.Sleep(strangerFor)
		if _, err := a.Read(make([]byte, 1)); err == nil || a.open() {
			t.Errorf("the stranger is there after %v, %v", strangerFor, err)
		}
		if !b.open() {
			t.Error("the known one is gone")
		}
	})
}

func TestRefusedCallsEndAConnection(t *testing.T) {
	g := &guests{t: t, d: newDoors(nil, doorLimits{all: 9, strangers: 9, strangersNet: 9, strangersHost: 9, knownHost: 9, patience: time.Hour}, 200)}
	c := g.from("192.0.2.1")
	for range refusalsUntil - 1 {
		g.d.Refused(c.addr)
	}
	if !c.open() {
		t.Errorf("it is gone after %d refusals", refusalsUntil-1)
	}
	g.d.Refused(c.addr)
	if c.open() {
		t.Errorf("it is there after %d refusals", refusalsUntil)
	}
	g.d.Refused(c.addr)
	g.d.Known(c.addr)
	if err := c.Close(); err == nil {
		t.Log("closing twice leaves once")
	}
	if open, strangers := g.d.count(); open != 0 || strangers != 0 || len(g.d.hosts) != 0 || len(g.d.nets) != 0 {
		t.Errorf("%d connections, %d strangers, %d hosts, %d networks are counted after all have ended", open, strangers, len(g.d.hosts), len(g.d.nets))
	}
}

// With real sockets: whoever has to go notices at once, and all are counted out.
func TestAClosedDoorIsNoticed(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := newDoors(lis, doorLimits{all: 4, strangers: 3, strangersNet: 3, strangersHost: 2, knownHost: 2, patience: time.Hour}, 200)
	got := make(chan net.Conn, 9)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for c, err := d.Accept(); err == nil; c, err = d.Accept() {
			got <- c
		}
	}()
	dial := func() net.Conn {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", lis.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	first, _, _ := dial(), dial(), dial()
	_ = first.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, err = first.Read(make([]byte, 1))
	var late net.Error
	if err == nil || errors.As(err, &late) && late.Timeout() {
		t.Errorf("the first reads %v, want that it was closed", err)
	}
	if err := lis.Close(); err != nil {
		t.Error(err)
	}
	<-ended
	close(got)
	for c := range got {
		_ = c.Close()
	}
	if open, _ := d.count(); open != 0 {
		t.Errorf("%d connections are counted after all have ended", open)
	}
}

func TestHowManyStrangersMayShakeHandsCanBeSet(t *testing.T) {
	for _, perSecond := range []int{10, 50} {
		d := newDoors(nil, doorLimits{}, perSecond)
		n := 0
		for n <= strangersBurst*perSecond {
			if _, err := d.hello(&tls.ClientHelloInfo{Conn: &door{of: d}}); errors.Is(err, errCrowded) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != strangersBurst*perSecond {
			t.Errorf("of %d a second %d come in at once, want %d", perSecond, n, strangersBurst*perSecond)
		}
	}
}

func TestHowOftenAnAddressMayAskForAdmissionCanBeSet(t *testing.T) {
	r := start(t, func(c *Config) { c.Enrolments = 2 })
	r.machine(1)
	r.machine(2)
	_, err := r.enrol(r.stranger(3), r.token(&rollcallv1.NewTokenRequest{}))
	wantCode(t, "the third within a minute", err, codes.ResourceExhausted)
}

// count tells how many connections are open and how many of them are strangers'.
func (d *doors) count() (open, strangers int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.open), d.strangers.Len()
}
