package compare_test

import (
	"crypto/sha256"
	_ "embed"
	"fmt"
	"math/rand/v2"
	"strings"

	"rollcall/internal/fact"
	"rollcall/server/compare"

	"github.com/rogpeppe/go-internal/txtar"
)

//go:embed testdata/etc.txtar
var etcFiles []byte

// Of every fleet there are this many schools with this many machines each.
const (
	schools   = 5
	perSchool = 14
)

// growing makes the facts of one machine.
type growing struct {
	rng        *rand.Rand
	facts      map[string]string
	fleet      fleet
	name, site string
}

// noisyFleet makes machines that differ in all the ways in which the machines of
// schools do, of which none matters: their own names, keys and times; what their
// school does its own way; updates that come late, things installed beside, files
// edited by hand, leftovers of editors and packages; hardware of many models.
func noisyFleet(seed uint64) fleet {
	f := fleet{contents: map[fact.Digest][]byte{}}
	rng := rand.New(rand.NewPCG(seed, 11))
	archive := txtar.Parse(etcFiles)
	for s := range schools {
		site := fmt.Sprintf("skole%d", s)
		lag := rng.IntN(5)
		for n := range perSchool {
			g := growing{rng: rng, facts: map[string]string{}, fleet: f, name: fmt.Sprintf("%s-%03d", site[:3]+site[5:], 10*n+rng.IntN(10)), site: site}
			g.identity()
			g.hardware()
			g.software(lag + rng.IntN(3))
			for _, x := range archive.Files {
				g.file(x.Name, string(x.Data))
			}
			g.hand()
			var facts []fact.Fact
			for path, value := range g.facts {
				facts = append(facts, fact.Fact{Path: path, Value: value})
			}
			f.machines = append(f.machines, compare.Machine{ID: site + "/" + g.name, Name: g.name, Site: site, Sections: fact.Split(facts)})
		}
	}
	f.past = f.longAgo
	return f
}

// longAgo says of every fact that it was so when the records began.
func (f fleet) longAgo(id, path string) []compare.Past {
	for _, m := range f.machines {
		if m.ID == id {
			v, ok := m.Sections[fact.SectionOf(path)].Get(path)
			return []compare.Past{{Since: onset.AddDate(0, 0, -20), Value: v, Present: ok}}
		}
	}
	return nil
}

func (g *growing) identity() {
	g.facts["id/hostname"] = g.name
	g.facts["id/domain"] = g.site + ".example"
	g.facts["id/machine-id"] = fmt.Sprintf("%016x%016x", g.rng.Uint64(), g.rng.Uint64())
	g.facts["os/kernel"] = "6.1.0-56-amd64"
	g.facts["os/reboot-needed"] = "no"
	g.facts["fs/mount/%2F"] = "ext4 rw"
	g.facts["user/root"] = "uid=0 shell=/bin/bash"
	g.facts["group/root"] = "gid=0"
	g.facts["net/search"] = g.site + ".example"
	g.facts["setting/etc%2Fnslcd.conf/uri"] = "ldaps://tjener." + g.site + ".example"
	g.facts["setting/etc%2Fnslcd.conf/tls_reqcert"] = "demand"
	if g.rng.IntN(10) == 0 {
		g.facts["user/kari"] = "uid=1000 shell=/bin/bash"
	}
}

