package compare

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Limits of one row.
const (
	listedFacts    = 40
	listedMachines = 20
	listedIDs      = 1000 // attributes whose ids are given
	ratedRows      = 400  // rows that are made before the list is cut
)

// draft is a row in the making.
type draft struct {
	attrs []*attr
	lacks []bool
	age   age
}

// rows turns patterns and pairs into rows, best first, until there are as many as
// are wanted that no other could come before. Of the others only the exact tests
// are returned, as rest.
func (t *table) rows(ctx context.Context, r found, c *clock, want int) (out, rest []Row, err error) {
	f := t.f
	for _, pr := range r.pairs {
		if err := t.tell(ctx, []*pattern{pr.x, pr.y}); err != nil {
			return nil, nil, err
		}
		out = append(out, f.pairRow(pr, c))
	}
	rated := r.patterns[:min(len(r.patterns), ratedRows)]
	for i := range rated {
		if rated[i].score <= 0 {
			break
		}
		if len(rest) > 0 || settled(out, want, rated[i].score) {
			rest = append(rest, Row{P: f.exact(rated[i])})
			continue
		}
		if err := t.tellNext(ctx, rated, i); err != nil {
			return nil, nil, err
		}
		p := rated[i]
		for _, d := range f.drafts(p, c, i < datedRows) {
			out = append(out, f.row(p, d, c))
		}
	}
	return fold(inScore(out)), rest, t.err
}

func inScore(rows []Row) []Row {
	slices.SortStableFunc(rows, func(a, b Row) int { return cmp.Compare(b.Score, a.Score) })
	return rows
}

// settled tells whether as many rows as are wanted come before any whose score is
// at most score.
func settled(rows []Row, want int, score float64) bool {
	if len(rows) < want {
		return false
	}
	n := 0
	for _, r := range fold(inScore(slices.Clone(rows))) {
		if r.Score > score {
			n++
		}
	}
	return n >= want
}

// drafts splits a pattern by when its attributes came to be: what came to the
// same machines on different days are different changes.
func (f *field) drafts(p *pattern, c *clock, dated bool) []draft {
	if !dated || c.groups.History == nil {
		return []draft{{attrs: p.attrs, lacks: p.lacks}}
	}
	byDay := map[string]*draft{}
	ages, asked := map[thing]age{}, map[thing]int{}
	for i, a := range p.attrs {
		g := ages[a.object] // what is known of the same thing, once enough is
		if len(asked) < datedFacts && asked[a.object] < datedEach {
			g = c.of(a, p.lacks[i], f.members(p))
			asked[a.object]++
			ages[a.object] = g
		}
		d := byDay[g.day()]
		if d == nil {
			d = &draft{age: g}
			byDay[g.day()] = d
		}
		d.attrs, d.lacks = append(d.attrs, a), append(d.lacks, p.lacks[i])
	}
	var out []draft
	for _, day := range slices.Sorted(maps.Keys(byDay)) {
		out = append(out, *byDay[day])
	}
	return out
}

func (f *field) row(p *pattern, d draft, c *clock) Row {
	prior := 0.0
	for _, a := range d.attrs {
		prior = max(prior, a.prior)
	}
	r := f.told(p)
	r.Score = weigh(weigh(f.evidence(p), prior), c.weight(d.age))
	r.Since = d.age.since
	r.SiteOnly = f.siteOnly(p)
	r.name(d)
	r.Why = f.why(r, d.age, c)
	return r
}

// told fills in who has it.
func (f *field) told(p *pattern) Row {
	member := f.members(p)
	return Row{
		Broken:  Count{p.Broken, p.all.Broken},
		Working: Count{p.Near + p.Rest, p.all.Near + p.all.Rest},
		Without: f.ids(p.known.bits.and(f.broken).minus(member)),
		Despite: f.ids(member.and(f.working)),
		P:       f.exact(p),
	}
}

func (f *field) ids(s set) []string {
	var out []string
	for _, i := range s.first(listedMachines) {
		out = append(out, f.fleet.ID(i))
	}
	return out
}

// siteOnly tells whether all machines of a site have it or none, and the sites
// differ: then it cannot be told from anything else about those sites.
func (f *field) siteOnly(p *pattern) bool {
	member, sites, mixed := f.members(p), 0, false
	f.eachSite(func(from, to int) {
		if mixed {
			return
		}
		have, all := 0, 0
		for i := from; i < to; i++ {
			if p.known.bits.has(i) {
				all++
			}
			if member.has(i) {
				have++
			}
		}
		if all > 0 {
			sites++
		}
		mixed = have > 0 && have < all
	})
	return !mixed && sites > 1
}

// name fills in what the row is about from its most telling attribute.
func (r *Row) name(d draft) {
	order := d.order()
	for _, i := range order[:min(len(order), listedIDs)] {
		r.IDs = append(r.IDs, d.attrs[i].ids()...)
	}
	for _, i := range order[:min(len(order), listedFacts)] {
		a := d.attrs[i]
		text := a.yes()
		if d.lacks[i] {
			text = a.no()
		}
		r.Facts = append(r.Facts, Difference{a.ids()[0], a.path, text})
	}
	r.IDs, r.More = eachOnce(r.IDs), len(order)-len(r.Facts)
	first := order[0]
	r.Kind = d.attrs[first].kind
	r.What = r.Facts[0].Text
	if other := instead(d, order); other != "" {
		r.What += " instead of " + other
	}
	r.object, r.objects = d.attrs[first].object, make(map[thing]bool, len(order))
	var before thing
	for _, a := range d.attrs {
		if a.object != before {
			r.objects[a.object] = true
		}
		before = a.object
	}
	if n := len(r.objects) - 1; n > 0 {
		r.What += fmt.Sprintf(" (and %d other things on the same machines)", n)
	}
}

