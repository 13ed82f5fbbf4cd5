package compare_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"rollcall/internal/fact"
	"rollcall/server/compare"
)

// room is a class of equal machines that tests then make different: the first
// ones are broken.
type room struct {
	broken   int
	names    []string
	sites    []string
	facts    []map[string]string
	contents map[fact.Digest][]byte
	read     map[fact.Digest]int
}

func newRoom(broken, working int) *room {
	r := &room{broken: broken, contents: map[fact.Digest][]byte{}, read: map[fact.Digest]int{}}
	for i := range broken + working {
		name := fmt.Sprintf("pc%02d", i)
		r.names = append(r.names, name)
		r.sites = append(r.sites, "elm/north")
		r.facts = append(r.facts, map[string]string{
			"id/hostname": name, "id/machine-id": fmt.Sprintf("%032x", i+1), "os/kernel": "6.1.0-30-amd64", "os/kernels/6.1.0-30-amd64": "installed",
			"pkg/cups/version": "2.4.2-3+deb12u8", "pkg/cups-client/version": "2.4.2-3+deb12u8", "pkg/cups-client/source": "cups",
			"pkg/nano/version": "7.2-1", "hw/system/product": "OptiPlex", "module/ext4": "loaded", "net/eth0/mac": fmt.Sprintf("00:1e:0b:00:00:%02x", i),
		})
		r.file(i, "etc/hosts", "127.0.0.1 localhost\n127.0.1.1 "+name+".intern "+name+"\n")
	}
	return r
}

// file gives a machine a config file.
func (r *room) file(i int, path, content string) {
	d := fact.Digest(sha256.Sum256([]byte(content)))
	r.contents[d] = []byte(content)
	r.facts[i][path] = fact.File{Kind: fact.KindPlain, Digest: d, Mode: 0o644, Owner: "root", Group: "root"}.String()
}

// each calls f with the number of every machine and whether it is broken.
func (r *room) each(f func(i int, broken bool)) *room {
	for i := range r.names {
		f(i, i < r.broken)
	}
	return r
}

func (r *room) groups() compare.Groups {
	g := compare.Groups{Contents: func(d fact.Digest) ([]byte, error) {
		r.read[d]++
		return r.contents[d], nil
	}}
	for i, name := range r.names {
		var facts []fact.Fact
		for path, value := range r.facts[i] {
			facts = append(facts, fact.Fact{Path: path, Value: value})
		}
		m := compare.Machine{ID: name, Name: name, Site: r.sites[i], Sections: fact.Split(facts)}
		if i < r.broken {
			g.Broken = append(g.Broken, m)
		} else {
			g.Working = append(g.Working, m)
		}
	}
	return g
}

