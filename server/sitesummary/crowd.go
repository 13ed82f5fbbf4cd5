package sitesummary

import (
	"net"
	"net/netip"
	"sync"

	"rollcall/server/auth"
)

// crowd bounds the connections that are open at once, in all and from one host.
type crowd struct {
	net.Listener
	mu    sync.Mutex
	all   int
	hosts map[string]int
}

// Accept returns the next connection for which there is room; others are closed.
func (c *crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		host := ""
		if at, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil && !at.Addr().Unmap().IsLoopback() {
			host = auth.HostOf(at.Addr().Unmap().String())
		}
		if c.enter(host) {
			return &member{Conn: conn, leave: sync.OnceFunc(func() { c.leave(host) })}, nil
		}
		_ = conn.Close() // it was never ours to lose
	}
}

func (c *crowd) enter(host string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= conns || host != "" && c.hosts[host] >= connsHost {
		return false
	}
	c.all++
	c.hosts[host]++
	return true
}

func (c *crowd) leave(host string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.hosts[host]--; c.hosts[host] <= 0 {
		delete(c.hosts, host)
	}
}

// member is a connection that is counted.
type member struct {
	net.Conn
	leave func()
}

// Close closes the connection and makes room for another.
func (m *member) Close() error {
	m.leave()
	return m.Conn.Close()
}