// eachOnce sorts texts and leaves out what is in them already.
func eachOnce(all []string) []string {
	slices.Sort(all)
	return slices.Compact(all)
}

// order puts the most telling attributes first. Those that tell as much stay in the
// order of their paths.
func (d draft) order() []int {
	type group struct {
		prior float64
		rank  int
		of    []int
	}
	var groups []group
	at := 0
	for i, a := range d.attrs {
		rank := rank(a, d.lacks[i])
		if at >= len(groups) || groups[at].prior != a.prior || groups[at].rank != rank {
			at = slices.IndexFunc(groups, func(g group) bool { return g.prior == a.prior && g.rank == rank })
		}
		if at < 0 {
			at = len(groups)
			groups = append(groups, group{prior: a.prior, rank: rank})
		}
		groups[at].of = append(groups[at].of, i)
	}
	slices.SortFunc(groups, func(a, b group) int { return cmp.Or(cmp.Compare(b.prior, a.prior), a.rank-b.rank) })
	out := make([]int, 0, len(d.attrs))
	for _, g := range groups {
		out = append(out, g.of...)
	}
	return out
}

// rank puts what machines have before what they lack, and within packages the
// program before its parts.
func rank(a *attr, lacks bool) int {
	n := 0
	if lacks {
		n++
	}
	if a.detail {
		n++
	}
	if a.object.prefix == "fact:" || strings.HasPrefix(a.object.name, "fact:") {
		n += 2
	}
	if a.kind == Package && a.id.name != a.object.name {
		n += 2
	}
	return n
}

// instead returns the line of the same file that the others have in its place.
func instead(d draft, order []int) string {
	first := d.attrs[order[0]]
	if first.kind != File || d.lacks[order[0]] || !strings.HasPrefix(first.yes(), "line `") {
		return ""
	}
	key := keyOf(first.yes())
	for _, i := range order[1:] {
		a := d.attrs[i]
		if a.object != first.object || !d.lacks[i] {
			continue
		}
		if yes := a.yes(); strings.HasPrefix(yes, "line `") && strings.EqualFold(keyOf(yes), key) {
			return yes[len("line "):strings.LastIndex(yes, " in /")]
		}
	}
	return ""
}

// keyOf gives the key of a line with the blocks around it.
func keyOf(words string) string {
	words = strings.TrimPrefix(words, "line `")
	words = words[:strings.LastIndexByte(words, '`')]
	block := ""
	if i := strings.LastIndex(words, " > "); i >= 0 {
		block, words = words[:i], words[i+3:]
	}
	if i := strings.LastIndex(words, " = "); i >= 0 {
		return block + " > " + words[:i]
	}
	if before, _, ok := strings.Cut(words, "="); ok {
		return block + " > " + strings.TrimSpace(before)
	}
	key, _, _ := strings.Cut(words, " ")
	return block + " > " + key
}

// why says in a sentence why the row stands where it stands.
func (f *field) why(r Row, a age, c *clock) string {
	s := fmt.Sprintf("%s broken and %s working machines", r.Broken, r.Working)
	switch {
	case len(r.Without) == 0 && len(r.Despite) == 0:
		s += "; no counter-example"
	case len(r.Despite) == 0:
		s += "; no working machine has it"
	case len(r.Without) == 0:
		s += "; every broken machine has it"
	}
	switch {
	case !a.known:
	case a.since.IsZero():
		s += "; so since the oldest record"
	default:
		s += "; since " + a.since.UTC().Format("2006-01-02 15:04")
		if onset := c.groups.Onset; !onset.IsZero() && a.since.After(onset.Add(onsetSlack)) {
			s += ", after the trouble began"
		}
	}
	if r.SiteOnly {
		s += "; goes with the site, so anything else about the site explains as much"
	}
	return s
}

// pairRow makes the row of a pair from those of its parts.
func (f *field) pairRow(pr pair, c *clock) Row {
	r := f.told(pr.union)
	r.Kind, r.Score = pr.kind, pr.union.score
	word := " and "
	if pr.kind == Either {
		word = " or "
	}
	recent := 0.0
	for _, p := range []*pattern{pr.x, pr.y} {
		d := f.drafts(p, c, true)
		slices.SortStableFunc(d, func(a, b draft) int { return cmp.Compare(c.weight(b.age), c.weight(a.age)) })
		part := f.row(p, d[0], c)
		recent = max(recent, c.weight(d[0].age))
		if r.What != "" {
			r.What += word
		}
		r.What += part.What
		r.Facts = append(r.Facts, part.Facts[:min(len(part.Facts), listedFacts/2)]...)
		r.More += part.More + max(0, len(part.Facts)-listedFacts/2)
		r.IDs = append(r.IDs, part.IDs...)
		if part.Since.After(r.Since) {
			r.Since = part.Since
		}
	}
	r.Score = weigh(r.Score, recent)
	r.IDs = eachOnce(r.IDs)
	r.Why = f.why(r, age{}, c) + "; only together"
	if pr.kind == Either {
		r.Why = f.why(r, age{}, c) + "; each explains a part"
	}
	return r
}

// fold drops rows that say less about the same thing than a row above them.
func fold(rows []Row) []Row {
	above := map[thing][]map[thing]bool{}
	out := rows[:0]
	for _, r := range rows {
		if r.object != (thing{}) {
			if covered(r.objects, above[r.object]) {
				continue
			}
			above[r.object] = append(above[r.object], r.objects)
		}
		out = append(out, r)
	}
	return out
}

// covered tells whether each of some objects is in one of several.
func covered(objects map[thing]bool, above []map[thing]bool) bool {
	for o := range objects {
		if !slices.ContainsFunc(above, func(all map[thing]bool) bool { return all[o] }) {
			return false
		}
	}
	return true
}
