package compare

import (
	"slices"
	"time"
)

// clock finds out since when the broken machines have had an attribute.
type clock struct {
	groups Groups
	field  *field
	reader *reader
}

// Limits of looking into history.
const (
	datedRows     = 60 // patterns that are dated
	datedFacts    = 60 // things in one pattern
	datedEach     = 4  // facts of one thing
	datedMachines = 12 // broken machines asked about one fact
	datedAlike    = 3  // of which so many are enough that tell the same day
)

// age is what is known of an attribute's beginning.
type age struct {
	known bool
	since time.Time // zero: so since the oldest record
}

// day returns what attributes have to share to be one change.
func (a age) day() string {
	if !a.known {
		return "unknown"
	}
	if a.since.IsZero() {
		return "always"
	}
	return a.since.UTC().Format("2006-01-02")
}

// of returns the median over the broken members.
func (c *clock) of(a *attr, lacks bool, member set) age {
	if c.groups.History == nil || a.holds == nil {
		return age{}
	}
	var times []time.Time
	alike := true
	for _, i := range spread(member.and(c.field.broken).numbers(), datedMachines) {
		if len(times) == datedAlike && alike {
			break
		}
		if t, ok := began(c.groups.History(c.field.fleet.ID(i), a.path), func(p Past) bool { return a.holds(i, p) != lacks }); ok {
			times = append(times, t)
			alike = alike && (age{true, t}).day() == (age{true, times[0]}).day()
		}
	}
	if len(times) == 0 {
		return age{}
	}
	slices.SortFunc(times, time.Time.Compare)
	return age{true, times[len(times)/2]}
}

// spread takes so many at most, evenly.
func spread(all []int, most int) []int {
	if len(all) <= most {
		return all
	}
	out := make([]int, most)
	for k := range out {
		out[k] = all[k*len(all)/most]
	}
	return out
}

// began returns since when so has been true without a break; the zero time if it
// was so from the oldest record on; false if it is not so, or nothing is known.
func began(past []Past, so func(Past) bool) (time.Time, bool) {
	i := len(past)
	for i > 0 && so(past[i-1]) {
		i--
	}
	switch i {
	case len(past):
		return time.Time{}, false
	case 0:
		return time.Time{}, true
	}
	return past[i].Since, true
}

// Weights of age. What began shortly before the trouble is more likely its cause
// than what was always so; what began after it is least likely. The weight only
// discounts: an old difference may have been woken by something else.
const (
	recentDays  = 14
	recentLeast = 0.8 // at recentDays before the onset
	oldWeight   = 0.6
	laterWeight = 0.5
	onsetSlack  = 36 * time.Hour // the onset is often known by the day only
)

func (c *clock) weight(a age) float64 {
	onset := c.groups.Onset
	switch {
	case !a.known || onset.IsZero():
		return 1
	case a.since.IsZero():
		return oldWeight
	case a.since.After(onset.Add(onsetSlack)):
		return laterWeight
	}
	days := max(0, onset.Sub(a.since).Hours()/24)
	if days > recentDays {
		return oldWeight
	}
	return 1 - (1-recentLeast)*days/recentDays
}
