package server

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// attackEnv holds an attacker, as JSON, that this program shall be instead of a test:
// attackers sit on other machines and share no processor with those they attack, so
// they run apart and with the lowest priority.
const attackEnv = "ROLLCALL_TEST_ATTACK"

// attack runs an attacker until stop is called, which tells what it did.
func (r *running) attack(a attacker) (stop func() string) {
	r.t.Helper()
	pin, err := identity.PinOf(identity.Public(r.srv.key))
	if err != nil {
		r.t.Fatal(err)
	}
	a.Addr, a.Pin = r.addr, pin
	b, err := json.Marshal(a)
	if err != nil {
		r.t.Fatal(err)
	}
	c := exec.CommandContext(r.t.Context(), os.Args[0])
	c.Env = append(os.Environ(), attackEnv+"="+string(b), "GORACE=exitcode=0")
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out strings.Builder
	c.Stdout, c.Stderr = &out, os.Stderr
	in, err := c.StdinPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return func() string {
		_ = in.Close()
		if err := c.Wait(); err != nil {
			r.t.Errorf("the attacker ended with %v", err)
		}
		return strings.TrimSpace(out.String())
	}
}

// attackAsChild attacks until standard input ends.
func attackAsChild(text string) int {
	var a attacker
	err := errors.Join(json.Unmarshal([]byte(text), &a), syscall.Setpriority(syscall.PRIO_PROCESS, 0, 19))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	all := a.tactics()
	var sent atomic.Int64
	what := func(ctx context.Context, i int) { all[i%len(all)](ctx, i) }
	again := time.Second
	if a.Tactic != "" {
		what, again = a.burst(&sent), 0
	}
	made := a.siege(ctx, again, what)
	fmt.Printf("%d connections, %d frames\n", made, sent.Load())
	return 0
}

// burst opens streams and takes them back at once, or sends headers without an end.
func (a attacker) burst(sent *atomic.Int64) func(context.Context, int) {
	return func(ctx context.Context, i int) {
		c, f, err := a.http2(ctx, i)
		if err != nil {
			return
		}
		go hold(ctx, c)
		if a.Tactic == "endless headers" {
			continuations(f, sent)
		} else {
			rapidReset(ctx, f, a.Tactic, sent)
		}
		_ = c.Close()
	}
}

// attacker opens connections from addresses of the loopback network.
type attacker struct {
	Addr, Pin string
	Tactic    string
	From      string       // of the addresses; %d: numbers
	Key       identity.Key // nil: none
	N         int          // connections at once
}

func (a attacker) dial(ctx context.Context, i int) (net.Conn, error) {
	from := a.From
	if strings.Contains(from, "%d") {
		from = fmt.Sprintf(from, 1+i%200, i/200)
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
	return d.DialContext(ctx, "tcp", a.Addr)
}

// http2 opens a connection up to the point where calls can be made.
func (a attacker) http2(ctx context.Context, i int) (net.Conn, *http2.Framer, error) {
	c, err := a.dial(ctx, i)
	if err != nil {
		return nil, nil, err
	}
	cfg, err := identity.ClientTLS([]string{a.Pin}, a.Key)
	if err != nil {
		return nil, nil, err
	}
	sec := tls.Client(c, cfg)
	_ = sec.SetDeadline(time.Now().Add(10 * time.Second))
	if err := sec.HandshakeContext(ctx); err != nil {
		return nil, nil, errors.Join(err, c.Close())
	}
	_ = sec.SetDeadline(time.Time{})
	f := http2.NewFramer(sec, sec)
	if _, err = io.WriteString(sec, http2.ClientPreface); err == nil {
		err = f.WriteSettings()
	}
	if err != nil {
		return nil, nil, errors.Join(err, sec.Close())
	}
	return sec, f, nil
}

// headersOf is a call's header block.
func headersOf(method string, more ...hpack.HeaderField) []byte {
	var b writerOf
	e := hpack.NewEncoder(&b)
	for _, f := range append([]hpack.HeaderField{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: "https"},
		{Name: ":path", Value: method},
		{Name: ":authority", Value: "rollcall"},
		{Name: "content-type", Value: "application/grpc"},
		{Name: "te", Value: "trailers"},
	}, more...) {
		if err := e.WriteField(f); err != nil {
			panic(err) // it writes to memory
		}
	}
	return b
}

