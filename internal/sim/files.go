package sim

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"rollcall/internal/fact"
)

// content is a file of /etc that the simulator can write: of a path, in the
// variant that a package, a school or a hand made of it.
type content struct{ path, variant string }

// bytes gives the content: settings as configuration files have them, of which a
// variant changes some.
func (c content) bytes() []byte {
	d := word(c.path)
	n := 4 + pick(draw(d, 1), 40)
	b := append(make([]byte, 0, 40+16*n), "# /"+c.path+"\n"...)
	changed := -1
	if c.variant != "" {
		changed = pick(draw(word(c.variant), d), n)
	}
	for i := range n {
		value := draw(d, 2, uint64(i)) % 10_000
		if i == changed {
			value = draw(word(c.variant), d, uint64(i)) % 1_000_000
		}
		b = append(b, "Option"...)
		b = strconv.AppendInt(b, int64(i), 10)
		b = append(b, " = "...)
		b = append(strconv.AppendUint(b, value, 10), '\n')
	}
	return b
}

func (c content) digest() fact.Digest { return sum(c.bytes()) }

func sum(b []byte) fact.Digest { return sha256.Sum256(b) }

// file is a fact of section etc with a content that people may see.
func (c content) file(mode string) fact.Fact {
	return fact.Fact{Path: c.path, Value: "sha256:" + c.digest().String() + " " + mode}
}

// text is a file whose content is given.
func text(path, body string) (fact.Fact, []byte) {
	sum := sha256.Sum256([]byte(body))
	return fact.Fact{Path: path, Value: fmt.Sprintf("sha256:%x 0644 root:root", sum)}, []byte(body)
}

// changeShare tells how often a new version of a package brings a changed
// configuration file: one version in so many.
const changeShare = 25

// epoch gives the variant of the configuration files of a source on a day: the
// newest version that changed them, or none.
func (c *catalogue) epoch(source string, day Day) string {
	steps := c.timeline[source]
	for i := len(steps) - 1; i > 0; i-- {
		if steps[i].day <= day && draw(word(source), uint64(i))%changeShare == 0 {
			return steps[i].version
		}
	}
	return ""
}

// etcFile is a file of a profile: what was recorded, and who ships it.
type etcFile struct {
	path, kind, rest string // kind as recorded: sha256, keyed, dir, link:TARGET
	source           string // of the package that ships it; empty: nobody, or unknown
}

// etcFiles lists /etc of a profile: all that was recorded of such a machine, and
// what its other packages ship.
func (c *catalogue) etcFiles(p Profile) []etcFile {
	owner := map[string]string{}
	for _, row := range c.profiles[p.String()] {
		for _, path := range c.etc[c.packages[row].name] {
			owner[path] = c.packages[row].source
		}
	}
	var out []etcFile
	seen := map[string]bool{}
	for _, r := range c.recorded[p.recordedAs()] {
		if fact.SectionOf(r.path) != "etc" {
			continue
		}
		kind, rest, _ := strings.Cut(r.value, " ")
		out = append(out, etcFile{r.path, kind, rest, owner[r.path]})
		seen[r.path] = true
	}
	for path, source := range owner {
		if !seen[path] {
			out = append(out, etcFile{path, "sha256", "0644 root:root", source})
		}
	}
	slices.SortFunc(out, func(a, b etcFile) int { return strings.Compare(a.path, b.path) })
	return out
}

// shared gives the fact of a file as it came with the packages of a day.
func (e etcFile) shared(c *catalogue, day Day, pointRelease string) fact.Fact {
	switch {
	case e.path == "etc/debian_version":
		f, _ := text(e.path, pointRelease+"\n")
		return f
	case e.kind == "sha256":
		return e.content(c, day).file(e.rest)
	case e.kind == "keyed":
		return fact.Fact{Path: e.path, Value: fmt.Sprintf("keyed:%x %s", sha256.Sum256([]byte(e.path)), e.rest)}
	}
	return fact.Fact{Path: e.path, Value: e.kind + " " + e.rest}
}

// content is that of a plain file as it came with the packages of a day.
func (e etcFile) content(c *catalogue, day Day) content {
	k := content{path: e.path}
	if e.source != "" {
		k.variant = c.epoch(e.source, day)
	}
	return k
}

