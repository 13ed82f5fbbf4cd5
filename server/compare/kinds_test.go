package compare_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/compare"
)

// onset is when the trouble of every made-up case began.
var onset = time.Date(2026, 11, 18, 0, 0, 0, 0, time.UTC)

// kind is a way to break machines: how many of them at how many sites, and what
// is done to them. They are the kinds of the shared puzzles' README.
type kind struct {
	sites []split // broken and working machines of each site
	make  func(*maker)
}

type split struct{ broken, working int }

var kinds = map[string]kind{
	"P00 none":       {[]split{{4, 5}, {4, 4}}, func(k *maker) { k.truth.Kind = "none" }},
	"P01 version":    {[]split{{4, 4}}, func(k *maker) { k.version(k.isBroken) }},
	"P02 missing":    {[]split{{5, 6}}, func(k *maker) { k.missing(k.isBroken) }},
	"P03 line":       {[]split{{3, 3}, {3, 3}}, (*maker).lineAmongEdits},
	"P04 own values": {[]split{{4, 4}, {4, 4}}, (*maker).lineAmongOwnValues},
	"P05 mode":       {[]split{{3, 4}, {3, 4}}, (*maker).mode},
	"P06 state":      {[]split{{2, 5}, {3, 4}}, (*maker).state},
	"P07 hardware":   {[]split{{2, 4}, {2, 4}, {2, 4}}, (*maker).card},
	"P08 and":        {[]split{{4, 8}, {4, 7}}, (*maker).both},
	"P09 or":         {[]split{{4, 4}, {3, 4}, {3, 4}}, (*maker).either},
	"P10 site":       {[]split{{10, 3}, {2, 7}, {0, 8}}, (*maker).confounded},
	"P11 threshold":  {[]split{{3, 5}, {3, 5}, {3, 5}}, (*maker).threshold},
	"P13 noisy": {[]split{{4, 4}, {4, 5}}, func(k *maker) { // one of each was named in the wrong group
		path := k.editable()
		k.change(path, k.some(7, 1))
		k.cause("file:" + path)
	}},
	"P12 recent": {[]split{{8, 0}, {0, 8}}, (*maker).recent},
}

// version gives chosen machines an older version of one source's packages.
func (k *maker) version(which func(int) bool) {
	path, name := k.pkg()
	source := k.sourceOf(name)
	k.cause("pkg:"+name, "src:"+source)
	base := k.get(0, path)
	for _, p := range k.binaries(source) {
		for i := range k.chosen {
			n := 4
			if which(i) {
				n = 3
			}
			k.put(i, p, fmt.Sprintf("%s+x%d", base, n))
		}
	}
}

// missing removes a package, of which two machines keep the configuration.
func (k *maker) missing(which func(int) bool) {
	_, name := k.pkg()
	left := 0
	for i := range k.chosen {
		if !which(i) {
			continue
		}
		k.put(i, "pkg/"+name+"/version", "")
		k.put(i, "pkg/"+name+"/source", "")
		if left++; left <= 2 {
			k.put(i, "pkg/"+name+"/state", "deinstall ok config-files")
		}
	}
	k.cause("pkg:"+name, "src:"+k.sourceOf(name))
}

// lineAmongEdits changes one line of a file that most of all machines edited
// without changing what it says.
func (k *maker) lineAmongEdits() {
	path := k.editable()
	for i := range k.chosen {
		if k.rng.IntN(10) < 7 {
			k.rewrite(i, path, func(text string) string {
				return text + []string{"\n", "", "\n\n"}[k.rng.IntN(3)] + "# " + []string{k.chosen[i].Name, "TODO rydd", "endret av drift 2026-08-15", "endret av kari 2025-12-25"}[k.rng.IntN(4)] + "\n"
			})
		}
	}
	k.change(path, k.isBroken)
	k.cause("file:" + path)
}

