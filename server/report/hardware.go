package report

import (
	"strconv"
	"strings"
	"time"
)

// hardware are the reports about what machines are made of.
func hardware() []Definition {
	memory, date := facts("memory", Size, "hw/memory/total"), facts("firmware", Day, "hw/bios/date")
	released := Column{Key: "firmware-date", Kind: Day, Facts: date.Facts, read: func(r *run, l *line) (string, error) {
		text, err := date.read(r, l)
		if t, bad := time.Parse("01/02/2006", text); bad == nil {
			text = t.Format(time.DateOnly)
		}
		return text, err
	}}
	return []Definition{
		{
			Name: "models", For: []User{Technician, Principal}, Filter: "fact(hw/system/product) or fact(hw/board/product)",
			Columns: []Column{
				facts("vendor", Text, "hw/system/vendor", "hw/board/vendor"), model(), countMachines(),
				least("memory-least", memory), most("memory-most", memory), least("firmware-first", released), most("firmware-last", released), examples(),
			},
			Order: []string{"-machines"}, lines: eachMachine,
		},
		{
			Name: "age", For: []User{Principal, Technician},
			Params: []Param{{Name: "years", Kind: AsNumber, Default: "5"}}, Filter: "status != disposed",
			Columns: []Column{
				name(), class(), site(), model(), serial(),
				age("since", Day, func(_ *run, at time.Time, _ string) string { return at.Format(time.DateOnly) }),
				age("years", Number, func(r *run, at time.Time, _ string) string { return strconv.FormatFloat(years(r, at), 'f', 1, 64) }),
				age("known-by", Text, func(_ *run, _ time.Time, how string) string { return how }),
			},
			Order: []string{"-years"},
			lines: eachMachineThat(func(r *run, l *line) (bool, error) {
				at, _, err := bornIn(l)
				return !at.IsZero() && years(r, at) >= float64(r.number("years")), err
			}),
			reads: []string{"hw/bios/date"},
		},
		{
			Name: "firmware", For: []User{Technician}, Filter: "fact(hw/bios/version)",
			Params: []Param{{Name: "model", Kind: AsText, Default: "*"}},
			Columns: []Column{
				facts("vendor", Text, "hw/system/vendor", "hw/board/vendor"), model(), facts("firmware", Version, "hw/bios/version"), released,
				countMachines(), examples(),
			},
			Order: []string{"vendor", "model", "-firmware-date"},
			lines: eachMachineThat(func(r *run, l *line) (bool, error) {
				text, err := model().read(r, l)
				return matches(r.set["model"], text), err
			}),
		},
		{
			Name: "low-memory", For: []User{Technician, Principal},
			Params: []Param{{Name: "size", Kind: AsSize, Default: "4G"}}, Filter: "memory < {size}",
			Columns: []Column{
				name(), class(), site(), model(), memory, facts("memory-max", Size, "hw/memory/max"), slots("slots", false), slots("slots-empty", true),
			},
			Order: []string{"memory"}, lines: eachMachine,
		},
		{
			Name: "disks", For: []User{Technician, Auditor},
			Params: []Param{{Name: "model", Kind: AsText, Default: "*"}}, Filter: "fact(hw/disk/*)",
			Columns: []Column{
				name(), site(), part("disk", 2), value("model", Text), beside("firmware", Text, "hw/disk/*/model", 3, "firmware"),
				beside("serial", Text, "hw/disk/*/model", 3, "serial"), beside("size", Size, "hw/disk/*/model", 3, "size"),
				beside("rotational", Text, "hw/disk/*/model", 3, "rotational"),
			},
			Order: []string{"model", "name"},
			lines: eachFact("hw/disk/*/model", func(r *run, l *line) bool { return matches(r.set["model"], l.value) }),
			reads: []string{"hw/disk/*/model"},
		},
		{
			Name: "disk-full", For: []User{Technician, Operator},
			Params: []Param{{Name: "percent", Kind: AsChoice, Default: "90", Allowed: []string{"80", "90", "95"}}}, Filter: "fact(fs/usage/*)",
			Columns: []Column{name(), class(), site(), part("mount", 2), value("percent", Number), sizeOfMount(), field("seen")},
			Order:   []string{"-percent"},
			lines: eachFact("fs/usage/*", func(r *run, l *line) bool {
				used, err := strconv.Atoi(l.value)
				return err == nil && used >= r.number("percent")
			}),
			reads: []string{"fs/usage/*"},
		},
		{
			Name: "disk-health", For: []User{Technician, Operator}, Filter: "fact(hw/smart/*)",
			Columns: []Column{name(), site(), part("disk", 2), part("what", 3), value("value", Text), field("seen")},
			Order:   []string{"name", "disk", "what"},
			lines:   eachFact("hw/smart/*/*", func(_ *run, l *line) bool { return ailing(l.path[len(l.path)-1], l.value) }),
			reads:   []string{"hw/smart/*/*"},
		},
		{
			Name: "raid", For: []User{Technician}, Filter: "fact(hw/raid/*/degraded)",
			Params: []Param{{Name: "show", Kind: AsChoice, Default: "degraded", Allowed: []string{"degraded", "all"}}},
			Columns: []Column{
				name(), site(), part("array", 2), beside("level", Text, "hw/raid/*/degraded", 3, "level"), beside("state", Text, "hw/raid/*/degraded", 3, "state"),
				beside("disks", Number, "hw/raid/*/degraded", 3, "disks"), value("missing", Number),
			},
			Order: []string{"-missing"},
			lines: eachFact("hw/raid/*/degraded", func(r *run, l *line) bool { return r.set["show"] == "all" || l.value != "0" }),
			reads: []string{"hw/raid/*/degraded"},
		},
	}
}

// sizeOfMount is a column of how large the file system is whose usage the line
// tells.
func sizeOfMount() Column {
	return Column{Key: "size", Kind: Size, Facts: []string{"fs/size/*"}, read: func(_ *run, l *line) (string, error) {
		set, err := l.m.FactsUnder("fs/size/")
		v, _ := set.Get("fs/size/" + escaped(l.path[2]))
		return v, err
	}}
}

// ailing tells whether what a drive says of itself is a reason to replace it soon.
func ailing(what, value string) bool {
	switch what {
	case "verdict":
		return value != "passed"
	case "smartd":
		return value != "no warning"
	case "selftest":
		return strings.HasPrefix(value, "error") || value == "fatal"
	case "left": // percent of an SSD's life
		return value == "0" || value == "5" || value == "10"
	case "pending", "uncorrectable", "bad-sectors", "reallocated", "selftest-errors":
		return value != "0"
	}
	return false
}
