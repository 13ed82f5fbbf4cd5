package sim

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
)

// MaxMachines is the size of the largest fleet.
const MaxMachines = 1_000_000

// Fleet is the machines of a made-up country of schools on one virtual day,
// made from real data: which packages with which versions, which files of /etc,
// which hardware. The same seed, size and day give the same fleet.
//
// Only what happened to a machine is kept, some dozen bytes; its facts are made
// when they are asked for. Reading is safe for concurrent use, also while other
// machines change; one machine must not be changed while it is read.
type Fleet struct {
	seed    uint64
	day     Day
	data    *catalogue
	schools []school
	before  []int // machines of the schools before each one
	now     []state

	bases bases
}

// Profile is the role that a machine was installed for: a list of packages.
type Profile uint8

// The profiles of Debian Edu that the data has.
const (
	MainServer Profile = iota
	LTSPServer
	Workstation
	Roaming
	Thin
	profiles int = iota
)

var profileNames = [profiles]string{"mainserver", "ltspserver", "workstation", "roaming", "thin"}

// String names the profile as the data does.
func (p Profile) String() string { return profileNames[p] }

// Class is what a CI of this profile is.
func (p Profile) Class() string {
	return [profiles]string{"server", "server", "workstation", "laptop", "thin-client"}[p]
}

// policy is when a school's machines install updates.
type policy uint8

const (
	nightly policy = iota
	weekly
	holidays
	frozen
)

var policyNames = []string{"nightly", "weekly", "holidays", "frozen"}

// school is a site with its machines: main server first, LTSP server next where
// there are many clients, then the clients, room by room.
type school struct {
	path    string // municipality/school
	clients int
	servers int
	policy  policy
	mix     []float64 // workstation, roaming, thin
	models  [3]int    // two desktops and a notebook that were bought
	extras  []int     // packages, sorted
	set     Day       // the school's machines were installed on
}

// state is what happened to one machine until now.
type state struct {
	updated  Day   // its packages are those of this day
	lists    Day   // it knows of the updates of this day
	booted   Day   // it runs the kernel of this day
	edits    uint8 // edits of files of /etc by hand
	installs uint8 // how often it was installed anew
	parts    uint8 // how often a part was replaced
	moves    uint8 // how often it was moved to another room
}

// Options choose a fleet.
type Options struct {
	Machines int
	Seed     uint64
	Day      Day // the virtual day on which everybody was last heard of
}

// New makes a fleet.
func New(o Options) (*Fleet, error) {
	if o.Machines < 1 || o.Machines > MaxMachines {
		return nil, fmt.Errorf("fleet of %d machines: want 1 to %d", o.Machines, MaxMachines)
	}
	if o.Day > LastDay {
		return nil, fmt.Errorf("fleet of day %d: the data ends with day %d, %s", o.Day, LastDay, LastDay)
	}
	data, err := theCatalogue()
	if err != nil {
		return nil, err
	}
	f := &Fleet{seed: o.Seed, day: o.Day, data: data}
	if err := f.plan(o.Machines); err != nil {
		return nil, err
	}
	f.now = make([]state, o.Machines)
	for i := range f.now {
		m := f.Member(i)
		s := &f.now[i]
		s.updated, s.lists = f.policyDay(i, m, o.Day), o.Day
		s.booted = s.updated
		if m.Profile == Thin {
			s.lists = s.updated // nobody looks for updates in an image
		}
		s.edits = uint8(min(100, poisson(f.draw(i, "edits"), data.layout.EditedFiles)))
	}
	return f, nil
}

// plan founds schools until there is room for n machines; of the last one only
// some may be there.
func (f *Fleet) plan(n int) error {
	frozenAt, err := ParseDay(f.data.layout.FrozenAt)
	if err != nil {
		return fmt.Errorf("simulator's data: sites.json: %w", err)
	}
	if frozenAt == 0 || len(f.data.layout.Sizes) == 0 || len(f.data.layout.Mix) == 0 {
		return errors.New("simulator's data: sites.json: no sizes or mixes")
	}
	for total := 0; total < n; {
		s := f.found(len(f.schools), n)
		f.schools, f.before = append(f.schools, s), append(f.before, total)
		total += s.clients + s.servers
	}
	return nil
}

// found makes a school. In a fleet below 1,000 each has 50 clients, as the ten
// schools with 500 clients of the example have.
func (f *Fleet) found(number, machines int) school {
	l := f.data.layout
	of := func(what string, more ...uint64) uint64 {
		return draw(f.seed, append([]uint64{word("school"), uint64(number), word(what)}, more...)...)
	}
	s := school{path: fmt.Sprintf("kommune-%03d/skole-%04d", number/12, number), clients: 50, servers: 1}
	if machines >= 1000 {
		s.clients = l.Sizes[pick(of("size"), len(l.Sizes))]
	}
	if s.clients > 40 {
		s.servers = 2
	}
	weights := make([]float64, len(policyNames))
	for i, name := range policyNames {
		weights[i] = l.Policies[name]
	}
	s.policy = policy(weighted(of("policy"), weights))
	mix := l.Mix[pick(of("mix"), len(l.Mix))]
	s.mix = []float64{mix["workstation"], mix["roaming"], mix["thin"]}
	for i, class := range []string{"Desktop", "Desktop", "Notebook"} {
		s.models[i] = f.model(of("model", uint64(i)), class)
	}
	for i := range poisson(of("extras"), l.SiteExtras) {
		s.extras = append(s.extras, f.data.extras[pick(of("extra", uint64(i)), len(f.data.extras))])
	}
	slices.Sort(s.extras)
	s.extras = slices.Compact(s.extras)
	s.set = Day(pick(of("set"), installDays) * 9)
	return s
}