// lineAmongOwnValues changes one line of a file that no two machines have alike.
func (k *maker) lineAmongOwnValues() {
	path := k.editable()
	for i := range k.chosen {
		k.rewrite(i, path, func(text string) string {
			own := fmt.Sprintf("\nlocal-id %08x-7b1a-4c5e-9d2f-%012x\nlocal-name %s\n# written %d\n", k.rng.Uint32(), k.rng.Int64N(1<<47), k.chosen[i].Name, 1_700_000_000+k.rng.IntN(90_000_000))
			return text + own
		})
	}
	k.change(path, k.isBroken)
	k.cause("file:" + path)
}

// mode changes the mode, the group or the link target of a file.
func (k *maker) mode() {
	path := k.common("etc", "")
	f, _ := fact.ParseFile(k.get(0, path))
	switch {
	case f.Kind == fact.KindLink:
		f.Target += ".old"
	case k.rng.IntN(2) == 0 && f.Kind != fact.KindDir:
		f.Mode = 0o600
		if f.String() == k.get(0, path) {
			f.Mode = 0o640
		}
	default:
		f.Group = "nogroup"
	}
	for i := range k.chosen {
		if k.isBroken(i) {
			k.put(i, path, f.String())
		}
	}
	k.cause("file:" + path)
}

// state leaves a package half-configured or held, or a kernel not rebooted into.
func (k *maker) state() {
	if k.rng.IntN(2) == 0 {
		for i := range k.chosen {
			if k.isBroken(i) {
				k.put(i, "os/kernel", "6.1.0-49-amd64")
				k.put(i, "os/reboot-needed", "yes: kernel 6.1.0-56-amd64 is installed")
			}
		}
		k.cause("kernel:running")
		return
	}
	_, name := k.pkg()
	state := []string{"install ok half-configured", "hold ok installed", "install ok unpacked", "install reinstreq half-installed"}[k.rng.IntN(4)]
	for i := range k.chosen {
		if k.isBroken(i) {
			k.put(i, "pkg/"+name+"/state", state)
		}
	}
	k.cause("pkg:"+name, "src:"+k.sourceOf(name))
}

// card gives the broken machines another network card, of makers whose cards the
// others have too.
func (k *maker) card() {
	for i, m := range k.chosen {
		if !k.isBroken(i) {
			continue
		}
		driver := "slowpoke"
		mac := "02:00:00:00:00:01"
		for _, f := range m.Sections["net"] {
			if strings.HasSuffix(f.Path, "/mac") {
				mac = f.Value
			}
		}
		for section, prefixes := range map[string][]string{"net": {"net/en"}, "hw": {"hw/pci/", "hw/pcidriver/"}} {
			m.Sections[section] = slices.DeleteFunc(slices.Clone(m.Sections[section]), func(f fact.Fact) bool {
				return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(f.Path, p) })
			})
		}
		k.put(i, "hw/pci/0000:0a:00.0", "1234:5678 class=0200 rev=01")
		k.put(i, "hw/pcidriver/0000:0a:00.0", driver)
		k.put(i, "net/enp10s0/mac", mac)
		k.put(i, "net/enp10s0/driver", driver)
		k.put(i, "net/enp10s0/device", "0000:0a:00.0")
		k.put(i, "module/"+driver, "loaded")
	}
	k.cause("hw:pci:1234:5678", "hw:driver:slowpoke", "module:slowpoke")
	k.truth.Neutral = []string{"fact:net/enp10s0"}
}

// both needs an old version and a line together; each alone is on a third of the
// working machines.
func (k *maker) both() {
	k.truth.Kind = "and"
	third := (len(k.chosen) - k.count()) / 3
	one := k.some(0, third)
	var rest []int
	for i := range k.chosen {
		if !k.isBroken(i) && !one(i) {
			rest = append(rest, i)
		}
	}
	k.rng.Shuffle(len(rest), func(a, b int) { rest[a], rest[b] = rest[b], rest[a] })
	k.version(func(i int) bool { return k.isBroken(i) || one(i) })
	path := k.editable()
	k.change(path, func(i int) bool { return k.isBroken(i) || slices.Contains(rest[:third], i) })
	k.cause("file:" + path)
}

