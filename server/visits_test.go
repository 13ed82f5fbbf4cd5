package server

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"

	"go.uber.org/goleak"
	"google.golang.org/grpc/connectivity"
)

// closes tells whether a connection that was ready is closed from the other side
// within a time.
func (m *machine) closes(t testing.TB, within time.Duration) bool {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), within)
	defer stop()
	if s := m.conn.GetState(); s != connectivity.Ready {
		return true
	}
	return m.conn.WaitForStateChange(ctx, connectivity.Ready)
}

func TestConnectionsOfAKeyThatHasEndedAreClosed(t *testing.T) {
	r := start(t)
	tests := []struct {
		name string
		end  func(m *machine) error
	}{
		{"revoked", func(m *machine) error {
			_, err := r.kari.Revoke(t.Context(), &rollcallv1.DecideRequest{Key: m.ci, Reason: "stolen"})
			return err
		}},
		{"replaced by itself", func(m *machine) error {
			_, err := m.rotate(t, r)
			return err // the answer comes on the connection that ends
		}},
		{"replaced by another that takes over its CI", func(m *machine) error {
			next := r.stranger(50)
			_, err := r.enrol(next, r.token(&rollcallv1.NewTokenRequest{Ci: m.ci}))
			return err
		}},
		{"of a CI that is erased", func(m *machine) error {
			return r.erasing(m.ci)()
		}},
	}
	for i, tt := range tests {
		m, other := r.machine(uint64(2*i+1)), r.machine(uint64(2*i+2))
		m.report(t, true)
		second := &machine{Machine: m.Machine, AgentsClient: nil, conn: r.dial(m.Key)}
		second.AgentsClient = rollcallv1.NewAgentsClient(second.conn)
		second.report(t, true)
		other.report(t, true)
		if err := tt.end(m); err != nil {
			t.Fatalf("a key %s: %v", tt.name, err)
		}
		began := time.Now()
		if !m.closes(t, 2*time.Second) || !second.closes(t, 2*time.Second) {
			t.Errorf("a key %s: its connections are open after 2 s", tt.name)
		}
		if late := time.Since(began); late > time.Second {
			t.Errorf("a key %s: its connections are closed after %s, want a second", tt.name, late)
		}
		if other.closes(t, 200*time.Millisecond) {
			t.Errorf("a key %s: the connection of another is closed too", tt.name)
		}
	}
}

// Whoever comes and goes, in whatever way, leaves nothing behind in the server.
func TestAThousandVisitsLeaveNothing(t *testing.T) {
	r := start(t)
	m := r.machine(1)
	m.report(t, true)
	stranger := mustKey(t)
	pin, err := identity.PinOf(identity.Public(r.srv.key))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := identity.ClientTLS([]string{pin}, stranger)
	if err != nil {
		t.Fatal(err)
	}
	socket := func() net.Conn {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", r.addr)
		if err != nil {
			t.Error(err)
		}
		return c
	}
	visits := []func(){
		func() { _ = socket().Close() }, // says nothing
		func() { // ends in the middle of a handshake
			c := socket()
			_, _ = c.Write([]byte{22, 3, 1, 2, 0, 1})
			_ = c.Close()
		},
		func() { // a handshake and no call
			c := tls.Client(socket(), cfg)
			if err := c.HandshakeContext(t.Context()); err != nil {
				t.Errorf("handshake: %v", err)
			}
			_ = c.Close()
		},
		func() { // a call that is refused
			conn := r.dial(stranger)
			_, err := rollcallv1.NewAgentsClient(conn).Submit(t.Context(), &rollcallv1.SubmitRequest{Envelope: []byte("x")})
			if err == nil {
				t.Error("an unknown key is heard")
			}
			_ = conn.Close()
		},
		func() { // the same report again, and an upload that stops
			conn := r.visit(m)
			c := rollcallv1.NewAgentsClient(conn)
			if _, err := c.Submit(t.Context(), &rollcallv1.SubmitRequest{Envelope: m.acked[0].Envelope}); err != nil {
				t.Errorf("an enrolled key: %v", err)
			}
			if up, err := c.Upload(t.Context()); err != nil {
				t.Errorf("an enrolled key: %v", err)
			} else {
				_ = up.Send(&rollcallv1.UploadRequest{Digest: make([]byte, 32), Size: 100, Data: []byte("x")})
			}
			_ = conn.Close()
		},
	}
	visits = append(visits, visits[:3]...) // a machine has a quota
	round := func(n int) {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for i := range n / 4 {
					visits[i%len(visits)]()
				}
			})
		}
		wg.Wait()
	}
	round(20) // what is made once is made
	waitFor(t, "the first visitors to be gone", func() bool { open, _ := r.srv.doors.count(); return open <= 2 })
	before, files := goleak.IgnoreCurrent(), sockets(t)
	open, _ := r.srv.doors.count()
	round(1000)
	waitFor(t, "the doors to be shut", func() bool { now, _ := r.srv.doors.count(); return now <= open })
	if err := goleak.Find(before); err != nil {
		t.Errorf("after 1,000 visits: %v", err)
	}
	waitFor(t, "all sockets to be closed", func() bool { return sockets(t) <= files })
	l := r.srv.doors
	l.mu.Lock()
	hosts := len(l.hosts)
	l.mu.Unlock()
	if hosts > 1 {
		t.Errorf("%d hosts are counted, want this one", hosts)
	}
	m.report(t, true)
}

// sockets counts those that this process has: the mirror opens and closes files of
// its own meanwhile.
func sockets(t *testing.T) (n int) {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		// One that was closed meanwhile leads nowhere.
		if to, err := os.Readlink("/proc/self/fd/" + f.Name()); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}
