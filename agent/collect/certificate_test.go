package collect

import (
	"encoding/pem"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// testCertificate is that of the recorded server.
func testCertificate(t testing.TB) []byte {
	t.Helper()
	a, err := txtar.ParseFile("testdata/tjener.txtar")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == "etc/ssl/certs/debian-edu-server.crt" })
	return a.Files[i].Data
}

func TestFirstCertificateOfAFileIsTold(t *testing.T) {
	const key = "-----BEGIN PRIVATE KEY-----\nMC4CAQ==\n-----END PRIVATE KEY-----\n"
	text := testCertificate(t)
	block, _ := pem.Decode(text)
	for _, tt := range []struct {
		name, content string
		found         bool
	}{
		{"PEM", string(text), true},
		{"DER", string(block.Bytes), true},
		{"a chain", string(text) + string(text), true},
		{"its key before it", key + string(text), true},
		{"words before it", "subject= /CN=x\n" + string(text), true},
		{"a key alone", key, false},
		{"nothing", "", false},
		{"half of one", string(text[:400]), false},
		{"a bundle of authorities", strings.Repeat(string(text), 200), false},
	} {
		got := collected(t, certificates(), tree(map[string]string{"etc/ssl/certs/x.pem": tt.content}))
		if expires := got["cert/%2Fetc%2Fssl%2Fcerts%2Fx.pem/expires"]; (expires == "2027-12-30") != tt.found {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestRenewedCertificateIsNoticed(t *testing.T) {
	root := recorded(t, "testdata/tjener.txtar")
	h := Host{FS: root, Now: memHost(nil).Now, Cache: &Cache{}}
	look := func() map[string]string {
		m := map[string]string{}
		for _, f := range Run(t.Context(), h, []Collector{certificates()}).Facts {
			m[f.Path] = f.Value
		}
		return m
	}
	first := look()
	if again := look(); !maps.Equal(first, again) || len(first) == 0 {
		t.Errorf("idle: %v, then %v", first, again)
	}
	write(t, root, "etc/ssl/certs/debian-edu-server.crt", "renewing")
	for path := range look() {
		if strings.Contains(path, "debian-edu") {
			t.Errorf("%s is still there", path)
		}
	}
}

func FuzzCertificates(f *testing.F) {
	f.Add(testCertificate(f))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		put(t, func(s *Sink) error {
			if c := firstCertificate(b); c != nil {
				certificateFacts(s, "/x", c)
			}
			return nil
		})
	})
}