func (r *room) compare(t *testing.T) compare.Result {
	t.Helper()
	res, err := compare.Compare(t.Context(), r.groups())
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// TestCauseIsFirstAndInWords holds one case for each kind of cause.
func TestCauseIsFirstAndInWords(t *testing.T) {
	set := func(path, broken, working string) func(*room) {
		return func(r *room) {
			r.each(func(i int, b bool) {
				v := working
				if b {
					v = broken
				}
				if delete(r.facts[i], path); v != "" {
					r.facts[i][path] = v
				}
			})
		}
	}
	file := func(path, broken, working string) func(*room) {
		return func(r *room) {
			r.each(func(i int, b bool) {
				text := strings.ReplaceAll(working, "NAME", r.names[i])
				if b {
					text = strings.ReplaceAll(broken, "NAME", r.names[i])
				}
				r.file(i, path, text)
			})
		}
	}
	attr := func(f fact.File) string {
		f.Kind, f.Digest = fact.KindPlain, fact.Digest(sha256.Sum256([]byte("same")))
		return f.String()
	}
	tests := []struct {
		name     string
		break_   func(*room)
		what, id string
	}{
		{"older version", set("pkg/cups/version", "2.4.2-3+deb12u5", "2.4.2-3+deb12u8"), "cups 2.4.2-3+deb12u5 or older", "pkg:cups"},
		{"version in dpkg's order", set("pkg/cups/version", "2.4.2-3+deb12u9", "2.4.2-3+deb12u10"), "cups 2.4.2-3+deb12u9 or older", "src:cups"},
		{"package missing", set("pkg/nano/version", "", "7.2-1"), "nano not installed", "pkg:nano"},
		{"package too much", set("pkg/resolvconf/version", "1.91", ""), "resolvconf installed (1.91)", "pkg:resolvconf"},
		{"package state", set("pkg/nano/state", "install ok half-configured", ""), "nano in dpkg state `install ok half-configured`", "pkg:nano"},
		{"held package", set("pkg/nano/state", "hold ok installed", ""), "nano in dpkg state `hold ok installed`", "pkg:nano"},
		{"kernel not rebooted into", set("os/kernels/6.1.0-31-amd64", "installed", ""), "running kernel older than the newest installed one", "kernel:running"},
		{"kernel version", set("os/kernel", "6.1.0-28-amd64", "6.1.0-30-amd64"), "running kernel", "kernel:running"},
		{"line changed", file("etc/ssh/sshd_config", "# a\nUseDNS yes\nPort 22\n", "Port  22\nUseDNS no # b\n"), "line `UseDNS yes` in /etc/ssh/sshd_config instead of `UseDNS no`", "file:etc/ssh/sshd_config"},
		{"line missing", file("etc/sudoers.d/help", "a ALL\n", "a ALL\n%help ALL\n"), "no line `%help ALL` in /etc/sudoers.d/help", "file:etc/sudoers.d/help"},
		{"key in its section", file("etc/x.conf", "[a]\nk=1\n[b]\nk = 2\n", "[a]\nk=2\n[b]\nk=1\n"), "line `[a] k = 1` in /etc/x.conf instead of `[a] k = 2`", "file:etc/x.conf"},
		{"mount option", file("etc/fstab", "srv:/h /h nfs4 rw,sec=sys 0 0\nUUID=NAME / ext4 rw 0 1", "srv:/h /h nfs4 sec=krb5,rw 0 0\nUUID=NAME / ext4 rw 0 1"), "line `/h: option sec=sys` in /etc/fstab", "file:etc/fstab"},
		{"file missing", set("etc/krb5.conf", "", attr(fact.File{Mode: 0o644, Owner: "root", Group: "root"})), "/etc/krb5.conf is missing", "file:etc/krb5.conf"},
		{"mode", set("etc/nslcd.conf", attr(fact.File{Mode: 0o600, Owner: "root", Group: "nslcd"}), attr(fact.File{Mode: 0o640, Owner: "root", Group: "nslcd"})), "/etc/nslcd.conf has mode 0600", "file:etc/nslcd.conf"},
		{"owner", set("etc/nslcd.conf", attr(fact.File{Mode: 0o640, Owner: "kari", Group: "nslcd"}), attr(fact.File{Mode: 0o640, Owner: "root", Group: "nslcd"})), "/etc/nslcd.conf has owner kari", "file:etc/nslcd.conf"},
		{"folder instead of a file", set("etc/x", "dir 0755 root:root", attr(fact.File{Mode: 0o644, Owner: "root", Group: "root"})), "/etc/x is a folder", "file:etc/x"},
		{"maker of a card", set("net/eth1/mac", "00:25:b3:00:00:01", "00:1c:23:00:00:01"), "network card with MAC 00:25:b3:…", "hw:mac-oui:00:25:b3"},
		{"driver", set("net/eth1/driver", "r8169", "r8168"), "driver r8169 in use", "hw:driver:r8169"},
		{"waits for a reboot", set("os/reboot-needed", "yes: kernel 6.1.0-31-amd64 is installed", "no"), "waits for a reboot", "kernel:running"},
		{"removed with its configuration left", set("pkg/apache2/state", "deinstall ok config-files", ""), "apache2 removed, its configuration left behind", "pkg:apache2"},
		{"keyword whatever its case", file("etc/ssh/sshd_config", "usedns YES\n", "UseDNS no\n"), "line `usedns YES` in /etc/ssh/sshd_config instead of `UseDNS no`", "file:etc/ssh/sshd_config"},
		{"key in a JSON policy", file("etc/firefox/policies.json", `{"policies": {"Proxy": {"Mode": "none"}}}`, `{"policies": {"Proxy": {"Mode": "system"}}}`), "line `policies.Proxy.Mode = \"none\"` in /etc/firefox/policies.json instead of `policies.Proxy.Mode = \"system\"`", "file:etc/firefox/policies.json"},
		{"key in YAML", file("etc/netplan/a.yaml", "network:\n  ethernets:\n    lan:\n      mtu: 9000\n", "network:\n  ethernets:\n    lan:\n      mtu: 1500\n"), "line `network.ethernets.lan.mtu = 9000` in /etc/netplan/a.yaml instead of `network.ethernets.lan.mtu = 1500`", "file:etc/netplan/a.yaml"},
		{"element in XML", file("etc/fonts/local.conf", "<?xml version='1.0'?><fontconfig><match target='font'><bool>false</bool></match></fontconfig>", "<?xml version='1.0'?><fontconfig>\n<match target='font'><bool>true</bool></match></fontconfig>"), "line `fontconfig > match target=\"font\" > bool = false` in /etc/fonts/local.conf instead of", "file:etc/fonts/local.conf"},
		{"statement in braces", file("etc/dhcp/dhcpd.conf", "subnet 10.0.0.0 netmask 255.0.0.0 { option routers 10.0.2.1; }", "subnet 10.0.0.0 netmask 255.0.0.0 {\n option routers 10.0.0.1; # the router\n}"), "line `subnet 10.0.0.0 netmask 255.0.0.0 > option routers 10.0.2.1` in /etc/dhcp/dhcpd.conf instead of", "file:etc/dhcp/dhcpd.conf"},
		{"order of modules", file("etc/pam.d/common-auth", "auth b.so\nauth a.so\n", "auth a.so\nauth b.so\n"), "order of the lines in /etc/pam.d/common-auth differs", "file:etc/pam.d/common-auth"},
		{"group", set("etc/nslcd.conf", attr(fact.File{Mode: 0o640, Owner: "root", Group: "root"}), attr(fact.File{Mode: 0o640, Owner: "root", Group: "nslcd"})), "/etc/nslcd.conf has group root", "file:etc/nslcd.conf"},
		{"link target", set("etc/localtime", "link:/a 0777 root:root", "link:/b 0777 root:root"), "/etc/localtime is a link to /a", "file:etc/localtime"},
		{"network card", set("hw/pci/0000:03:00.0", "14e4:1686 class=0200 rev=01", "10ec:8168 class=0200 rev=15"), "PCI device 14e4:1686 (network)", "hw:pci:14e4:1686"},
		{"setting of a sealed file", set("setting/etc%2Fnslcd.conf/tls_reqcert", "demand", "never"), "line `tls_reqcert = demand` in /etc/nslcd.conf instead of `tls_reqcert = never`", "file:etc/nslcd.conf"},
		{"option of the resolver", set("net/options", "ndots:5", ""), "net/options is `ndots:5`", "file:etc/resolv.conf"},
		{"module", set("module/tg3", "loaded", ""), "kernel module tg3 loaded", "module:tg3"},
		{"model", set("hw/system/product", "ProDesk", "OptiPlex"), "product_name is `ProDesk`", "hw:dmi:product_name"},
		{"unit", set("svc/cups.service", "masked", "enabled"), "svc/cups.service is `masked`", "fact:svc/cups.service"},
		{"package file gone", set("conffile/etc/cups/cupsd.conf", "missing cups md5=0", ""), "/etc/cups/cupsd.conf is missing against its package", "file:etc/cups/cupsd.conf"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRoom(6, 8)
			tt.break_(r)
			res := r.compare(t)
			if res.Verdict != compare.Cause || len(res.Rows) == 0 {
				t.Fatalf("verdict %s, %d rows", res.Verdict, len(res.Rows))
			}
			row := res.Rows[0]
			if !strings.HasPrefix(row.What, tt.what) || !slices.Contains(row.IDs, tt.id) {
				t.Errorf("first row is %q %v, want %q with %s", row.What, row.IDs, tt.what, tt.id)
			}
			if row.Broken != (compare.Count{Have: 6, Of: 6}) || row.Working != (compare.Count{Have: 0, Of: 8}) || row.Strength != compare.Strong {
				t.Errorf("%s broken, %s working, %s; want 6/6, 0/8, strong", row.Broken, row.Working, row.Strength)
			}
		})
	}
}

