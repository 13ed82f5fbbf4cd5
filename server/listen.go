package server

import (
	"net"
	"sync"

	"rollcall/server/api"
)

// limitListener bounds the connections that are open at once, in all and from
// one host. What is above a bound is closed at once, so that the others are
// served.
type limitListener struct {
	net.Listener
	all, perHost int

	mu    sync.Mutex
	open  int
	hosts map[string]int
}

func newLimitListener(l net.Listener, all, perHost int) *limitListener {
	return &limitListener{Listener: l, all: all, perHost: perHost, hosts: map[string]int{}}
}

// Accept returns the next connection within the bounds.
func (l *limitListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		host := api.HostOf(c.RemoteAddr().String())
		if l.enter(host) {
			return &limitedConn{Conn: c, leave: sync.OnceFunc(func() { l.leave(host) })}, nil
		}
		_ = c.Close() // it was never ours to lose
	}
}

func (l *limitListener) enter(host string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.all || l.hosts[host] >= l.perHost {
		return false
	}
	l.open++
	l.hosts[host]++
	return true
}

func (l *limitListener) leave(host string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.hosts[host]--; l.hosts[host] <= 0 {
		delete(l.hosts, host)
	}
}

type limitedConn struct {
	net.Conn
	leave func()
}

// Close closes the connection and makes room for another.
func (c *limitedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