// hardware is one of a dozen models, with modules that come and go with what is
// plugged in.
func (g *growing) hardware() {
	model := g.rng.IntN(12)
	g.facts["hw/system/product"] = fmt.Sprintf("Model %d", model)
	g.facts["hw/system/vendor"] = []string{"HP", "Dell Inc.", "LENOVO"}[model%3]
	g.facts["hw/bios/version"] = fmt.Sprintf("%c%02d", 'A'+model, g.rng.IntN(3))
	g.facts["hw/chassis/type"] = []string{"desktop", "tower", "notebook"}[model%3]
	g.facts["hw/memory/total"] = fmt.Sprint([]int{4, 8, 16}[g.rng.IntN(3)] * 1_073_741_824)
	g.facts["hw/cpu/model"] = fmt.Sprintf("CPU %d", model/2)
	card := [][3]string{{"enp0s31f6", "8086:15e3", "e1000e"}, {"enp2s0", "10ec:8168", "r8169"}, {"enp4s0", "14e4:165f", "tg3"}}[g.rng.IntN(3)]
	g.facts["hw/pci/0000:02:00.0"] = card[1] + " class=0200 rev=01"
	g.facts["hw/pcidriver/0000:02:00.0"] = card[2]
	g.facts["net/"+card[0]+"/mac"] = fmt.Sprintf("%s:%02x:%02x:%02x", []string{"00:1c:23", "2c:41:38", "34:64:a9", "18:03:73"}[g.rng.IntN(4)], g.rng.IntN(256), g.rng.IntN(256), g.rng.IntN(256))
	g.facts["net/"+card[0]+"/driver"] = card[2]
	for _, name := range []string{"ahci", "ext4", "loop", "nfsv4", card[2]} {
		g.facts["module/"+name] = "loaded"
	}
	for _, name := range []string{"btusb", "sr_mod", "usblp", "uvcvideo", "joydev", "iwlwifi", "fuse", "dm_mod"} {
		if g.rng.IntN(3) == 0 {
			g.facts["module/"+name] = "loaded"
		}
	}
}

// software is some hundred packages, of which a machine has the updates of some
// days ago, and a few that only it has.
func (g *growing) software(lag int) {
	for k := range 320 {
		name := fmt.Sprintf("pkg/lib%03d", k)
		version := 0
		if k >= 280 { // an update every day, of a source with three packages
			version = max(0, 6-max(0, lag-k%7))
		}
		g.facts[name+"/version"] = fmt.Sprintf("1.%d-2+deb12u%d", k%17, version)
		g.facts[name+"/source"] = fmt.Sprintf("source%03d", k/3)
	}
	for range g.rng.IntN(7) {
		g.facts[fmt.Sprintf("pkg/extra%02d/version", g.rng.IntN(60))] = "1.0"
	}
}

// file gives the machine a file, with its own values and its school's.
func (g *growing) file(path, text string) {
	text = strings.NewReplacer("NAME", g.name, "SITE", g.site, "OWN", fmt.Sprintf("%08d", g.rng.IntN(100_000_000))).Replace(text)
	d := fact.Digest(sha256.Sum256([]byte(text)))
	g.fleet.contents[d] = []byte(text)
	g.facts[path] = fact.File{Kind: fact.KindPlain, Digest: d, Mode: 0o644, Owner: "root", Group: "root"}.String()
}

// hand is what people did to the machine, and what they left behind.
func (g *growing) hand() {
	g.file("etc/ssl/certs/"+g.site+".pem", "-----BEGIN CERTIFICATE-----\n"+g.site)
	g.facts["etc/localtime"] = "link:/usr/share/zoneinfo/Europe/Oslo 0777 root:root"
	for k := range 40 {
		g.file(fmt.Sprintf("etc/default/d%02d", k), fmt.Sprintf("START=yes\nLEVEL=%d\nEXTRA=\n", k))
	}
	for range g.rng.IntN(4) {
		switch g.rng.IntN(6) {
		case 0:
			g.file("etc/cron.d/lokal", fmt.Sprintf("%d 4 * * * root /usr/local/sbin/x\n", g.rng.IntN(60)))
		case 1:
			g.file("etc/sudoers.d/drift", "%drift ALL=(ALL) ALL\n")
		case 2:
			g.file("etc/nsswitch.conf.dpkg-old", fmt.Sprintf("passwd: compat\n# %d\n", g.rng.IntN(4)))
		case 3:
			g.file("etc/sysctl.d/90-lokal.conf", fmt.Sprintf("vm.swappiness=%d\n", 10*g.rng.IntN(4)))
		case 4:
			g.file("etc/default/d07", "# "+g.name+"\nSTART=yes\nLEVEL=7\nEXTRA=\n")
		case 5:
			g.file("etc/apt/sources.list.d/zoom.list", "deb http://zoom.example/ stable main\n")
		}
	}
}
