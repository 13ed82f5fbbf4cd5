package collect

import (
	"context"
	"strconv"
	"strings"
)

func raid() Collector {
	return Collector{Name: "raid", Owns: []string{"hw/raid/"}, Collect: collectRAID}
}

// maxMdstat bounds /proc/mdstat.
const maxMdstat = 1 << 18

// collectRAID reads the kernel's software RAID, and what cards of LSI's older kind
// tell the kernel (mpt3sas and mptsas, IR mode). Other cards tell only the programs
// of their makers. Whether a check or a rebuild is under way, and how far, is a
// measurement; a missing or faulty member is a fact.
func collectRAID(_ context.Context, h Host, s *Sink) error {
	b, err := h.Content(s, "proc/mdstat", maxMdstat)
	if err != nil {
		return err
	}
	arrays := parseMdstat(string(b))
	for _, a := range arrays {
		a.facts(h, s)
	}
	const cards = "sys/class/raid_devices"
	volumes, err := h.Entries(s, cards)
	for _, name := range volumes {
		s.Fact(Path("hw", "raid", name, "level"), h.Line(s, cards+"/"+name+"/level"))
		state := h.Line(s, cards+"/"+name+"/state")
		s.Fact(Path("hw", "raid", name, "state"), state)
		if state == "resyncing" { // a disk that is not whole yet
			s.Fact(Path("hw", "raid", name, "sync"), "resync="+h.Line(s, cards+"/"+name+"/resync")+"%")
		}
		if state != "" {
			s.Fact(Path("hw", "raid", name, "degraded"), map[bool]string{true: "1", false: "0"}[state != "active"])
		}
	}
	if err != nil {
		return err
	}
	return s.Found(len(arrays)+len(volumes) > 0)
}

func (a array) facts(h Host, s *Sink) {
	put := func(what, value string) { s.Fact(Path("hw", "raid", a.name, what), value) }
	put("state", a.state)
	put("level", a.level)
	if a.disks == 0 && a.state == "active" { // a level without redundancy
		a.disks, a.working = len(a.members), len(a.members)
	}
	if a.disks > 0 {
		put("disks", strconv.Itoa(a.disks))
		put("degraded", strconv.Itoa(a.disks-a.working))
	}
	for _, m := range a.members {
		s.Fact(Path("hw", "raid", a.name, "member", m.name), m.state)
	}
	put("sync", a.sync)
	put("uuid", h.Line(s, "sys/block/"+Path(a.name)+"/md/uuid"))
}

// array is one software RAID as /proc/mdstat shows it (md(4)).
type array struct {
	name, state, level string
	disks, working     int
	members            []member
	sync               string // "recovery=12.6%", "" when idle
}

type member struct{ name, state string }

// parseMdstat reads /proc/mdstat. An array takes a line "md0 : active raid1
// sdb1[1] sda1[0](F)", one with "[2/1] [U_]" and perhaps one with progress.
func parseMdstat(text string) []array {
	var arrays []array
	for line := range strings.SplitSeq(text, "\n") {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		indented := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")
		switch {
		case !indented && words[1] == ":" && words[0] != "Personalities":
			arrays = append(arrays, parseArray(words))
		case indented && len(arrays) > 0:
			arrays[len(arrays)-1].more(words)
		}
	}
	return arrays
}

// parseArray reads the first line of an array.
func parseArray(words []string) array {
	a := array{name: words[0]}
	for i, w := range words[2:] {
		name, place, isMember := strings.Cut(w, "[")
		switch {
		case isMember:
			a.members = append(a.members, member{name, memberState(place)})
		case i == 0:
			a.state = w
		case w == "(auto-read-only)": // until the first write: still active
		case strings.HasPrefix(w, "("):
			a.state = strings.Trim(w, "()")
		default:
			a.level = w
		}
	}
	return a
}

// memberState reads what follows a member's "[": its number and flags.
func memberState(place string) string {
	_, flags, _ := strings.Cut(place, "]")
	for _, f := range []struct{ flag, state string }{
		{"(F)", "faulty"}, {"(S)", "spare"}, {"(R)", "replacement"}, {"(J)", "journal"}, {"(W)", "write-mostly"},
	} {
		if strings.Contains(flags, f.flag) {
			return f.state
		}
	}
	return "in use"
}

// more reads a further line of an array: the counts or the progress.
func (a *array) more(words []string) {
	for i, w := range words {
		if n, m, ok := strings.Cut(strings.Trim(w, "[]"), "/"); ok && strings.HasPrefix(w, "[") && strings.HasSuffix(w, "]") {
			disks, err1 := strconv.ParseUint(n, 10, 16)
			working, err2 := strconv.ParseUint(m, 10, 16)
			if err1 == nil && err2 == nil && a.disks == 0 && a.sync == "" && i > 0 {
				a.disks, a.working = int(disks), int(working)
			}
		}
		for _, action := range []string{"resync", "recovery", "check", "repair", "reshape"} {
			switch {
			case w == action && i+2 < len(words) && words[i+1] == "=":
				a.sync = action + "=" + words[i+2]
			case strings.HasPrefix(w, action+"="):
				a.sync = w
			}
		}
	}
}
