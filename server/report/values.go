package report

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/query"
)

// Bounds of one step of a guided question.
const (
	defaultValues = 20
	maxValues     = 200
	maxDistinct   = 200_000 // values that are counted
)

// Values tells what there is to choose from about the CIs that a filter selects,
// most frequent first: the fields and sections that they have ("" as subject), the
// values of a field ("class"), of a field that people have added ("field(rack)"), of
// facts ("hw/cpu/model", where "*" is any one component), or what comes next below a
// path ("hw/"). Errors wrap ErrParam or ErrCost.
func Values(ctx context.Context, src Source, req *rollcallv1.ValuesRequest) (*rollcallv1.ValuesReply, error) {
	var at time.Time
	if req.GetAtMs() != 0 {
		at = time.UnixMilli(req.GetAtMs()).UTC()
	}
	found, err := src.Select(ctx, req.GetFilter(), at)
	if err != nil {
		return nil, err
	}
	c := &counter{ctx: ctx, src: src, machines: found, found: map[string]*rollcallv1.ValueCount{}}
	reply := &rollcallv1.ValuesReply{Machines: uint64(len(found))}
	if err := c.count(req.GetSubject(), at, reply); err != nil {
		return nil, err
	}
	c.page(req, reply)
	return reply, nil
}

// counter counts machines by what they have.
type counter struct {
	ctx      context.Context
	src      Source
	machines []Machine
	found    map[string]*rollcallv1.ValueCount
	kept     bool // the order in which they were made is that of the list
	order    []*rollcallv1.ValueCount
}

// count chooses how to look at a subject.
func (c *counter) count(subject string, at time.Time, reply *rollcallv1.ValuesReply) error {
	reply.Subject = subject
	if subject == "" {
		return c.subjects()
	}
	if name, ok := strings.CutPrefix(subject, "field("); ok {
		name = strings.TrimSuffix(name, ")")
		reply.Subject = term(query.OnOther, name)
		return c.fields(name)
	}
	if path, ok := strings.CutSuffix(subject, "/"); ok {
		return c.below(path)
	}
	if strings.Contains(subject, "/") {
		reply.Subject, reply.Kind = term(query.OnFact, subject), string(query.Version)
		if parts := strings.Split(subject, "/"); len(parts) == 3 && parts[0] == "pkg" && parts[2] == "version" {
			reply.Subject = term(query.OnPackage, parts[1])
		}
		return c.facts([]string{subject}, false)
	}
	info, ok := fieldNamed(subject)
	if !ok {
		return fmt.Errorf("%.40q: %w: it is no field, and no path of a fact such as hw/cpu/model", subject, ErrParam)
	}
	reply.Kind = string(info.Kind)
	switch {
	case info.Kind == query.Time:
		return c.ages(subject, cmp.Or(at, c.src.Now))
	case info.Kind == query.Tree:
		return c.tree(subject)
	case len(info.Facts) > 0 && !c.derived(subject):
		return c.facts(info.Facts, slices.ContainsFunc(info.Facts, lastIsMeant))
	}
	return c.fields(subject)
}

func fieldNamed(name string) (query.FieldInfo, bool) {
	fields := query.Fields()
	i := slices.IndexFunc(fields, func(f query.FieldInfo) bool { return f.Name == name })
	if i < 0 {
		return query.FieldInfo{}, false
	}
	return fields[i], true
}

// term writes what is compared in the filter language.
func term(target query.Target, name string) string {
	return query.Term{Target: target, Name: name}.String()
}

// wordFor writes a value as one word of the filter language.
func wordFor(value string) string {
	return strings.TrimPrefix(query.Term{Name: "x", Op: query.Equal, Values: []string{value}}.String(), "x = ")
}

// derived tells that the CI itself knows a field, whatever its facts say.
func (c *counter) derived(name string) bool {
	return len(c.machines) > 0 && func() bool { _, known := c.machines[0].Field(name); return known }()
}

// add counts n machines that have a value.
func (c *counter) add(value string, n int) (*rollcallv1.ValueCount, error) {
	v := c.found[value]
	if v == nil {
		if len(c.found) >= maxDistinct {
			return nil, fmt.Errorf("%w: more than %d different values: choose fewer CIs first", ErrCost, maxDistinct)
		}
		v = &rollcallv1.ValueCount{Value: value, Word: wordFor(value), Op: "="}
		c.found[value] = v
		c.order = append(c.order, v)
	}
	v.Machines += uint64(n)
	return v, nil
}

// fields counts the values of what is declared or derived.
func (c *counter) fields(name string) error {
	for _, m := range c.machines {
		values, _ := m.Field(name)
		for _, v := range values {
			if _, err := c.add(v, 1); err != nil {
				return err
			}
		}
	}
	return c.ctx.Err()
}

