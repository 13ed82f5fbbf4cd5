package sitesummary

import (
	"bytes"
	"errors"
	"net/http"
	"net/netip"
	"testing"
)

// form is what sitesummary-upload sends.
func form(file []byte) []byte {
	const head = "--b\r\nContent-Disposition: form-data; name=\"sitesummary\"; filename=\"output.tar.gz\"\r\n" +
		"Content-Encoding: identity\r\nContent-Type: application/octet-stream\r\n\r\n"
	return append(append([]byte(head), file...), "\r\n--b--\r\n\r\n"...)
}

// FuzzForm reads any body as a form: it is an upload within its bounds, or refused as
// none.
func FuzzForm(f *testing.F) {
	f.Add("multipart/form-data; boundary=b", form(packed(f, file("./system/hostname", 4))))
	f.Add("multipart/form-data; boundary=b", []byte("--b\r\n\r\n--b--"))
	f.Add("multipart/form-data; boundary=\"\"", []byte(nil))
	f.Add("text/plain", []byte("hello"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		up, err := readForm(bytes.NewReader(body), contentType)
		if err != nil && !errors.Is(err, ErrUpload) {
			t.Error(err)
		}
		if len(up.Files) > maxFiles {
			t.Errorf("%d files", len(up.Files))
		}
	})
}

func TestWhoSendsIsToldByTheConnectionOrByAProxyOnThisMachine(t *testing.T) {
	tests := []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"a client", "10.0.16.21:4711", nil, "10.0.16.21"},
		{"a client that names another", "10.0.16.21:4711", []string{"10.0.2.2"}, "10.0.16.21"},
		{"a proxy on this machine", "127.0.0.1:4711", []string{"10.0.16.21"}, "10.0.16.21"},
		{"a proxy that was told more", "[::1]:4711", []string{"10.0.2.2, 10.0.16.21"}, "10.0.16.21"},
		{"two headers", "127.0.0.1:4711", []string{"10.0.2.2", "2001:db8::21"}, "2001:db8::21"},
		{"a proxy that names nobody", "127.0.0.1:4711", []string{"unknown"}, "127.0.0.1"},
		{"IPv4 in IPv6", "[::ffff:10.0.16.21]:4711", nil, "10.0.16.21"},
	}
	for _, tt := range tests {
		r := &http.Request{RemoteAddr: tt.peer, Header: http.Header{"X-Forwarded-For": tt.forwarded}}
		if got := sender(r); got != netip.MustParseAddr(tt.want) {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestConnectionsOfOneHostAreBounded(t *testing.T) {
	c := &crowd{hosts: map[string]int{}}
	for n := range connsHost {
		if !c.enter("10.0.16.21") {
			t.Fatalf("connection %d is refused", n+1)
		}
	}
	if c.enter("10.0.16.21") {
		t.Error("one host has more connections than it may")
	}
	for range conns - connsHost {
		if !c.enter("") {
			t.Fatal("loopback is bounded as a host is")
		}
	}
	if c.enter("10.0.16.22") {
		t.Error("there are more connections than there may be")
	}
	c.leave("10.0.16.21")
	if !c.enter("10.0.16.22") {
		t.Error("a connection that has ended still counts")
	}
}
