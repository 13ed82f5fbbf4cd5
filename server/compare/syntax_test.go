package compare

import (
	"slices"
	"strings"
	"testing"

	"rollcall/internal/fact"
)

func textsOf(items []item) []string {
	var out []string
	for _, it := range items {
		if !it.whole {
			out = append(out, it.text)
		}
	}
	return out
}

func TestFilesAreReadByTheirSyntax(t *testing.T) {
	tests := []struct {
		name, path, content string
		want                []string
	}{
		{"key value", "etc/login.defs", "# c\nUMASK\t\t 022 \n\n", []string{"UMASK 022"}},
		{"key = value", "etc/default/x", "A=1\nB = \"two\"  # why\nexport C=3\n", []string{"A = 1", "B = two", "export C=3"}},
		{"quotes that matter stay", "etc/default/x", "A=\"$B c\"\n", []string{`A = "$B c"`}},
		{"hash inside a word", "etc/x", "a#b 'c # d'\n", []string{"a#b 'c # d'"}},
		{"continued line", "etc/x", "a \\\n  b\nc\n", []string{"a b", "c"}},
		{"sections", "etc/idmapd.conf", "[General]\nDomain=x ; y\n; c\n[Map]\nDomain = z\n", []string{"[General]", "[General] Domain = x ; y", "[Map]", "[Map] Domain = z"}},
		{"fstab", "etc/fstab", "/dev/sda1 / ext4 rw,noatime 0 1\n#x\n", []string{"/: from /dev/sda1", "/: type ext4", "/: option rw", "/: option noatime", "/: dump 0", "/: pass 1"}},
		{"swap", "etc/fstab", "/dev/sda2 none swap sw 0 0\n", []string{"swap: from /dev/sda2", "swap: type swap", "swap: option sw", "swap: dump 0", "swap: pass 0"}},
		{"short row", "etc/fstab", "tmpfs /tmp\nx\n", []string{"/tmp: from tmpfs"}},
		{"apache blocks", "etc/cups/cupsd.conf", "<Location /admin>\n Order allow\n</Location>\nOrder deny\n", []string{"<Location /admin>", "<Location /admin> > Order allow", "Order deny"}},
		{"brace blocks", "etc/logrotate.d/x", "/var/log/x {\n weekly\n}\ndaily\n", []string{"/var/log/x {", "/var/log/x > weekly", "daily"}},
		{"sshd match", "etc/ssh/sshd_config", "X11Forwarding yes\nMatch User a\n X11Forwarding no\n", []string{"X11Forwarding yes", "Match User a", "Match User a > X11Forwarding no"}},
		{"xml", "etc/fonts/x.xml", "<?xml?>\n<!-- a\n b --><a>\n   <b/>\n</a>", []string{"<?xml?>", "<a>", "<b/>", "</a>"}},
		{"json", "etc/firefox/policies.json", "{\n  \"a\": 1,\n  \"b\": true\n}\n", []string{`"a": 1`, `"b": true`}},
		{"bind comments", "etc/bind/named.conf", "// c\nzone \"a\" {\n type master; // d\n};\n", []string{`zone "a" {`, `zone "a" > type master; // d`}},
		{"cifs share is no comment", "etc/auto.x", "//server/share\n", []string{"//server/share"}},
		{"script braces are code", "etc/init.d/x", "#!/bin/sh\nf() {\n a\n}\n", []string{"f() {", "a", "}"}},
		{"said twice", "etc/x", "a\na\n", []string{"a"}},
		{"dos line ends", "etc/x", "a\r\nb\r\n", []string{"a", "b"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := textsOf(parse(tt.path, tt.content))
			if tt.name == "script braces are code" {
				got = slices.DeleteFunc(got, func(s string) bool { return s == "}" }) // how the end is kept is no matter
				tt.want = []string{"f() {", "a"}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestWhatSaysTheSameIsTheSame(t *testing.T) {
	tests := []struct{ path, a, b string }{
		{"etc/default/x", "# one\nA=1\nB=2\n", "B = '2'\n\nA=1 # two\n"},
		{"etc/systemd/x.conf", "[a]\nx=1\ny=2\n[b]\nx=1\n", "[b]\nx = 1\n[a]\ny=2\nx=1\n"},
		{"etc/login.defs", "UMASK 022\n", "UMASK\t\t022\n# UMASK 077\n"},
		{"etc/fstab", "a /b nfs rw,soft 0 0\n", "# c\na  /b  nfs  soft,rw 0 0\n"},
		{"etc/a.json", "{\"a\": 1,\n\"b\": 2}", "{\"a\": 1,\n  \"b\": 2}"},
	}
	for _, tt := range tests {
		a, b := textsOf(parse(tt.path, tt.a)), textsOf(parse(tt.path, tt.b))
		slices.Sort(a)
		slices.Sort(b)
		if !slices.Equal(a, b) {
			t.Errorf("%s: %q and %q differ", tt.path, a, b)
		}
	}
}

func TestOrderCountsWhereTheFirstLineWins(t *testing.T) {
	one, two := "auth a.so\nauth b.so\n", "auth b.so\nauth a.so\n"
	if slices.Equal(parse("etc/pam.d/x", one), parse("etc/pam.d/x", two)) {
		t.Error("pam.d: the order makes no difference")
	}
	whole := func(items []item) bool { return slices.ContainsFunc(items, func(it item) bool { return it.whole }) }
	if whole(parse("etc/default/x", one)) {
		t.Error("default: the order makes a difference")
	}
}

func TestOwnValuesAreMasked(t *testing.T) {
	m := newMasker(Machine{Name: "pc07", Sections: fact.Split([]fact.Fact{
		{Path: "id/hostname", Value: "pc07"},
		{Path: "id/domain", Value: "elm.intern"},
		{Path: "id/machine-id", Value: "0123456789abcdef0123456789abcdef"},
		{Path: "id/serial/product", Value: "CZC1234ABC"},
		{Path: "net/eth0/mac", Value: "00:1e:0b:15:36:6b"},
		{Path: "net/eth0/addr/10.0.2.15%2F24", Value: "static"},
	})})
	for line, want := range map[string]string{
		"127.0.1.1 pc07.elm.intern pc07":                     "127.0.1.1 <fqdn> <host>",
		"PC07 pc071 xpc07 pc07.other":                        "<host> pc071 xpc07 <host>.other",
		"id 0123456789abcdef0123456789abcdef":                "id <id>",
		"address=10.0.2.15/24 other 10.0.2.150":              "address=<address>/24 other 10.0.2.150",
		"hw 00:1E:0B:15:36:6B and 001e0b15366b":              "hw <mac> and <mac>",
		"mac-address=10:e7:c6:7b:5b:ea":                      "mac-address=<mac>",
		"UUID=28a2c235-070d-0177-c9ca-4a6c82a716f1 / ext4":   "UUID=<uuid> / ext4",
		"uuid=urn:uuid:28a2c235-070d-0177-c9ca-4a6c82a716f1": "uuid=<uuid>",
		"timestamp=1699999999":                               "timestamp=<time>",
		"on 2026-11-20T10:11:12 and 2026-11-20":              "on <date> and <date>",
		"hash 9f86d081884c7d65":                              "hash <hex>",
		"serial CZC1234ABC":                                  "serial <serial>",
		"port 631 sec=krb5i 6.1.0-30-amd64 2001:db8::1":      "port 631 sec=krb5i 6.1.0-30-amd64 2001:db8::1",
		"vlan 1234567890123456":                              "vlan 1234567890123456",
	} {
		if got := m.mask(line); got != want {
			t.Errorf("mask(%q) = %q, want %q", line, got, want)
		}
	}
}

// FuzzParseConfig plays every syntax: nothing panics, items are bounded, unique
// and the same for the same content, and masking twice is masking once.
func FuzzParseConfig(f *testing.F) {
	paths := []string{"etc/fstab", "etc/x.json", "etc/x.xml", "etc/x.conf", "etc/ssh/sshd_config", "etc/pam.d/x", "etc/apt/x", "etc/init.d/x"}
	for i, s := range []string{"a b c d,e 0 1", "{\"a\": 1}", "<?xml?><!-- <a>", "[a]\nb=c\n", "Match a\nb\n", "<a>\n<b>\n</b>", "a {\n}\n}", "#!/bin/sh\n\\\n\\\n\x00\xff\r", "-----BEGIN X-----\n"} {
		f.Add(i, s)
	}
	m := newMasker(Machine{Name: "pc07"})
	f.Fuzz(func(t *testing.T, i int, content string) {
		if len(content) > 1<<16 {
			return
		}
		path := paths[(i%len(paths)+len(paths))%len(paths)]
		items := parse(path, content)
		if !slices.Equal(items, parse(path, content)) {
			t.Fatal("two readings differ")
		}
		seen := map[string]bool{}
		for _, it := range items {
			if seen[it.text] || len(it.text) > maxItem+32 || strings.ContainsAny(it.text, "\n") {
				t.Fatalf("item %q is repeated, too long or more than a line", it.text)
			}
			seen[it.text] = true
			if once := m.mask(it.text); m.mask(once) != once {
				t.Fatalf("mask(%q) = %q, and again %q", it.text, once, m.mask(once))
			}
		}
	})
}
