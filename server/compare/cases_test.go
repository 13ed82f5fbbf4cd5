package compare_test

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/fact"
	"rollcall/server/compare"
)

// fleet is machines to make cases from; making a case copies what it changes.
type fleet struct {
	machines []compare.Machine
	contents map[fact.Digest][]byte
}

// caseOf is a made-up case with its truth.
type caseOf struct {
	kind   string
	groups compare.Groups
	truth  truth
}

// maker breaks machines in one way.
type maker struct {
	fleet  fleet
	rng    *rand.Rand
	chosen []compare.Machine // copies; the broken first
	broken int
	truth  truth
}

func (k *maker) put(i int, path, value string) {
	m := k.chosen[i]
	section := fact.SectionOf(path)
	var facts []fact.Fact
	for _, f := range m.Sections[section] {
		if f.Path != path {
			facts = append(facts, f)
		}
	}
	if value != "" {
		facts = append(facts, fact.Fact{Path: path, Value: value})
	}
	m.Sections[section] = fact.NewSet(facts)
}

func (k *maker) get(i int, path string) string {
	v, _ := k.chosen[i].Sections[fact.SectionOf(path)].Get(path)
	return v
}

// common picks a path that all machines have with the same value.
func (k *maker) common(section, suffix string) string {
	for range 10000 {
		s := k.chosen[0].Sections[section]
		f := s[k.rng.IntN(len(s))]
		if !strings.HasSuffix(f.Path, suffix) {
			continue
		}
		if !slices.ContainsFunc(k.chosen, func(m compare.Machine) bool { v, _ := m.Sections[section].Get(f.Path); return v != f.Value }) {
			return f.Path
		}
	}
	panic("no common path")
}

func (k *maker) cause(ids ...string) {
	k.truth.Causes = append(k.truth.Causes, struct{ Accept []string }{ids})
}

// pkg returns a package of which all have the same version.
func (k *maker) pkg() (path, name string) {
	path = k.common("pkg", "/version")
	return path, strings.TrimSuffix(strings.TrimPrefix(path, "pkg/"), "/version")
}

// edit adds a line to a common file on some machines.
func (k *maker) edit(which func(int) bool) string {
	for {
		path := k.common("etc", "")
		f, err := fact.ParseFile(k.get(0, path))
		if err != nil || f.Kind != fact.KindPlain || len(k.fleet.contents[f.Digest]) == 0 || len(k.fleet.contents[f.Digest]) > 20000 || strings.Contains(path, "/ssl/") {
			continue
		}
		content := append(slices.Clone(k.fleet.contents[f.Digest]), fmt.Sprintf("\nExtraSetting %d\n", k.rng.IntN(100))...)
		f.Digest = sha256.Sum256(content)
		k.fleet.contents[f.Digest] = content
		for i := range k.chosen {
			if which(i) {
				k.put(i, path, f.String())
			}
		}
		return path
	}
}

func (k *maker) isBroken(i int) bool { return i < k.broken }

// some returns a predicate: of the broken so many, of the working so many.
func (k *maker) some(broken, working int) func(int) bool {
	pick := map[int]bool{}
	for _, i := range k.rng.Perm(k.broken)[:min(broken, k.broken)] {
		pick[i] = true
	}
	rest := len(k.chosen) - k.broken
	for _, i := range k.rng.Perm(rest)[:min(working, rest)] {
		pick[k.broken+i] = true
	}
	return func(i int) bool { return pick[i] }
}