// tree counts places, each with all that is below it.
func (c *counter) tree(name string) error {
	for _, m := range c.machines {
		values, _ := m.Field(name)
		for _, place := range values {
			for i := range len(place) + 1 {
				if i < len(place) && place[i] != '/' {
					continue
				}
				v, err := c.add(place[:i], 1)
				if err != nil {
					return err
				}
				v.Word = wordFor(place[:i] + "/*")
			}
		}
	}
	return c.ctx.Err()
}

// spans are the ages that are offered of a time.
var spans = []struct {
	text string
	age  time.Duration
}{
	{"1d", 24 * time.Hour}, {"7d", 7 * 24 * time.Hour}, {"30d", 30 * 24 * time.Hour}, {"90d", 90 * 24 * time.Hour}, {"365d", 365 * 24 * time.Hour},
}

// ages counts how long ago a time is: less than each span, then more.
func (c *counter) ages(name string, now time.Time) error {
	c.kept = true
	var times []time.Time
	for _, m := range c.machines {
		values, _ := m.Field(name)
		for _, v := range values {
			if t, err := time.Parse(time.RFC3339, v); err == nil {
				times = append(times, t)
			}
		}
	}
	for _, op := range []string{"<", ">"} {
		for _, s := range spans {
			n := 0
			for _, t := range times {
				if age := now.Sub(t); op == "<" && age < s.age || op == ">" && age > s.age {
					n++
				}
			}
			if n == 0 {
				continue
			}
			v, err := c.add(op+" "+s.text, n)
			if err != nil {
				return err
			}
			v.Op, v.Word = op, s.text
		}
	}
	return nil
}