type writerOf []byte

func (w *writerOf) Write(p []byte) (int, error) { *w = append(*w, p...); return len(p), nil }

// swallow reads what the server says, until it hangs up.
func swallow(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// siege keeps the connections busy until ctx ends: one that has ended is made anew
// after a moment. It returns how many were made.
func (a attacker) siege(ctx context.Context, again time.Duration, what func(ctx context.Context, i int)) int {
	var made atomic.Int64
	var wg sync.WaitGroup
	for i := range a.N {
		wg.Go(func() {
			for ctx.Err() == nil {
				made.Add(1)
				what(ctx, i)
				select {
				case <-ctx.Done():
				case <-time.After(again):
				}
			}
		})
	}
	wg.Wait()
	return int(made.Load())
}

// hold hangs up when ctx ends.
func hold(ctx context.Context, c net.Conn) {
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	swallow(c)
	_ = c.Close()
}

// tactics are what hostile connections do.
func (a attacker) tactics() []func(ctx context.Context, i int) {
	hello := []byte{22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 0, 0, 0, 0, 0} // the beginning of a ClientHello of 512 bytes
	open := func(use func(c net.Conn)) func(context.Context, int) {
		return func(ctx context.Context, i int) {
			if c, err := a.dial(ctx, i); err == nil {
				use(c)
				hold(ctx, c)
			}
		}
	}
	secure := func(use func(c net.Conn, f *http2.Framer)) func(context.Context, int) {
		return func(ctx context.Context, i int) {
			if c, f, err := a.http2(ctx, i); err == nil {
				use(c, f)
				hold(ctx, c)
			}
		}
	}
	return []func(context.Context, int){
		// say nothing
		open(func(net.Conn) {}),
		// half of a TLS
		open(func(c net.Conn) { _, _ = c.Write(hello) }),
		// a byte at a time
		func(ctx context.Context, i int) {
			c, err := a.dial(ctx, i)
			if err != nil {
				return
			}
			go hold(ctx, c)
			for n := 0; ctx.Err() == nil; n++ {
				if _, err := c.Write(hello[n%len(hello) : n%len(hello)+1]); err != nil {
					return
				}
				time.Sleep(500 * time.Millisecond)
			}
		},
		// half of a frame
		secure(func(c net.Conn, _ *http2.Framer) {
			_, _ = c.Write([]byte{0, 0x20, 0, 1, 4, 0, 0, 0, 1, 0x82}) // 8 KiB of headers, one byte of them
		}),
		// an endless admission
		secure(func(_ net.Conn, f *http2.Framer) {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headersOf(rollcallv1.Agents_Enrol_FullMethodName), EndHeaders: true})
			_ = f.WriteData(1, false, []byte{0, 0, 0x40, 0, 0, 1}) // a message of 4 MiB, its first byte
		}),
		// do nothing after TLS
		secure(func(net.Conn, *http2.Framer) {}),
	}
}

func rapidReset(ctx context.Context, f *http2.Framer, method string, sent *atomic.Int64) {
	block := headersOf(method)
	for id := uint32(1); ctx.Err() == nil && id < 1<<30; id += 2 {
		if f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true}) != nil || f.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
			break
		}
		sent.Add(1)
	}
}

// continuations sends headers without an end.
func continuations(f *http2.Framer, sent *atomic.Int64) {
	block := headersOf(rollcallv1.Agents_Enrol_FullMethodName)
	if f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block}) != nil {
		return
	}
	more := headersOf("/", hpack.HeaderField{Name: "x", Value: string(make([]byte, 8000))})
	for range 10_000 {
		if f.WriteContinuation(1, false, more) != nil {
			return
		}
		sent.Add(1)
	}
}