// kinds are the ways to break machines, as the puzzles' README lists them.
var kinds = map[string]func(*maker){
	"none": func(k *maker) { k.truth.Kind = "none" },
	"version": func(k *maker) {
		path, name := k.pkg()
		for i := range k.chosen {
			k.put(i, path, fmt.Sprintf("%s+x%d", k.get(i, path), map[bool]int{true: 1, false: 2}[k.isBroken(i)]))
		}
		k.cause("pkg:" + name)
	},
	"missing": func(k *maker) {
		path, name := k.pkg()
		for i := range k.broken {
			k.put(i, path, "")
		}
		k.cause("pkg:" + name)
	},
	"line": func(k *maker) { k.cause("file:" + k.edit(k.isBroken)) },
	"mode": func(k *maker) {
		path := k.common("etc", "")
		f, _ := fact.ParseFile(k.get(0, path))
		if f.Kind == fact.KindLink {
			f.Target += ".old"
		} else {
			f.Group = "nogroup"
		}
		for i := range k.broken {
			k.put(i, path, f.String())
		}
		k.cause("file:" + path)
	},
	"state": func(k *maker) {
		_, name := k.pkg()
		for i := range k.broken {
			k.put(i, "pkg/"+name+"/state", "install ok half-configured")
		}
		k.cause("pkg:" + name)
	},
	"hardware": func(k *maker) {
		for i := range k.broken {
			k.put(i, "hw/pci/0000:0a:00.0", "1234:5678 class=0200 rev=01")
			k.put(i, "hw/pcidriver/0000:0a:00.0", "slowpoke")
		}
		k.cause("hw:pci:1234:5678")
	},
	"threshold": func(k *maker) {
		path, name := k.pkg()
		base := k.get(0, path)
		for i := range k.chosen {
			n := 1 + k.rng.IntN(3)
			if !k.isBroken(i) {
				n += 3
			}
			k.put(i, path, fmt.Sprintf("%s+x%d", base, n))
		}
		k.cause("pkg:" + name)
	},
	"noisy": func(k *maker) { // one broken machine does not have it, one working one has
		k.cause("file:" + k.edit(k.some(k.broken-1, 1)))
	},
	"and": func(k *maker) {
		k.truth.Kind = "and"
		third := (len(k.chosen) - k.broken) / 3
		path, name := k.pkg()
		base := k.get(0, path)
		for i := range k.chosen {
			n := 2
			if k.isBroken(i) || i < k.broken+third {
				n = 1
			}
			k.put(i, path, fmt.Sprintf("%s+x%d", base, n))
		}
		k.cause("pkg:" + name)
		k.cause("file:" + k.edit(func(i int) bool { return k.isBroken(i) || i >= len(k.chosen)-third }))
	},
	"or": func(k *maker) {
		k.truth.Kind = "or"
		half := k.some(k.broken/2, 0)
		path, name := k.pkg()
		for i := range k.broken {
			if half(i) {
				k.put(i, path, "")
			}
		}
		k.cause("pkg:" + name)
		k.cause("file:" + k.edit(func(i int) bool { return k.isBroken(i) && !half(i) }))
		for range 2 {
			k.edit(k.some(k.broken*8/10, (len(k.chosen)-k.broken)/4))
		}
	},
}

// makeCase breaks machines of the fleet in one way, the broken and the working
// from the same sites.
func makeCase(f fleet, kind string, seed uint64) caseOf {
	k := &maker{fleet: f, rng: rand.New(rand.NewPCG(seed, 7)), truth: truth{Kind: "single"}}
	bySite := map[string][]compare.Machine{}
	for _, m := range f.machines {
		bySite[m.Site] = append(bySite[m.Site], m)
	}
	sites := slices.Sorted(maps.Keys(bySite))
	k.rng.Shuffle(len(sites), func(a, b int) { sites[a], sites[b] = sites[b], sites[a] })
	var broken, working []compare.Machine
	per := 3 + k.rng.IntN(2)
	for _, site := range sites[:min(len(sites), 2+k.rng.IntN(2))] {
		ms := bySite[site]
		for n, i := range k.rng.Perm(len(ms)) {
			m := ms[i]
			m.ID = fmt.Sprintf("%s-%s", m.ID, site)
			m.Sections = maps.Clone(m.Sections)
			switch {
			case n < per:
				broken = append(broken, m)
			case n < per*5/2:
				working = append(working, m)
			}
		}
	}
	k.chosen, k.broken = append(broken, working...), len(broken)
	kinds[kind](k)
	g := compare.Groups{Broken: k.chosen[:k.broken], Working: k.chosen[k.broken:], Contents: func(d fact.Digest) ([]byte, error) {
		b, ok := f.contents[d]
		if !ok {
			return nil, fmt.Errorf("content %s is not here", d)
		}
		return b, nil
	}}
	return caseOf{kind, g, k.truth}
}

// play returns the mean score of n cases of each kind.
func play(t *testing.T, f fleet, n int) map[string]float64 {
	t.Helper()
	means := map[string]float64{}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		for seed := range n {
			c := makeCase(f, kind, uint64(seed))
			res, err := compare.Compare(t.Context(), c.groups)
			if err != nil {
				t.Fatal(err)
			}
			score, above := c.truth.score(res)
			means[kind] += score / float64(n)
			if score < 0.5 && testing.Verbose() {
				t.Logf("%s %d: score %.2f F=%v verdict %s chance %.3f %d v %d, truth %v", kind, seed, score, above, res.Verdict, res.Chance, len(c.groups.Broken), len(c.groups.Working), c.truth.Causes)
				logRows(t, res, 3)
			}
		}
	}
	return means
}

// TestCasesThatNobodyWroteDown plays cases of every kind that are made at random
// among noisy machines.
func TestCasesThatNobodyWroteDown(t *testing.T) {
	if testing.Short() {
		t.Skip("many comparisons: left out of short runs")
	}
	r := school(20, 20)
	g := r.groups()
	means := play(t, fleet{append(g.Broken, g.Working...), r.contents}, 4)
	total := 0.0
	for _, kind := range slices.Sorted(maps.Keys(means)) {
		t.Logf("%-10s %.3f", kind, means[kind])
		total += means[kind] / float64(len(means))
	}
	t.Logf("mean %.3f", total)
	if total < 0.85 {
		t.Errorf("mean %.3f, want at least 0.85", total)
	}
}
