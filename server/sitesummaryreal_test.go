package server

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/internal/fact"
)

// debian is a Debian 12 with sitesummary's client, server tools and their users, in
// a network namespace of its own with one card.
type debian struct {
	t    *testing.T
	root string
}

const debianName, debianCard, debianNet, debianMAC = "rcsitesum", "rcsum0", "198.51.100", "02:00:5e:00:53:77"

// newDebian needs root, debootstrap and Debian's archive.
func newDebian(t *testing.T) *debian {
	t.Helper()
	if !tortured() {
		t.Skip("installs a Debian in minutes; set ROLLCALL_TORTURE=1, or make torture")
	}
	if os.Getuid() != 0 {
		t.Skip("installing a Debian takes root")
	}
	if _, err := exec.LookPath("debootstrap"); err != nil {
		t.Skip("debootstrap is not installed")
	}
	d := &debian{t: t, root: filepath.Join(t.TempDir(), "root")}
	d.must("debootstrap", "--variant=minbase", "--include=sitesummary,sitesummary-client,dmidecode,pciutils,usbutils,procps", "bookworm", d.root, archiveOf(t))
	t.Cleanup(func() {
		_ = exec.Command("ip", "link", "del", debianCard).Run() // it goes with its other end
		d.must("ip", "netns", "del", debianName)
	})
	for _, c := range [][]string{
		{"ip", "netns", "add", debianName},
		{"ip", "link", "add", debianCard, "type", "veth", "peer", "name", "eth0", "netns", debianName, "address", debianMAC},
		{"ip", "addr", "add", debianNet + ".1/24", "dev", debianCard},
		{"ip", "link", "set", debianCard, "up"},
		{"ip", "-n", debianName, "addr", "add", debianNet + ".2/24", "dev", "eth0"},
		{"ip", "-n", debianName, "link", "set", "eth0", "up"},
		{"ip", "-n", debianName, "link", "set", "lo", "up"},
		{"ip", "-n", debianName, "route", "add", "default", "via", debianNet + ".1"},
	} {
		d.must(c[0], c[1:]...)
	}
	return d
}

// archiveOf is the archive that this machine itself installs from.
func archiveOf(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", "Codename: bookworm").Output()
	if site, _, _ := strings.Cut(string(out), "\n"); err == nil && site != "" {
		return site
	}
	return "http://deb.debian.org/debian"
}

func (d *debian) must(name string, args ...string) string {
	d.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		d.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func (d *debian) write(name, text string) {
	d.t.Helper()
	to := filepath.Join(d.root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, []byte(text), 0o755)); err != nil {
		d.t.Fatal(err)
	}
}

// run runs a program there as root.
func (d *debian) run(words ...string) string {
	d.t.Helper()
	const inside = `set -e; cd "$1"; shift; hostname pc07.intern; mount -t proc proc proc; mount -t sysfs sysfs sys; exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot . "$@"`
	c := exec.Command("ip", append([]string{"netns", "exec", debianName, "unshare", "--mount", "--uts", "sh", "-c", inside, "sh", d.root}, words...)...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		d.t.Fatalf("%q: %v\n%s%s", words, err, out, stderr.String())
	}
	return string(out)
}

