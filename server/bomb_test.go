package server

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"testing"
	"time"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// message is the head of a gRPC message (length-prefixed, flag: compressed) and what
// of it is sent.
func message(compressed bool, size uint32, data []byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte{0}, size)
	if compressed {
		b[0] = 1
	}
	return append(b, data...)
}

// zeroes is the gzip of n MiB of zeros.
func zeroes(t *testing.T, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for range n {
		if _, err := z.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Whatever an enrolled key or a stranger sends, a message is refused by its length,
// and nothing that is compressed is ever unpacked before its signature was verified.
// What a signed report unpacks to is tested in package ingest.
func TestClass08UnboundedBodyOfACallIsRefusedInLittleMemory(t *testing.T) {
	r, child := startChild(t)
	insider := r.machine(1)
	insider.report(t, true)
	bomb := zeroes(t, 512)
	before, _ := memory(t, child.Process.Pid)
	for caller, key := range map[string]identity.Key{"a stranger": mustKey(t), "an enrolled key": insider.Key} {
		for what, tt := range map[string]struct {
			method string
			encode string
			data   []byte
		}{
			"a message of 1 GiB":       {rollcallv1.Agents_Submit_FullMethodName, "", message(false, 1<<30, make([]byte, 60_000))},
			"an admission of 1 GiB":    {rollcallv1.Agents_Enrol_FullMethodName, "", message(false, 1<<30, make([]byte, 60_000))},
			"a gzip of 512 MiB":        {rollcallv1.Agents_Submit_FullMethodName, "gzip", message(true, uint32(len(bomb)), bomb)},
			"an admission, compressed": {rollcallv1.Agents_Enrol_FullMethodName, "gzip", message(true, uint32(len(bomb)), bomb)},
		} {
			pin, err := identity.PinOf(identity.Public(r.srv.key))
			if err != nil {
				t.Fatal(err)
			}
			a := attacker{Addr: r.addr, Pin: pin, From: "127.0.0.1", Key: key}
			c, f, err := a.http2(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			if code := callRaw(f, tt.method, tt.encode, tt.data); code == "0" || code == "" {
				t.Errorf("%s from %s: status %q, want a refusal", what, caller, code)
			}
			_ = c.Close()
		}
	}
	now, most := memory(t, child.Process.Pid)
	t.Logf("server %d MiB, %d before, %d at most", now>>20, before>>20, most>>20)
	if !raced && most-before > 32<<20 {
		t.Errorf("the server grew by %d MiB, at most 32 are allowed", (most-before)>>20)
	}
	insider.Upgrade(1, 1)
	insider.report(t, false)
}

// callRaw makes one call of frames and returns the status of gRPC, "reset" if the
// server took the stream back.
func callRaw(f *http2.Framer, method, encoding string, data []byte) (code string) {
	var more []hpack.HeaderField
	if encoding != "" {
		more = append(more, hpack.HeaderField{Name: "grpc-encoding", Value: encoding})
	}
	if f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headersOf(method, more...), EndHeaders: true}) != nil {
		return ""
	}
	for len(data) > 0 {
		n := min(len(data), 16<<10)
		if f.WriteData(1, n == len(data), data[:n]) != nil {
			break
		}
		data = data[n:]
	}
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		fr, err := f.ReadFrame()
		if err != nil {
			return code
		}
		switch fr := fr.(type) {
		case *http2.MetaHeadersFrame:
			for _, h := range fr.RegularFields() {
				if h.Name == "grpc-status" {
					code = h.Value
				}
			}
			if fr.StreamEnded() {
				return code
			}
		case *http2.RSTStreamFrame:
			return "reset"
		case *http2.GoAwayFrame:
			return "reset"
		}
	}
}
