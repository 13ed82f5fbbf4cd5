package compare

import (
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/fact"
)

func parse(name, content string) document { return newWriter().parse(name, content) }

func textsOf(d document) []string {
	var out []string
	for _, it := range d.items {
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
		{"nsswitch", "etc/nsswitch.conf", "passwd:\tfiles ldap\n", []string{"passwd: files ldap"}},
		{"sections", "etc/idmapd.conf", "[General]\nDomain=x ; y\n; c\n[Map]\nDomain = z\n", []string{"[General]", "[General] Domain = x ; y", "[Map]", "[Map] Domain = z"}},
		{"realms in sections", "etc/krb5.conf", "[realms]\nINTERN = {\n kdc = a\n auth_to_local_names = {\n  x = y\n }\n}\nz = 1\n", []string{"[realms]", "[realms] INTERN", "[realms] INTERN > kdc = a", "[realms] INTERN > auth_to_local_names", "[realms] INTERN > auth_to_local_names > x = y", "[realms] z = 1"}},
		{"toml tables", "etc/x.toml", "[[peer]]\nname = \"a\"\n", []string{"[[peer]]", "[[peer]] name = a"}},
		{"samba", "etc/samba/smb.conf", "[Global]\n  Work Group = SKOLE\n", []string{"[global]", "[global] workgroup = SKOLE"}},
		{"fstab", "etc/fstab", "/dev/sda1 / ext4 rw,noatime 0 1\n#x\n", []string{"/: from /dev/sda1", "/: type ext4", "/: option rw", "/: option noatime", "/: dump 0", "/: pass 1"}},
		{"swap", "etc/fstab", "/dev/sda2 none swap sw 0 0\n", []string{"swap: from /dev/sda2", "swap: type swap", "swap: option sw", "swap: dump 0", "swap: pass 0"}},
		{"short rows are no fstab", "etc/fstab", "tmpfs /tmp\nx\n", []string{"tmpfs /tmp", "x"}},
		{"exports", "etc/exports", "/srv *.intern(rw,sync) @pcs # c\n", []string{"/srv to *.intern", "/srv to *.intern: option rw", "/srv to *.intern: option sync", "/srv to @pcs"}},
		{"cups", "etc/cups/cupsd.conf", "<Location /admin>\n Order allow\n</Location>\nOrder deny\n", []string{"<location /admin>", "<location /admin> > order allow", "order deny"}},
		{"default printer", "etc/cups/printers.conf", "<DefaultPrinter lab>\nInfo Lab\n</DefaultPrinter>\n", []string{"<DefaultPrinter lab>", "<printer lab>", "<printer lab> > info Lab"}},
		{"blocks in blocks", "etc/apache2/x.conf", "<IfModule a>\n<Directory /b>\nRequire all\n</Directory>\n</IfModule>\n", []string{"<ifmodule a>", "<ifmodule a> > <directory /b>", "<ifmodule a> > <directory /b> > require all"}},
		{"a block without end", "etc/apache2/x.conf", "<IfModule a>\nB c\n", []string{"<IfModule a>", "<IfModule a> > B c"}},
		{"brace blocks", "etc/logrotate.d/x", "/var/log/x {\n weekly\n}\ndaily\n", []string{"/var/log/x {", "/var/log/x > weekly", "daily"}},
		{"sshd", "etc/ssh/sshd_config", "X11Forwarding yes\nport=22\nMatch User a\n X11Forwarding no\nMatch all\nusedns no\n", []string{"x11forwarding yes", "port 22", "Match User a", "Match User a > x11forwarding no", "Match all", "usedns no"}},
		{"ssh hosts", "etc/ssh/ssh_config.d/x.conf", "Host *.intern\n  GSSAPIAuthentication yes\n", []string{"Host *.intern", "Host *.intern > gssapiauthentication yes"}},
		{"dhcpd", "etc/dhcp/dhcpd.conf", "# c\nauthoritative; default-lease-time 600;\nsubnet 10.0.0.0 netmask 255.0.0.0 {\n pool { range 10.0.0.1\n 10.0.0.9; }\n}\n", []string{"authoritative", "default-lease-time 600", "subnet 10.0.0.0 netmask 255.0.0.0", "subnet 10.0.0.0 netmask 255.0.0.0 > pool", "subnet 10.0.0.0 netmask 255.0.0.0 > pool > range 10.0.0.1 10.0.0.9"}},
		{"named", "etc/bind/named.conf.local", "// c\nzone \"a;b\" { /* d */\n type master; // e\n masters { 10.0.0.1; };\n};\n", []string{`zone "a;b"`, `zone "a;b" > type master`, `zone "a;b" > masters`, `zone "a;b" > masters > 10.0.0.1`}},
		{"apt.conf", "etc/apt/apt.conf.d/10x", "APT::Periodic { Enable \"1\"; };\nDPkg::Post-Invoke { \"a; b\"; };\n", []string{"apt::periodic", `apt::periodic::enable "1"`, "dpkg::post-invoke", `dpkg::post-invoke:: "a; b"`}},
		{"braces that do not match", "etc/bind/named.conf", "zone a {\nb;\n", []string{"zone a {", "zone a > b;"}},
		{"sources", "etc/apt/sources.list.d/debian.sources", "Types: deb\nURIs: http://d/debian\nSuites: bookworm\n bookworm-updates\n\nTypes: deb\nuris: http://s/\nSigned-By: /k\n", []string{"http://d/debian > types: deb", "http://d/debian > uris: http://d/debian", "http://d/debian > suites: bookworm", "http://d/debian > suites: bookworm-updates", "http://s/ > types: deb", "http://s/ > uris: http://s/", "http://s/ > signed-by: /k"}},
		{"ldif", "etc/ldap/x.ldif", "# c\ndn: cn=a,\n dc=b\nCN: a\nuserPassword:: eA==\n\ndn: cn=c\ncn: c\n", []string{"dn: cn=a,dc=b", "dn: cn=a,dc=b > cn: a", "dn: cn=a,dc=b > userpassword: : eA==", "dn: cn=c", "dn: cn=c > cn: c"}},
		{"sudoers", "etc/sudoers", "Defaults  env_reset # c\n%drift ALL = (ALL) NOPASSWD: /a, /b\n#includedir /etc/sudoers.d\n", []string{"Defaults env_reset", "%drift ALL=(ALL) NOPASSWD: /a,/b", "@includedir /etc/sudoers.d"}},
		{"crontab", "etc/cron.d/x", "# c\nMAILTO=root\n1 2 * * * root  a # b\n", []string{"MAILTO = root", "1 2 * * * root a # b"}},
		{"udev", "etc/udev/rules.d/1.rules", "SUBSYSTEM==\"net\", NAME=\"a\"\n", []string{`SUBSYSTEM=="net", NAME="a"`}},
		{"drop-in", "etc/systemd/system/a.service.d/b.conf", "[Service]\nExecStart=\nExecStart=/c\n", []string{"[Service]", "[Service] ExecStart = ", "[Service] ExecStart = /c"}},
		{"xml", "etc/fonts/x.xml", "<?xml version='1.0'?>\n<!-- a\n b --><a>\n   <b z='1' y=\"2 > 1\"/>\n<c>t<![CDATA[<u>]]></c><d></d></a>", []string{`a > b y="2 > 1" z="1"`, "a > c = t", "a > c = <u>", "a > d"}},
		{"xml with its own entities", "etc/x.xml", "<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/shadow\">]><a>&b;</a>", []string{`<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/shadow">]>`, "a = &b;"}},
		{"xml that does not close", "etc/x.xml", "<a>\n<b>\n</a>\n<b>", []string{"<a>", "<a> > <b>", "<a> > <b> (time 2)"}},
		{"json", "etc/firefox/policies.json", `{"a": {"b": 1.0, "c d": [true, "x", {"e": null}]}, "f": [], "g": {}}`, []string{"a.b = 1.0", `a."c d"[] = true`, `a."c d"[] = "x"`, `a."c d"[2].e = null`, "f = []", "g = {}"}},
		{"json with comments", "etc/kea/kea.jsonc", "// c\n{\n  \"a\": \"x // y\", /* d */\n  \"b\": [1, 2,],\n}\n", []string{`a = "x // y"`, "b[] = 1", "b[] = 2"}},
		{"json that is none", "etc/x.json", "{\"a\": }\n{\"a\": }\n", []string{`{"a": }`, `{"a": } (time 2)`}},
		{"yaml", "etc/netplan/x.yaml", "# c\nnetwork:\n  version: 2\n  ethernets:\n    eth0:\n      addresses: [10.0.0.1/24, 10.0.0.2/24]\n      routes:\n      - to: default\n        via: 10.0.0.254 # d\n      - to: 10.1.0.0/16\n    eth1: {dhcp4: true,\n      optional: true}\n", []string{"network.version = 2", "network.ethernets.eth0.addresses[] = 10.0.0.1/24", "network.ethernets.eth0.addresses[] = 10.0.0.2/24", "network.ethernets.eth0.routes[0].to = default", "network.ethernets.eth0.routes[0].via = 10.0.0.254", "network.ethernets.eth0.routes[1].to = 10.1.0.0/16", "network.ethernets.eth1 = {dhcp4: true, optional: true}"}},
		{"salt", "etc/salt/minion", "master: salt\nfile_roots:\n  base:\n    - /srv/a\n    - \"/srv/b\"\nempty:\ntext: |\n  a\n   b: c\nid: x\n", []string{"master = salt", "file_roots.base[] = /srv/a", "file_roots.base[] = /srv/b", "empty =", "text = | a ⏎ b: c", "id = x"}},
		{"yaml of several parts", "etc/x.yml", "---\na: 1\n---\n'b c': 2\n- x\n", []string{"a = 1", `document 1."b c" = 2`, "document 1[] = x"}},
		{"yaml that makes types", "etc/x.yml", "a: !!python/object x\nb: *c\n", []string{"a: !!python/object x", "b: *c"}},
		{"cifs share is no comment", "etc/auto.x", "//server/share\n", []string{"//server/share"}},
		{"script", "etc/init.d/x", "#!/bin/sh\nf() {\n a\n}\ng() {\n}\n", []string{"f() {", "a", "}", "g() {", "} (time 2)"}},
		{"said twice", "etc/x", "a\n  a\n", []string{"a", "a (time 2)"}},
		{"said twice where that means nothing", "etc/ssh/sshd_config", "a b\nA b\n", []string{"a b"}},
		{"dos line ends", "etc/x", "a\r\nb\r\n", []string{"a", "b"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := textsOf(parse(tt.path, tt.content)); !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
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
		{"etc/a.json", "{\"a\": 1,\n\"b\": [1, {}]}", "{\"b\": [1, {} ],\n  \"a\": 1}"},
		{"etc/ssh/sshd_config", "UseDNS no\nPort 22\n", "usedns  no # c\nport=22\n"},
		{"etc/cups/cupsd.conf", "<Policy a>\nJobPrivateAccess default\n</Policy>\nBrowsing On\n", "browsing On\n<policy a>\n  jobprivateaccess default\n</policy>\n"},
		{"etc/x.xml", "<a><b c='1' d='2'>x</b></a>", "<!-- n --><a>\n <b d=\"2\"\n  c=\"1\"> x </b>\n</a>\n"},
		{"etc/x.yaml", "a:\n  b: 1\n  c: [x, y]\n", "a:\n    c:\n    - x\n    - 'y'\n    # n\n    b: \"1\"\n"},
		{"etc/bind/named.conf.options", "options { recursion yes; forwarders { 10.0.0.1; }; };", "options {\n\tforwarders {\n\t10.0.0.1;\n};\n\trecursion yes; // c\n};\n"},
		{"etc/apt/apt.conf.d/x", "APT { Install-Recommends \"0\"; };", "apt {};\nAPT::install-recommends \"0\";"},
		{"etc/apt/sources.list.d/a.sources", "Types: deb\nURIs: http://d\nSuites: a b\n", "URIs: http://d\nsuites: b a\ntypes:  deb\n# c\n"},
		{"etc/exports", "/srv a(rw,sync) b(ro)\n", "# c\n/srv  b(ro)\ta(sync,rw)\n"},
	}
	for _, tt := range tests {
		a, b := textsOf(parse(tt.path, tt.a)), textsOf(parse(tt.path, tt.b))
		slices.Sort(a)
		slices.Sort(b)
		if !slices.Equal(a, b) {
			t.Errorf("%s:\n%q and\n%q differ", tt.path, a, b)
		}
	}
}

// TestOrderCountsWhereItMeansSomething compares the masked items, where the order
// of lines is one.
func TestOrderCountsWhereItMeansSomething(t *testing.T) {
	r := &reader{common: &masker{}}
	items := func(path, content string) []item {
		return slices.SortedFunc(slices.Values(r.common.masked(parse(path, content))), func(a, b item) int { return strings.Compare(a.text, b.text) })
	}
	for _, tt := range []struct {
		path, a, b string
		matters    bool
	}{
		{"etc/pam.d/x", "auth a.so\nauth b.so\n", "auth b.so\nauth a.so\n", true},
		{"etc/default/x", "auth a.so\nauth b.so\n", "auth b.so\nauth a.so\n", false},
		{"etc/ssh/sshd_config", "Port 22\nPort 23\n", "Port 23\nPort 22\n", true},
		{"etc/systemd/a.conf", "[a]\nx=1\ny=2\nx=\n", "[a]\nx=\nx=1\ny=2\n", true},
		{"etc/systemd/a.conf", "[a]\nx=1\ny=2\n", "[a]\ny=2\nx=1\n", false},
		{"etc/x.json", "[1, 2]", "[2, 1]", true},
		{"etc/x.json", `{"a": 1, "b": 2}`, `{"b": 2, "a": 1}`, false},
		{"etc/x.yaml", "- a\n- b\n", "- b\n- a\n", true},
		{"etc/x.xml", "<a><b/><c/></a>", "<a><c/><b/></a>", true},
		{"etc/init.d/x", "#!/bin/sh\na\nb\n", "#!/bin/sh\nb\na\n", true},
		{"etc/init.d/x", "#!/bin/sh\na\nb\na\n", "#!/bin/sh\na\nb\n", true},
		{"etc/x.json", "{\na\na\n", "{\na\n", true},
		{"etc/pam.d/x", "# written 1700000001\nauth a.so 1700000002\nauth b.so\n", "auth a.so 1700000003\nauth b.so\n", false},
	} {
		a, b := items(tt.path, tt.a), items(tt.path, tt.b)
		a = slices.DeleteFunc(a, func(it item) bool { return it.raw })
		b = slices.DeleteFunc(b, func(it item) bool { return it.raw })
		if slices.Equal(a, b) == tt.matters {
			t.Errorf("%s: %q and %q: matters is not %v", tt.path, tt.a, tt.b, tt.matters)
		}
	}
}

// TestHostileFilesTakeNoTime reads what makes a careless reader slow: deep, long
// and endless things as large as a file may be.
func TestHostileFilesTakeNoTime(t *testing.T) {
	n := maxContent / 2
	fill := func(s string) string { return strings.Repeat(s, n/len(s)) }
	contents := []string{
		fill("["), fill("{\"a\":"), fill("<a>"), fill("<a b='"), fill("a {\n"), fill("a: [\n"), fill("- "), fill("a:\n "), fill("[\n\""), fill("\\\n"), fill("a:\n x\n"), fill(" x\n"), "a: b\n" + fill(" x\n"),
		fill("<A>\n"), fill("/*"), fill("//\n"), fill(","), fill("[a]\nb = {\n"), fill("x\n"), fill("a=b,c = d,"), fill("\""), fill("\"\n"), fill("'"), strings.Repeat("a", n), fill("<!--"), fill("<![CDATA["), fill("<!["), fill("{ "), fill("[ { "), fill("} "),
	}
	paths := []string{"etc/x"}
	for _, f := range formats {
		paths = append(paths, strings.Replace(f.paths[0], "*", "etc/x", 1))
	}
	start := time.Now()
	for _, p := range paths {
		for _, c := range contents {
			began := time.Now()
			parse(p, c)
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("%s: %q… takes %v", p, c[:10], took)
			}
		}
	}
	t.Logf("%d files in %v", len(paths)*len(contents), time.Since(start))
}

// TestFilesThatDoNotParseLoseNothing breaks a file of each syntax: every line of
// it is still told apart.
func TestFilesThatDoNotParseLoseNothing(t *testing.T) {
	for path, broken := range map[string]string{
		"etc/x.json": "{\"a\": 1,,\n%s\n}", "etc/x.xml": "<a>\n%s\n</b>", "etc/x.yaml": "a: &x\n%s\n", "etc/dhcp/dhcpd.conf": "a {\n%s\n",
		"etc/apt/apt.conf.d/x": "a {\n%s\n", "etc/cups/cupsd.conf": "<a>\n%s\n", "etc/apache2/x": "<a>\n%s\n", "etc/fstab": "a\n%s\n", "etc/a.sources": "a\n%s\n", "etc/a.ldif": "a\n%s\n",
	} {
		one := textsOf(parse(path, strings.Replace(broken, "%s", "same\nsame\nthis", 1)))
		for _, other := range []string{"same\nsame\nthat", "same\nthis", "same\nsame\nsame\nthis"} {
			if two := textsOf(parse(path, strings.Replace(broken, "%s", other, 1))); slices.Equal(one, two) {
				t.Errorf("%s: with %q it says the same: %q", path, other, two)
			}
		}
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
	})}, domainMasker("elm.intern"))
	for line, want := range map[string]string{
		"127.0.1.1 pc07.elm.intern pc07":                     "127.0.1.1 <fqdn> <host>",
		"ldap://tjener.elm.intern/dc=elm,dc=intern":          "ldap://tjener.<domain>/<base>",
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
	paths := []string{"etc/fstab", "etc/x.json", "etc/x.xml", "etc/x.conf", "etc/ssh/sshd_config", "etc/pam.d/x", "etc/apt/apt.conf", "etc/init.d/x", "etc/x.yaml", "etc/dhcp/dhcpd.conf", "etc/cups/x", "etc/x.sources", "etc/x.ldif", "etc/sudoers", "etc/samba/smb.conf", "etc/exports", "etc/crontab"}
	for i, s := range []string{
		"a b c d,e 0 1", "{\"a\": 1}", "<?xml?><!-- <a>", "[a]\nb=c\n", "Match a\nb\n", "<a>\n<b>\n</b>", "a {\n}\n}", "#!/bin/sh\n\\\n\\\n\x00\xff\r", "a:\n- b: 'c'\n  d: [e, f]\n- |\n g\n",
		"a { b \"c\"; /* d */ };", "<DefaultPrinter a>\nB c\n</DefaultPrinter>", "Types: deb\nURIs: a\n", "dn: a\n b\nc:: d\n", "#include a\nb = c, d\n", "[a]\nB c = {\nd = e\n}\n", "/a b(c,d)\n", "* * * # a\n", "-----BEGIN X-----\n",
	} {
		f.Add(i, s)
	}
	m := newMasker(Machine{Name: "pc07"}, &masker{})
	f.Fuzz(func(t *testing.T, i int, content string) {
		if len(content) > 1<<16 {
			return
		}
		path := paths[(i%len(paths)+len(paths))%len(paths)]
		doc := parse(path, content)
		used := newWriter() // by another file before
		used.parse(paths[0], "a b\nc d\na b\n"+content)
		again := used.parse(path, content)
		if !slices.Equal(doc.items, again.items) || !slices.EqualFunc(doc.orders, again.orders, slices.Equal[[]int32]) {
			t.Fatal("two readings differ")
		}
		for _, order := range doc.orders {
			if int(slices.Max(order)) >= len(doc.items) || slices.Min(order) < 0 {
				t.Fatalf("order %v of %d items", order, len(doc.items))
			}
		}
		seen := map[string]bool{}
		for _, it := range doc.items {
			if seen[it.text] || len(it.text) > maxItem+64 || len(it.shown) > maxItem+64 || strings.ContainsAny(it.text, "\n") {
				t.Fatalf("item %q is repeated, too long or more than a line", it.text)
			}
			seen[it.text] = true
			if once := m.mask(it.text); m.mask(once) != once {
				t.Fatalf("mask(%q) = %q, and again %q", it.text, once, m.mask(once))
			}
		}
	})
}