// installDays bounds on how many days schools were installed, so that accounts
// made then are the same on many machines.
const installDays = 40

// model chooses a model of a class, each as often as it was seen.
func (f *Fleet) model(d uint64, class string) int {
	weights := make([]float64, len(f.data.models))
	for i, m := range f.data.models {
		if m.Class == class {
			weights[i] = m.Count
		}
	}
	return weighted(d, weights)
}

// Len is the number of machines. They are numbered from 0.
func (f *Fleet) Len() int { return len(f.now) }

// Day is the virtual day.
func (f *Fleet) Day() Day { return f.day }

// draw is draw for a value of one machine.
func (f *Fleet) draw(i int, what string, more ...uint64) uint64 {
	return draw(f.seed, append([]uint64{word("machine"), uint64(i), word(what)}, more...)...)
}

// Member is one machine of a fleet: what it is and where it stands.
type Member struct {
	Number  int
	Name    string // hostname
	Profile Profile
	School  string // site of the school: municipality/school
	Site    string // site of the room: municipality/school/building/room
	Policy  string // when it installs updates

	at     int // number within the school
	school *school
}

// Member describes a machine. It panics if there is none with this number.
func (f *Fleet) Member(i int) Member {
	n := sort.SearchInts(f.before, i+1) - 1
	s := &f.schools[n]
	m := Member{Number: i, School: s.path, Policy: policyNames[s.policy], at: i - f.before[n], school: s}
	switch {
	case m.at == 0:
		m.Profile = MainServer
	case m.at < s.servers:
		m.Profile = LTSPServer
	default:
		m.Profile = [3]Profile{Workstation, Roaming, Thin}[weighted(f.draw(i, "profile"), s.mix)]
	}
	m.Name = fmt.Sprintf("skole%04d-%s%03d", n, [profiles]string{"tjener", "ltsp", "ws", "bb", "tk"}[m.Profile], m.at)
	m.Site = f.site(m, f.moves(i))
	return m
}

// perRoom is how many clients stand in a room.
const perRoom = 24

// moves tells how often a machine was moved; New asks before there are states.
func (f *Fleet) moves(i int) uint8 {
	if i < len(f.now) {
		return f.now[i].moves
	}
	return 0
}

// site is where a machine stands that was moved so often: at first in a room with
// its neighbours, then in a workshop of the same building.
func (f *Fleet) site(m Member, moves uint8) string {
	if m.at < m.school.servers {
		return m.School + "/bygg-a/serverrom"
	}
	room := (m.at - m.school.servers) / perRoom
	building := m.School + "/bygg-" + string('a'+rune(room/4))
	if moves > 0 {
		return fmt.Sprintf("%s/verksted-%d", building, moves%3+1)
	}
	return fmt.Sprintf("%s/rom-%d%02d", building, room/4+1, room%4+1)
}

// Schools lists the sites of the schools and the municipalities that they lie in,
// these first.
func (f *Fleet) Schools() []string {
	sites := map[string]bool{}
	for _, s := range f.schools {
		municipality, _, _ := strings.Cut(s.path, "/")
		sites[municipality], sites[s.path] = true, true
	}
	return slices.SortedFunc(maps.Keys(sites), func(a, b string) int {
		return cmp.Or(strings.Count(a, "/")-strings.Count(b, "/"), strings.Compare(a, b))
	})
}

// policyDay is the day whose packages a machine has on a day.
func (f *Fleet) policyDay(i int, m Member, day Day) Day {
	d := int(day)
	switch m.school.policy {
	case weekly:
		d -= (d + pick(f.draw(i, "weekday"), 7)) % 7
	case holidays:
		d = lastHoliday(day)
	case frozen:
		at, err := ParseDay(f.data.layout.FrozenAt)
		if err == nil { // plan has read it
			d = min(d, int(at))
		}
	}
	if m.Profile == Thin {
		d -= d % 14 // it boots the school's image, which is made anew in 14 days
	}
	if share(f.draw(i, "off")) < f.data.layout.PoweredOff {
		d -= 7 * poisson(f.draw(i, "off weeks"), 9)
	}
	return Day(max(0, d))
}

// lastHoliday is the newest day of holidays until day: 20 December, 20 February,
// 25 June, 5 October.
func lastHoliday(day Day) int {
	t := day.Time()
	best := 0
	for year := t.Year() - 1; year <= t.Year(); year++ {
		for _, date := range []string{"02-20", "06-25", "10-05", "12-20"} {
			if d, err := ParseDay(fmt.Sprintf("%d-%s", year, date)); err == nil && d <= day {
				best = max(best, int(d))
			}
		}
	}
	return best
}