// sets gives each set of a section once, with how many machines have it: most sets
// are those of many.
func (c *counter) sets(section string, each func(set fact.Set, machines int) error) error {
	many := map[fact.Digest]int{}
	for _, m := range c.machines {
		_, then := m.Heads()
		if d, ok := then.State[section]; ok {
			many[d]++
		}
	}
	for d, n := range many {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		set, err := c.src.Items.LoadSet(d)
		if err == nil {
			err = each(set, n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// lastIsMeant tells that of such facts the last component is what a field means.
func lastIsMeant(pattern string) bool {
	return pattern == "module/*" || pattern == "user/*" || strings.HasSuffix(pattern, "/addr/*")
}

// facts counts the values of facts: a machine once for each that it has.
func (c *counter) facts(patterns []string, last bool) error {
	sections := map[string]bool{}
	for _, p := range patterns {
		if !fact.ValidSection(fact.SectionOf(p)) {
			return fmt.Errorf("%.80q: %w: it is no path of a fact", p, ErrParam)
		}
		sections[fact.SectionOf(p)] = true
	}
	if len(sections) > 1 {
		return c.eachFacts(patterns, last)
	}
	return c.sets(fact.SectionOf(patterns[0]), func(set fact.Set, n int) error {
		for v := range valuesIn(set, patterns, last) {
			if _, err := c.add(v, n); err != nil {
				return err
			}
		}
		return nil
	})
}

// eachFacts is facts for patterns of several sections.
func (c *counter) eachFacts(patterns []string, last bool) error {
	for _, m := range c.machines {
		has := map[string]bool{}
		for _, p := range patterns {
			stem, _, _ := strings.Cut(p, "*")
			set, err := m.FactsUnder(stem)
			if err != nil {
				return err
			}
			maps.Copy(has, valuesIn(set, []string{p}, last))
		}
		for v := range has {
			if _, err := c.add(v, 1); err != nil {
				return err
			}
		}
	}
	return c.ctx.Err()
}

func valuesIn(set fact.Set, patterns []string, last bool) map[string]bool {
	has := map[string]bool{}
	for _, p := range patterns {
		stem, _, _ := strings.Cut(p, "*")
		for _, f := range set.Below(stem) {
			if !within(p, f.Path) {
				continue
			}
			if last {
				has[f.Path[strings.LastIndexByte(f.Path, '/')+1:]] = true
			} else {
				has[f.Value] = true
			}
		}
	}
	return has
}

// below counts what comes next below a path: folders end with "/".
func (c *counter) below(path string) error {
	depth := strings.Count(path, "/") + 1
	if !fact.ValidSection(fact.SectionOf(path)) {
		return fmt.Errorf("%.80q: %w: it is no path of a fact", path, ErrParam)
	}
	stem, _, _ := strings.Cut(path+"/", "*")
	err := c.sets(fact.SectionOf(path), func(set fact.Set, n int) error {
		next := map[string]bool{}
		for _, f := range set.Below(stem) {
			parts := strings.Split(f.Path, "/")
			if len(parts) <= depth || !within(path, strings.Join(parts[:depth], "/")) {
				continue
			}
			if len(parts) > depth+1 {
				next[parts[depth]+"/"] = true
			} else {
				next[parts[depth]] = true
			}
		}
		for part := range next {
			v, err := c.add(part, n)
			if err != nil {
				return err
			}
			v.Subject = path + "/" + part
			if path == "pkg" {
				v.Subject += "version"
			}
		}
		return nil
	})
	return err
}

// subjects counts which fields and sections the machines have anything of.
func (c *counter) subjects() error {
	for _, f := range query.Fields() {
		if f.Name == "class" || f.Name == "site" || f.Name == "ci" || f.Name == "name" {
			continue // asked before, or of one machine each
		}
		one := &counter{ctx: c.ctx, src: c.src, machines: c.machines, found: map[string]*rollcallv1.ValueCount{}}
		n, err := one.having(f)
		if err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		v, err := c.add(f.Name, n)
		if err != nil {
			return err
		}
		v.Subject, v.Help = f.Name, f.Help
	}
	for _, m := range c.machines {
		_, then := m.Heads()
		for section := range then.State {
			v, err := c.add(section+"/", 1)
			if err != nil {
				return err
			}
			v.Subject, v.Help = section+"/", sections[section]
		}
		for name := range then.Fields {
			if _, ok := fieldNamed(name); ok {
				continue
			}
			subject := term(query.OnOther, name)
			v, err := c.add(subject, 1)
			if err != nil {
				return err
			}
			v.Subject, v.Help = subject, "declared by people"
		}
	}
	return c.ctx.Err()
}

// having counts the machines that have any value of a field.
func (c *counter) having(f query.FieldInfo) (n int, err error) {
	if len(f.Facts) == 0 || c.derived(f.Name) {
		for _, m := range c.machines {
			if values, _ := m.Field(f.Name); len(values) > 0 {
				n++
			}
		}
		return n, c.ctx.Err()
	}
	for _, p := range f.Facts { // of several sections the one that most have: a machine counts once
		here := 0
		err := c.sets(fact.SectionOf(p), func(set fact.Set, machines int) error {
			if len(valuesIn(set, []string{p}, false)) > 0 {
				here += machines
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
		n = max(n, here)
	}
	return n, nil
}

// sections say what the facts of a section are about.
var sections = map[string]string{
	"id": "what the machine is", "hw": "hardware", "net": "network", "os": "operating system", "pkg": "packages", "etc": "files of /etc",
	"conffile": "configuration files of packages", "svc": "services", "apt": "where packages come from, what is to be upgraded", "fs": "file systems",
	"user": "local users", "group": "local groups", "port": "listening ports", "module": "kernel modules", "ssh": "SSH host keys", "secret": "fingerprints of secrets",
	"setting": "settings of files that are sealed", "app": "software beside Debian's packages", "printer": "printers", "cert": "certificates",
	"backup": "backups", "antivirus": "virus scanner", "guest": "virtual machines and containers", "cron": "crontabs", "apparmor": "AppArmor",
	"firewall": "packet filter", "dhcp": "who gives addresses", "time": "who sets the clock", "verify": "files that are not as they were shipped",
	"leftover": "versions that wait beside configuration files", "agent": "the agent itself",
}

// page leaves what was asked for: what holds a text, and of that one page.
func (c *counter) page(req *rollcallv1.ValuesRequest, reply *rollcallv1.ValuesReply) {
	all := c.order
	if narrow := strings.ToLower(req.GetNarrow()); narrow != "" {
		all = slices.DeleteFunc(all, func(v *rollcallv1.ValueCount) bool {
			return !strings.Contains(strings.ToLower(v.GetValue()+" "+v.GetHelp()), narrow)
		})
	}
	if !c.kept {
		slices.SortFunc(all, func(a, b *rollcallv1.ValueCount) int {
			return cmp.Or(cmp.Compare(b.GetMachines(), a.GetMachines()), naturally(a.GetValue(), b.GetValue()))
		})
	}
	reply.Total = uint64(len(all))
	limit := int(req.GetLimit())
	if limit == 0 {
		limit = defaultValues
	}
	from := min(int(req.GetSkip()), len(all))
	reply.Values = all[from:min(from+min(limit, maxValues), len(all))]
}

// naturally orders numbers as numbers, all else as text.
func naturally(a, b string) int {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	if errX == nil && errY == nil {
		return cmp.Compare(x, y)
	}
	return strings.Compare(a, b)
}
