package collect

import (
	"strconv"
	"strings"
)

// class tells what a change of a value means.
type class int

const (
	stable    class = iota // every change is history
	bucketed               // rounded, then as stable
	eventLike              // counts after it was seen, or missed, in two runs
	lasting                // as eventLike, but missing means nothing while its siblings are there
	volatile               // latest value only: a measurement, never a fact
)

// rule gives the facts at a pattern a class. In a pattern "*" stands for one
// component and a last "**" for the rest.
type rule struct {
	pattern string
	class   class
	round   bucket // for bucketed; event-like facts may have one too
}

// rules is the one table of classes; the first rule that fits counts, and what
// none fits is stable. A collector may well put volatile values into its sink
// as facts: here is where they are kept out of history.
func rules() []rule {
	const mib = 1 << 20
	return []rule{
		// Hardware. MemTotal moves with the kernel, capacities with wear.
		{"hw/memory/total", bucketed, step(64 * mib)},
		{"hw/battery/*/full", bucketed, percent(5)},
		{"hw/battery/*/cycles", volatile, nil},
		{"hw/usb/*", eventLike, nil},
		{"hw/removable/**", eventLike, nil},
		{"hw/monitor/**", eventLike, nil},
		{"hw/raid/*/sync", volatile, nil},
		{"hw/alarm/**", eventLike, nil},
		{"hw/smart/*/left", bucketed, step(5)}, // percent
		{"hw/smart/*/reallocated", bucketed, rare()},
		{"hw/smart/*/pending", bucketed, rare()},
		{"hw/smart/*/uncorrectable", bucketed, rare()},
		{"hw/smart/*/bad-sectors", bucketed, rare()},
		{"hw/smart/*/selftest-errors", bucketed, rare()},
		{"hw/smart/*/verdict", eventLike, nil}, // udisks may not have looked yet

		// Network. Addresses and routes come and go with a cable, and a link that
		// is down tells no speed.
		{"net/*/operstate", volatile, nil},
		{"net/*/speed", lasting, nil},
		{"net/*/addr/*", eventLike, nil},
		{"net/route/**", eventLike, nil},
		{"net/dns/*", eventLike, nil},
		{"net/search", eventLike, nil},
		{"net/options", eventLike, nil},
		{"dhcp/**", eventLike, nil},

		// File systems. A USB stick that is mounted for a minute is no history.
		{"fs/size/*", eventLike, percent(5)},
		{"fs/usage/*", eventLike, levels(2, 0, 80, 90, 95)}, // percent
		{"fs/mount/**", eventLike, nil},
		{"fs/swap/**", eventLike, nil},

		// Software.
		{"module/*", eventLike, nil},
		{"port/**", eventLike, nil},
		{"svc/*/failed", eventLike, nil},
		{"guest/*/*/runs", eventLike, nil},
		{"apparmor/profile/*", eventLike, nil},
		{"firewall/iptables", eventLike, nil},
		{"firewall/ip6tables", eventLike, nil},
		{"time/**", eventLike, nil},
		{"antivirus/clamav/age", bucketed, levels(0, 0, 3, 7, 14, 30, 60, 90, 180, 365)}, // days
		{"backup/*/*/age", bucketed, levels(0, 0, 2, 4, 7, 14, 30, 60, 90, 180, 365)},    // days
		{"apt/lists/age", bucketed, levels(0, 0, 3, 7, 14, 30, 60, 90, 180, 365)},        // days
	}
}

// bucket rounds a value. The last is what was reported for the same path by the
// run before, or "": a value that only just left its bucket stays in it, so that
// one near a border does not change to and fro.
type bucket func(value, last string) string

// step rounds a number to the nearest multiple of n.
func step(n uint64) bucket {
	return func(value, last string) string {
		v, ok := number(value)
		if !ok {
			return value
		}
		if l, ok := number(last); ok && l%n == 0 && distance(v, l) <= n/4*3 {
			return last
		}
		return strconv.FormatUint((v+n/2)/n*n, 10)
	}
}

// percent keeps the last value until the new one is n percent of it away.
func percent(n uint64) bucket {
	return func(value, last string) string {
		v, ok := number(value)
		l, ok2 := number(last)
		if ok && ok2 && distance(v, l) < l/100*n {
			return last
		}
		return value
	}
}

// levels gives the greatest of the rising limits that a number has reached. A
// limit that was reached is left when the number is more than margin below it.
func levels(margin uint64, limits ...uint64) bucket {
	return func(value, last string) string {
		v, ok := number(value)
		if !ok {
			return value
		}
		reached := limits[0]
		for _, l := range limits {
			if l <= v || l <= v+margin && strconv.FormatUint(l, 10) == last {
				reached = l
			}
		}
		return strconv.FormatUint(reached, 10)
	}
}

// rare are the steps of a count that should be zero and never stops growing once
// it is not.
func rare() bucket { return levels(0, 0, 1, 10, 100, 1000, 10_000) }

// number reads a decimal number that leaves room for rounding.
func number(s string) (uint64, bool) {
	v, err := strconv.ParseUint(s, 10, 62)
	return v, err == nil
}

func distance(a, b uint64) uint64 { return max(a, b) - min(a, b) }

// matches tells whether a path fits a pattern.
func matches(pattern, path string) bool {
	for {
		p, patternRest, patternMore := strings.Cut(pattern, "/")
		c, pathRest, pathMore := strings.Cut(path, "/")
		if p == "**" && !patternMore {
			return true
		}
		if p != "*" && p != c {
			return false
		}
		if !patternMore || !pathMore {
			return patternMore == pathMore
		}
		pattern, path = patternRest, pathRest
	}
}