// either has two causes, each on half of the broken, among decoys that more of
// the broken have, and some of the working.
func (k *maker) either() {
	k.truth.Kind = "or"
	half := k.some(k.count()/2, 0)
	k.missing(half)
	path := k.editable()
	k.change(path, func(i int) bool { return k.isBroken(i) && !half(i) })
	k.cause("file:" + path)
	cause := k.truth.Causes
	k.version(k.some(8, 3))
	k.change(k.editable(), k.some(7, 2))
	k.truth.Causes = cause
}

// confounded has a cause that a third site has without the symptom, and one
// machine that was named in the wrong group.
func (k *maker) confounded() {
	path := k.editable()
	wrong := -1
	for i := range k.chosen {
		if !k.isBroken(i) && k.siteNumber[i] == 1 {
			wrong = i
		}
	}
	k.change(path, func(i int) bool { return k.isBroken(i) || k.siteNumber[i] == 2 || i == wrong })
	k.cause("file:" + path)
}

// threshold has many versions of which the older ones are bad.
func (k *maker) threshold() {
	path, name := k.pkg()
	source := k.sourceOf(name)
	k.cause("pkg:"+name, "src:"+source)
	base := k.get(0, path)
	for i := range k.chosen {
		n := 4 + k.rng.IntN(3)
		if !k.isBroken(i) {
			n += 3
		}
		for _, p := range k.binaries(source) {
			k.put(i, p, fmt.Sprintf("%s+x%d", base, n))
		}
	}
}

// recent changes what the broken have two days ago, where the groups are two
// sites that differ in much else since long ago.
func (k *maker) recent() {
	path := k.editable()
	was := make([]string, len(k.chosen))
	for i := range k.chosen {
		was[i] = k.get(i, path)
	}
	k.change(path, k.isBroken)
	past := k.past
	k.past = func(id, asked string) []compare.Past {
		for i, m := range k.chosen {
			if m.ID == id && asked == path {
				first := compare.Past{Since: onset.AddDate(0, 0, -20), Value: was[i], Present: true}
				if !k.isBroken(i) {
					return []compare.Past{first}
				}
				return []compare.Past{first, {Since: onset.Add(8 * time.Hour), Value: k.get(i, path), Present: true}}
			}
		}
		return past(id, asked)
	}
	k.cause("file:" + path)
}

// rewrite gives a machine another content of a file.
func (k *maker) rewrite(i int, path string, edit func(string) string) {
	f, err := fact.ParseFile(k.get(i, path))
	if err != nil {
		panic(err)
	}
	content := []byte(edit(string(k.content(f.Digest))))
	f.Digest = sha256.Sum256(content)
	k.made[f.Digest] = content
	k.put(i, path, f.String())
}

// change changes what a file says on chosen machines: the same line gets another
// end, or goes, or there is one more. Where it names the machine or its school it
// is another text on each.
func (k *maker) change(path string, which func(int) bool) {
	f, _ := fact.ParseFile(k.get(0, path))
	at := k.rng.IntN(len(settingLines(string(k.content(f.Digest)))))
	how := k.rng.IntN(3)
	for i := range k.chosen {
		if !which(i) {
			continue
		}
		k.rewrite(i, path, func(text string) string {
			lines := settingLines(text)
			line := lines[min(at, len(lines)-1)] + "\n"
			switch how {
			case 0:
				return strings.Replace(text, line, "", 1)
			case 1:
				return strings.Replace(text, line, strings.TrimSuffix(line, "\n")+"x\n", 1)
			}
			return text + "\nExtraSetting on\n"
		})
	}
}

func settingLines(text string) []string {
	var out []string
	for line := range strings.SplitSeq(text, "\n") {
		if t := strings.TrimSpace(line); len(t) > 3 && !strings.ContainsAny(t[:1], ";/") && !strings.ContainsAny(t, "{}<>\\[]#") &&
			strings.Count(text, line+"\n") == 1 {
			out = append(out, line)
		}
	}
	return out
}