func TestEqualGroupsDifferInNothing(t *testing.T) {
	r := newRoom(6, 8)
	r.each(func(i int, _ bool) {
		r.facts[i]["ssh/hostkey/ed25519"] = fmt.Sprint("SHA256:", i)
		r.facts[i]["etc/shadow"] = fact.File{Kind: fact.KindKeyed, Fingerprint: fmt.Sprintf("%02x", i), Mode: 0o640, Owner: "root", Group: "shadow"}.String()
		r.file(i, "etc/cups/printers.conf", fmt.Sprintf("UUID urn:uuid:28a2c235-070d-0177-c9ca-4a6c82a7%04d\nConfigTime 169999%04d\n<Printer a>\nMAC %s\n</Printer>", i, i, r.facts[i]["net/eth0/mac"]))
		r.file(i, "etc/motd", strings.Repeat("# only a comment\n", i%4)+"\nwelcome\n")
	})
	res := r.compare(t)
	if res.Verdict != compare.Nothing || len(res.Rows) != 0 {
		t.Errorf("verdict %s with %d rows: %+v", res.Verdict, len(res.Rows), res.Rows)
	}
	if !slices.ContainsFunc(res.Notes, func(n string) bool { return strings.Contains(n, "nothing that we collect differs") }) {
		t.Errorf("notes %q do not say that nothing differs", res.Notes)
	}
}