// perMachine are the files whose secrets only the machine knows: their keyed
// fingerprints differ everywhere.
var perMachine = []string{
	"etc/shadow", "etc/shadow-", "etc/gshadow", "etc/gshadow-", "etc/ssh/ssh_host_ecdsa_key", "etc/ssh/ssh_host_ed25519_key", "etc/ssh/ssh_host_rsa_key",
	"etc/ssl/private/ssl-cert-snakeoil.key", "etc/nslcd.conf", "etc/ImageMagick-6/delegates.xml", "etc/ImageMagick-6/mime.xml", "etc/ImageMagick-6/policy.xml", "etc/ssl/openssl.cnf",
}

// etc is section etc: what the packages ship, what the school has set, what only
// this machine has, and what hands have changed.
func (f *Fleet) etc(m Member, s state) Section {
	key := baseKey{section: "etc", profile: m.Profile, a: int(s.updated)}
	sec := Section{Name: "etc", Base: f.bases.get(key, func() (facts []fact.Fact) {
		for _, e := range f.data.files[m.Profile] {
			fc := e.shared(f.data, s.updated, f.pointRelease(s.updated))
			fc.Value = f.bases.intern(fc.Value)
			facts = append(facts, fc)
		}
		return facts
	})}
	f.ownFiles(m, s, func(fc fact.Fact, _ func() []byte) { sec.Put = append(sec.Put, fc) })
	for _, path := range perMachine {
		if v, ok := sec.Base.Facts.Get(path); ok && m.Profile != Thin {
			_, rest, _ := strings.Cut(v, " ")
			secret := f.hostKey(m, s, path)
			sec.Put = append(sec.Put, fact.Fact{Path: path, Value: fmt.Sprintf("keyed:%x %s", sha256.Sum256([]byte(secret)), rest)})
		}
	}
	sec.Put = fact.NewSet(sec.Put)
	return sec
}

// ownFiles calls put for each file that is not as the packages ship it, and can be
// read. A file may come twice; the last one holds.
func (f *Fleet) ownFiles(m Member, s state, put func(fact.Fact, func() []byte)) {
	write := func(path, body string) {
		fc, b := text(path, body)
		put(fc, func() []byte { return b })
	}
	for _, row := range f.rows(m) {
		for _, path := range f.data.etc[f.data.packages[row].name] {
			k := content{path: path}
			put(k.file("0644 root:root"), k.bytes)
		}
	}
	for k := range 3 { // the school's own settings, on all of its machines
		e := f.data.plain(m.Profile, draw(word(m.School), uint64(k), uint64(m.Profile)))
		c := content{e.path, m.School}
		put(c.file(e.rest), c.bytes)
	}
	write("etc/hostname", m.Name+"\n")
	write("etc/machine-id", f.machineID(m, s)+"\n")
	write("etc/rollcall/site", f.site(m, s.moves)+"\n")
	if m.Profile == Thin {
		return
	}
	for _, kind := range []string{"ecdsa", "ed25519", "rsa"} {
		write("etc/ssh/ssh_host_"+kind+"_key.pub", "ssh-"+kind+" "+f.hostKey(m, s, kind)+" root@"+m.Name+"\n")
	}
	write("etc/fstab", "UUID="+uuid(f.draw(m.Number, "root", uint64(s.installs)))+" / ext4 errors=remount-ro 0 1\n")
	for k := range int(s.edits) {
		e := f.data.plain(m.Profile, f.draw(m.Number, "edit", uint64(k)))
		c := content{e.path, fmt.Sprintf("hand %d %d", m.Number, k)}
		put(c.file(e.rest), c.bytes)
	}
}

// plain chooses a file of a profile that is nothing but settings: the only kind that
// people edit here.
func (c *catalogue) plain(p Profile, d uint64) etcFile {
	files := c.files[p]
	for n := pick(d, len(files)); ; n = (n + 1) % len(files) {
		if e := files[n]; e.kind == "sha256" && !slices.Contains(written, e.path) {
			return e
		}
	}
}

// written are the files that the simulator writes itself.
var written = []string{
	"etc/debian_version", "etc/hostname", "etc/machine-id", "etc/fstab", "etc/rollcall/site",
	"etc/ssh/ssh_host_ecdsa_key.pub", "etc/ssh/ssh_host_ed25519_key.pub", "etc/ssh/ssh_host_rsa_key.pub",
}
