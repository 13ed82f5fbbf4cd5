package compare_test

import (
	"cmp"
	"context"
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
	past     func(id, path string) []compare.Past
}

// caseOf is a made-up case with its truth.
type caseOf struct {
	kind   string
	groups compare.Groups
	truth  truth
}

// maker breaks machines in one way.
type maker struct {
	fleet      fleet
	rng        *rand.Rand
	chosen     []compare.Machine // copies
	broken     []bool            // of each
	siteNumber []int
	truth      truth
	made       map[fact.Digest][]byte // contents of the case alone
	past       func(id, path string) []compare.Past
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

func (k *maker) isBroken(i int) bool { return k.broken[i] }

func (k *maker) count() int {
	n := 0
	for _, b := range k.broken {
		if b {
			n++
		}
	}
	return n
}

// some returns a predicate: of the broken so many, of the working so many.
func (k *maker) some(broken, working int) func(int) bool {
	pick := map[int]bool{}
	for _, i := range k.rng.Perm(len(k.chosen)) {
		switch {
		case k.broken[i] && broken > 0:
			broken--
			pick[i] = true
		case !k.broken[i] && working > 0:
			working--
			pick[i] = true
		}
	}
	return func(i int) bool { return pick[i] }
}

func (k *maker) content(d fact.Digest) []byte {
	if b, ok := k.made[d]; ok {
		return b
	}
	return k.fleet.contents[d]
}

// sourceOf names the source of a package.
func (k *maker) sourceOf(name string) string {
	return cmp.Or(k.get(0, "pkg/"+name+"/source"), name)
}

// binaries gives the version paths of all packages of a source.
func (k *maker) binaries(source string) []string {
	out := []string{}
	for _, f := range k.chosen[0].Sections["pkg"] {
		name, ok := strings.CutSuffix(strings.TrimPrefix(f.Path, "pkg/"), "/version")
		if ok && k.sourceOf(name) == source {
			out = append(out, f.Path)
		}
	}
	return out
}

// editable picks a configuration file that all machines have and that can be read.
func (k *maker) editable() string {
	for range 10000 {
		s := k.chosen[0].Sections["etc"]
		x := s[k.rng.IntN(len(s))]
		if strings.Contains(x.Path, "/ssl/") || strings.HasSuffix(x.Path, "~") || x.Path == "etc/motd" || strings.HasPrefix(x.Path, "etc/fonts/") {
			continue
		}
		all := !slices.ContainsFunc(k.chosen, func(m compare.Machine) bool {
			v, _ := m.Sections["etc"].Get(x.Path)
			f, err := fact.ParseFile(v)
			return err != nil || f.Kind != fact.KindPlain || len(k.content(f.Digest)) > 20000 || len(settingLines(string(k.content(f.Digest)))) < 2
		})
		if all {
			return x.Path
		}
	}
	panic("no editable file")
}

// makeCase breaks machines of the fleet in one way; nil if it has too few.
func makeCase(f fleet, name string, seed uint64) *caseOf {
	kind := kinds[name]
	k := &maker{fleet: f, rng: rand.New(rand.NewPCG(seed, 7)), truth: truth{Kind: "single"}, made: map[fact.Digest][]byte{}, past: f.past}
	if !k.choose(kind.sites) {
		return nil
	}
	kind.make(k)
	g := compare.Groups{Onset: onset, Contents: func(d fact.Digest) ([]byte, error) {
		if b := k.content(d); b != nil {
			return b, nil
		}
		return nil, fmt.Errorf("content %s is not here", d)
	}}
	if k.past != nil {
		g.History = k.past
	}
	for i, m := range k.chosen {
		if k.broken[i] {
			g.Broken = append(g.Broken, m)
		} else {
			g.Working = append(g.Working, m)
		}
	}
	return &caseOf{name, g, k.truth}
}

// choose picks sites with enough machines, and machines of them at random.
func (k *maker) choose(splits []split) bool {
	bySite := map[string][]compare.Machine{}
	for _, m := range k.fleet.machines {
		bySite[m.Site] = append(bySite[m.Site], m)
	}
	sites := slices.Sorted(maps.Keys(bySite))
	k.rng.Shuffle(len(sites), func(a, b int) { sites[a], sites[b] = sites[b], sites[a] })
	slices.SortStableFunc(sites, func(a, b string) int { return min(len(bySite[b]), 9) - min(len(bySite[a]), 9) })
	for n, s := range splits {
		at := slices.IndexFunc(sites, func(site string) bool { return len(bySite[site]) >= s.broken+s.working })
		if at < 0 {
			return false
		}
		ms := bySite[sites[at]]
		sites = slices.Delete(sites, at, at+1)
		for j, i := range k.rng.Perm(len(ms))[:s.broken+s.working] {
			m := ms[i]
			m.Sections = maps.Clone(m.Sections)
			k.chosen, k.broken, k.siteNumber = append(k.chosen, m), append(k.broken, j < s.broken), append(k.siteNumber, n)
		}
	}
	return true
}

// TestCasesThatNobodyWroteDown plays many made-up cases of each kind among noisy
// machines. Each set of thirteen is scored as the shared puzzles are.
func TestCasesThatNobodyWroteDown(t *testing.T) {
	playCases(t, compare.Compare, 0.75, 0.95, 0.85)
}

// TestLargeGroupsAreJudgedAsWell plays the same cases as if each machine were one of
// very many. What comes first is to be the same. How likely it is by chance is told
// there by the exact test, corrected for all that was looked at, which is too strict
// for seventeen machines: here a chance below one half is enough.
func TestLargeGroupsAreJudgedAsWell(t *testing.T) {
	playCases(t, func(ctx context.Context, g compare.Groups) (compare.Result, error) {
		res, err := compare.CompareLarge(ctx, g)
		if res.Chance < 0.5 {
			res.Verdict = compare.Cause
		}
		return res, err
	}, 0.75, 0.95, 0.85)
}

// playCases plays sets of cases and demands a mean of each kind, of all, and of the
// worst set.
func playCases(t *testing.T, ask asker, eachKind, all, worstSet float64) {
	t.Helper()
	sets := 10
	if testing.Short() {
		sets = 3
	}
	total, worst := 0.0, 1.0
	means := map[string]float64{}
	for seed := range sets {
		f := noisyFleet(uint64(seed))
		set := 0.0
		for _, kind := range slices.Sorted(maps.Keys(kinds)) {
			score := playCase(t, ask, f, kind, uint64(seed))
			set += score / float64(len(kinds))
			means[kind] += score / float64(sets)
		}
		total += set / float64(sets)
		worst = min(worst, set)
	}
	for _, kind := range slices.Sorted(maps.Keys(means)) {
		t.Logf("%-15s %.3f", kind, means[kind])
		if means[kind] < eachKind {
			t.Errorf("%s: mean %.3f, want at least %.2f", kind, means[kind], eachKind)
		}
	}
	t.Logf("mean %.3f of %d sets, the worst %.3f", total, sets, worst)
	if total < all || worst < worstSet {
		t.Errorf("mean %.3f, the worst set %.3f: want %.2f and %.2f", total, worst, all, worstSet)
	}
}

type asker func(context.Context, compare.Groups) (compare.Result, error)

// playCase scores the answer to one case. More than five false rows above the
// right one are a failure whatever the mean is.
func playCase(t *testing.T, ask asker, f fleet, kind string, seed uint64) float64 {
	t.Helper()
	c := makeCase(f, kind, seed)
	if c == nil {
		t.Fatalf("%s: the fleet has too few machines", kind)
	}
	res, err := ask(t.Context(), c.groups)
	if err != nil {
		t.Fatal(err)
	}
	score, above := c.truth.score(res)
	if len(above) > 0 && slices.Max(above) > 5 {
		t.Errorf("%s %d: %v false rows above the right one", kind, seed, above)
	}
	if score < 1 && testing.Verbose() {
		t.Logf("%s %d: score %.2f F=%v verdict %s chance %.3f %d v %d, truth %v", kind, seed, score, above, res.Verdict, res.Chance, len(c.groups.Broken), len(c.groups.Working), c.truth.Causes)
		logRows(t, res, 3)
	}
	return score
}