func TestOneUpdateIsOneRow(t *testing.T) {
	r := newRoom(5, 5).each(func(int, bool) {})
	r.each(func(i int, broken bool) {
		for k := range 40 {
			r.facts[i][fmt.Sprintf("pkg/lib%d/version", k)] = map[bool]string{true: "1.0-1", false: "1.0-2"}[broken]
		}
	})
	res := r.compare(t)
	if len(res.Rows) != 1 || len(res.Rows[0].IDs) != 80 || !strings.Contains(res.Rows[0].What, "39 other things") {
		t.Fatalf("got %d rows, first %q with %d ids, want one row of 40 packages", len(res.Rows), res.Rows[0].What, len(res.Rows[0].IDs))
	}
}

func TestThresholdIsFoundAmongManyVersions(t *testing.T) {
	r := newRoom(6, 8)
	r.each(func(i int, broken bool) {
		n := 4 + i%3
		if !broken {
			n = 7 + i%3
		}
		r.facts[i]["pkg/python3.11/version"] = fmt.Sprintf("3.11.2-6+deb12u%d", n)
	})
	if got, want := r.compare(t).Rows[0].What, "python3.11 3.11.2-6+deb12u6 or older"; got != want {
		t.Errorf("first row %q, want %q", got, want)
	}
}

func TestOnlyDifferingContentsAreRead(t *testing.T) {
	r := newRoom(4, 4)
	r.each(func(i int, broken bool) {
		r.file(i, "etc/same", "all alike\n")
		r.file(i, "etc/other", map[bool]string{true: "x = 1", false: "x = 2"}[broken])
	})
	r.compare(t)
	for d, n := range r.read {
		if string(r.contents[d]) == "all alike\n" || n > 1 {
			t.Errorf("content %q was read %d times", r.contents[d], n)
		}
	}
}