// The client of Debian 12 as it is becomes a CI, and sitesummary's own tools and
// those of Debian Edu read the entries of an upload and of an agent.
func TestTheRealSitesummaryClientAndItsToolsWorkWithThisServer(t *testing.T) {
	d := newDebian(t)
	r, at := besideSitesummary(t, func(c *Config) {
		c.Sitesummary, c.SitesummaryFolder = debianNet+".1:0", filepath.Join(d.root, "var/lib/sitesummary")
	})
	if !strings.HasPrefix(at, debianNet) {
		t.Fatalf("it listens on %s", at)
	}
	d.write("etc/sitesummary/config.d/rollcall", "serverurls=\"http://"+at+"/cgi-bin/sitesummary-collector.cgi\"\n")
	for name, text := range map[string]string{
		"etc/sitesummary/site": "elm\n", "etc/sitesummary/sitegroup": "room12\n", "etc/sitesummary/hostclass": "workstation\n",
		"etc/debian-edu/config": "VERSION=\"12\"\nPROFILE=\"Workstation\"\n", "etc/munin/munin.conf": "",
		"etc/hosts": "127.0.0.1 localhost\n" + debianNet + ".2 pc07.intern\n203.0.113.9 sim-00001.intern\n",
		// What shutdown-at-night of debian-edu-config asks about who is to be woken.
		"usr/sbin/netgroup": "#!/bin/sh\nif [ \"$2\" = shutdown-at-night-hosts ]; then echo sim-00001.intern; echo pc07.intern; else exit 1; fi\n",
	} {
		d.write(name, text)
	}
	if out := d.run("/usr/sbin/sitesummary-client"); strings.Contains(out, "error") {
		t.Fatalf("the client says:\n%s", out)
	}
	item := r.get("pc07")
	if item.GetItem().GetTrust() != "unsigned" {
		t.Errorf("the CI is %+v", item.GetItem())
	}
	if got := r.find(t, "trust = unsigned and pkg(sitesummary-client) >= 0.1 and mac = "+debianMAC+" and fact(id/site/sitegroup) = room12"); len(got) != 1 {
		t.Errorf("a filter finds %q", got)
	}

	m := r.machine(1)
	body(m.Machine, 1)
	m.Facts["net"] = fact.NewSet([]fact.Fact{
		{Path: "net/eno1/mac", Value: "02:00:00:00:00:01"},
		{Path: "net/eno1/addr/203.0.113.9%2F24", Value: "static"},
		{Path: "net/route/default", Value: "203.0.113.1 dev eno1"},
	})
	m.Facts["id"] = fact.NewSet([]fact.Fact{
		{Path: "id/hostname", Value: "sim-00001"}, {Path: "id/domain", Value: "intern"}, {Path: "id/site/site", Value: "oak"}, {Path: "id/edu/profile", Value: "Main-Server"},
	})
	m.report(t, true)
	entry := filepath.Join(d.root, "var/lib/sitesummary/entries/ether-02:00:00:00:00:01/system/hostname")
	waitFor(t, "the agent's entry", func() bool { _, err := os.Stat(entry); return err == nil })

	generator := d.edu("etc/shutdown-at-night/clients-generator")
	d.write("etc/shutdown-at-night/clients-generator", generator)
	const dir = "/usr/lib/sitesummary/"
	for _, tt := range []struct {
		words []string
		want  []string
	}{
		{[]string{dir + "site-summary"}, []string{"elm", "oak", "room12"}},
		{[]string{dir + "hostclass-summary"}, []string{"workstation"}},
		{[]string{dir + "kernelversion-summary"}, []string{strings.TrimSpace(d.run("uname", "-r"))}},
		{[]string{dir + "agesinceseen-summary"}, []string{">0 days"}},
		{[]string{dir + "hardware-model-summary"}, []string{"vendor"}},
		{[]string{dir + "debian_edu-summary"}, []string{"Workstation", "Main-Server"}},
		{[]string{"sitesummary-nodes"}, []string{"pc07.intern", "sim-00001.intern"}},
		{[]string{"sitesummary-nodes", "-w"}, []string{"pc07.intern " + debianMAC, "sim-00001.intern 02:00:00:00:00:01"}},
		{[]string{"sitesummary-nodes", "-n"}, []string{"host_name           sim-00001.intern", "host_name           pc07.intern"}},
		{[]string{"sitesummary-nodes", "-m"}, nil},
		{[]string{"/usr/share/munin/plugins/sitesummary_sites"}, []string{".value 1"}},
		{[]string{"sh", "-c", "sitesummary-update-munin && sitesummary-makewebreport && cat /var/lib/sitesummary/www/index.html"}, []string{"oak"}},
		{[]string{"perl", "/etc/shutdown-at-night/clients-generator"}, []string{"pc07.intern " + debianMAC, "sim-00001.intern 02:00:00:00:00:01"}},
		// sitesummary-nodes of Debian 12 asks for it and never uses it.
		{[]string{"perl", "-e", `use SiteSummary; for_all_hosts(sub { print get_default_route(shift), "\n"; 1 });`}, []string{debianNet + ".1", "203.0.113.1"}},
		// What sitesummary2ldapdhcp asks, whose LDAP is not here.
		{
			[]string{"perl", "-e", `use SiteSummary; for_all_hosts(sub { my $id = shift; print SiteSummary::get_primary_ip_address($id), " ", join(" ", SiteSummary::get_macaddresses($id)), "\n"; 1 });`},
			[]string{debianNet + ".2 " + debianMAC, "203.0.113.9 02:00:00:00:00:01"},
		},
		{[]string{dir + "sitesummary-maintenance"}, nil},
	} {
		out := d.run(tt.words...)
		for _, want := range tt.want {
			if !strings.Contains(out, want) {
				t.Errorf("%q does not tell %q:\n%s", tt.words, want, out)
			}
		}
	}
	if _, err := os.Stat(entry); err != nil {
		t.Errorf("after sitesummary's own maintenance: %v", err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r.sound()
}

// edu reads a file of the package debian-edu-config, whose dependencies are a school.
func (d *debian) edu(name string) string {
	d.t.Helper()
	dir := d.t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		d.t.Fatal(err)
	}
	d.must("sh", "-c", `cd "$1" && apt-get download debian-edu-config && dpkg-deb -x debian-edu-config_*.deb .`, "sh", dir)
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		d.t.Fatal(err)
	}
	return string(b)
}