func TestRecentChangeComesBeforeOldDifferences(t *testing.T) {
	onset := time.Date(2026, 11, 18, 0, 0, 0, 0, time.UTC)
	r := newRoom(6, 6)
	r.each(func(i int, broken bool) {
		r.facts[i]["svc/old.service"] = map[bool]string{true: "enabled", false: "disabled"}[broken]
		r.facts[i]["svc/new.service"] = map[bool]string{true: "enabled", false: "disabled"}[broken]
		r.facts[i]["svc/late.service"] = map[bool]string{true: "enabled", false: "disabled"}[broken]
	})
	g := r.groups()
	g.Onset = onset
	g.History = func(machine, path string) []compare.Past {
		at := map[string]time.Time{"svc/old.service": onset.AddDate(0, 0, -60), "svc/new.service": onset.AddDate(0, 0, -2), "svc/late.service": onset.AddDate(0, 0, 5)}[path]
		return []compare.Past{{Since: onset.AddDate(-1, 0, 0), Value: "disabled", Present: true}, {Since: at, Value: "enabled", Present: true}}
	}
	res, err := compare.Compare(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, row := range res.Rows {
		order = append(order, row.IDs[0])
	}
	if want := []string{"fact:svc/new.service", "fact:svc/old.service", "fact:svc/late.service"}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	if want := onset.AddDate(0, 0, -2); !res.Rows[0].Since.Equal(want) {
		t.Errorf("since %v, want %v", res.Rows[0].Since, want)
	}
}

func TestCauseWithinSitesComesBeforeWhatGoesWithTheSite(t *testing.T) {
	r := newRoom(12, 18)
	r.each(func(i int, broken bool) {
		r.sites[i] = "elm/b"
		if i < 10 || i >= 12 && i < 15 { // ten of the broken, three of the working
			r.sites[i] = "elm/a"
			r.facts[i]["net/search"] = "a.intern"
		}
		if i >= 22 {
			r.sites[i] = "elm/c"
		}
		if broken || r.sites[i] == "elm/c" { // the third site has it too and works
			r.file(i, "etc/security/limits.conf", "* hard nproc 60\n")
		}
	})
	res := r.compare(t)
	if got := res.Rows[0].IDs[0]; got != "file:etc/security/limits.conf" {
		t.Errorf("first row %q", res.Rows[0].What)
	}
	if slices.ContainsFunc(res.Rows, func(row compare.Row) bool {
		return slices.Contains(row.IDs, "fact:net/search") && row.Strength != compare.None
	}) {
		t.Error("what only goes with the site counts as proof")
	}
}

func TestSameMistakeInTheNamesOfTwoSchoolsIsOneRow(t *testing.T) {
	r := newRoom(8, 8).each(func(int, bool) {})
	r.each(func(i int, broken bool) {
		r.sites[i] = []string{"elm/a", "elm/b"}[i%2]
		domain := []string{"a.example", "b.example"}[i%2]
		r.facts[i]["id/domain"] = domain
		port := map[bool]string{true: "631", false: "6310"}[broken]
		r.file(i, "etc/cups/client.conf", "ServerName tjener."+domain+":"+port+"\n")
		r.facts[i]["setting/etc%2Fnslcd.conf/base"] = "dc=" + strings.ReplaceAll(domain, ".", ",dc=")
	})
	row := r.compare(t).Rows[0]
	if !strings.HasPrefix(row.What, "line `ServerName tjener.<domain>:631` in /etc/cups/client.conf instead of `ServerName tjener.<domain>:6310`") || row.Broken.Have != 8 || row.Working.Have != 0 {
		t.Errorf("first row is %q: %s broken, %s working", row.What, row.Broken, row.Working)
	}
}

func TestSiteThatIsTheSymptomIsSaid(t *testing.T) {
	r := newRoom(5, 5).each(func(int, bool) {})
	r.each(func(i int, broken bool) {
		if broken {
			r.sites[i] = "elm/a"
			r.facts[i]["net/search"] = "a.intern"
		}
	})
	res := r.compare(t)
	if row := res.Rows[0]; !row.SiteOnly || row.Strength == compare.Strong {
		t.Errorf("row %q: SiteOnly %v, %s; want it known as the site's and not strong", row.What, row.SiteOnly, row.Strength)
	}
	if !strings.Contains(strings.Join(res.Notes, "\n"), "site and trouble coincide") {
		t.Errorf("notes %q", res.Notes)
	}
}

func TestUnreadableContentsAreComparedAsAWhole(t *testing.T) {
	r := newRoom(5, 5)
	r.each(func(i int, broken bool) { r.file(i, "etc/x", map[bool]string{true: "a", false: "b"}[broken]) })
	g := r.groups()
	g.Contents = func(fact.Digest) ([]byte, error) { return nil, errors.New("disk on fire") }
	res, err := compare.Compare(t.Context(), g)
	if err != nil || res.Rows[0].IDs[0] != "file:etc/x" || !strings.Contains(strings.Join(res.Notes, "\n"), "disk on fire") {
		t.Errorf("%v, rows %+v, notes %q", err, res.Rows, res.Notes)
	}
}

func TestOwnValuesInSettingsOfSealedFilesAreMasked(t *testing.T) {
	r := newRoom(5, 5)
	r.each(func(i int, broken bool) {
		r.facts[i]["setting/etc%2FNetworkManager%2Fsystem-connections%2Fa/ethernet.mac-address"] = strings.ToUpper(r.facts[i]["net/eth0/mac"])
		if broken && i > 0 { // one has another card's
			r.facts[i]["setting/etc%2FNetworkManager%2Fsystem-connections%2Fa/ipv4.method"] = "manual"
		} else {
			r.facts[i]["setting/etc%2FNetworkManager%2Fsystem-connections%2Fa/ipv4.method"] = "auto"
		}
	})
	res := r.compare(t)
	if len(res.Rows) != 1 || !strings.HasPrefix(res.Rows[0].What, "line `ipv4.method = manual` in /etc/NetworkManager/system-connections/a") {
		t.Errorf("rows %+v, want the method alone", res.Rows)
	}
}

func TestTextFromMachinesIsInert(t *testing.T) {
	r := newRoom(5, 5)
	r.each(func(i int, broken bool) {
		if r.file(i, "etc/x", "b\n"); broken {
			r.file(i, "etc/x", "a \x1b[31m\u202e\xff 50%\n")
		}
	})
	row := r.compare(t).Rows[0]
	for _, d := range row.Facts {
		if strings.ContainsAny(d.Text, "\x1b\u202e") || !utf8.ValidString(d.Text) {
			t.Errorf("text %q is not inert", d.Text)
		}
	}
	if !slices.ContainsFunc(row.Facts, func(d compare.Difference) bool { return strings.Contains(d.Text, "`a %1B[31m%E2%80%AE%FF 50%`") }) {
		t.Errorf("facts %q", row.Facts)
	}
}

func TestSameQuestionGivesSameAnswer(t *testing.T) {
	r := newRoom(4, 4)
	r.each(func(i int, broken bool) { // lines that are tied: each on another three of the broken
		var text strings.Builder
		for k := range 4 {
			if broken && i != k {
				text.WriteString(fmt.Sprintf("line %d\n", k))
			}
		}
		r.file(i, "etc/x", text.String())
	})
	first := fmt.Sprint(r.compare(t))
	for range 20 {
		if got := fmt.Sprint(r.compare(t)); got != first {
			t.Fatalf("answers differ:\n%s\n%s", first, got)
		}
	}
}
