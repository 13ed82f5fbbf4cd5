package mirror

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"rollcall/internal/fact"
)

func plainWords(changes []factChange) []string {
	var all []string
	for _, c := range changes {
		switch {
		case !c.was:
			all = append(all, c.path+": "+c.new+" added")
		case !c.is:
			all = append(all, c.path+": "+c.old+" removed")
		default:
			all = append(all, c.path+": "+c.old+" → "+c.new)
		}
	}
	return all
}

// packageWords tells of packages by name: "cups 2.4.2-3 → 2.4.2-4".
func packageWords(changes []factChange) (string, []string) {
	var all []string
	installed, removed, changed := 0, 0, 0
	for i := 0; i < len(changes); {
		name, _ := splitPackage(changes[i].path)
		parts := map[string]factChange{}
		for ; i < len(changes); i++ {
			n, attr := splitPackage(changes[i].path)
			if n != name {
				break
			}
			parts[attr] = changes[i]
		}
		v, ok := parts["version"]
		switch {
		case !ok:
			changed++
			for _, attr := range slices.Sorted(maps.Keys(parts)) {
				all = append(all, name+" "+attr+" "+fromTo(parts[attr].old, parts[attr].new))
			}
			continue
		case !v.was:
			installed++
			all = append(all, name+" "+v.new+" installed")
		case !v.is:
			removed++
			all = append(all, name+" "+v.old+" removed")
		default:
			changed++
			all = append(all, name+" "+v.old+" → "+v.new)
		}
	}
	return "packages: " + tally(changed, installed, removed, "installed"), all
}

func tally(changed, added, removed int, word string) string {
	var parts []string
	for _, p := range []struct {
		n    int
		word string
	}{{changed, "changed"}, {added, word}, {removed, "removed"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.word))
		}
	}
	return strings.Join(parts, ", ")
}

func etcWords(changes []factChange) (string, []string) {
	var all []string
	added, removed, changed := 0, 0, 0
	for _, c := range changes {
		path := "/" + c.path
		switch {
		case !c.was:
			added++
			all = append(all, "added "+path)
		case !c.is:
			removed++
			all = append(all, "removed "+path)
		default:
			changed++
			all = append(all, fileWords(path, c))
		}
	}
	return "/etc: " + tally(changed, added, removed, "added"), all
}

// fileWords tells a changed content from changed rights.
func fileWords(path string, c factChange) string {
	old, err := fact.ParseFile(c.old)
	new, err2 := fact.ParseFile(c.new)
	same := old.Kind == new.Kind && old.Digest == new.Digest && old.Fingerprint == new.Fingerprint && old.Target == new.Target
	if err != nil || err2 != nil || !same {
		return "changed " + path
	}
	rights := func(f fact.File) string {
		return fmt.Sprintf("%04o %s:%s", fact.UnixMode(f.Mode), line(f.Owner), line(f.Group))
	}
	if rights(old) == rights(new) {
		return "attributes of " + path + " changed"
	}
	return "rights of " + path + " " + rights(old) + " → " + rights(new)
}

// hardwareWords counts memory modules, which are what is stolen and swapped,
// and lists everything else fact by fact.
func hardwareWords(ch *sectionChange) (string, []string) {
	var all []string
	var rest []factChange
	in, out := map[string]bool{}, map[string]bool{}
	for _, c := range ch.changes() {
		slot := dimmSlot(c.path)
		switch {
		case slot != "" && !ch.old.below(slot):
			in[slot] = true
		case slot != "" && !ch.new.below(slot):
			out[slot] = true
		default:
			rest = append(rest, c)
		}
	}
	if len(out) > 0 {
		all = append(all, dimms(out, "removed"))
	}
	if len(in) > 0 {
		all = append(all, dimms(in, "added"))
	}
	summary := "hardware: " + counted(len(all)+len(rest), "change", "changes")
	if len(all) > 0 {
		summary = all[0]
	}
	return summary, append(all, plainWords(rest)...)
}

func dimms(slots map[string]bool, what string) string {
	var names []string
	for _, slot := range slices.Sorted(maps.Keys(slots)) {
		names = append(names, strings.Trim(strings.TrimPrefix(slot, dimmPrefix), "/"))
	}
	return counted(len(slots), "DIMM", "DIMMs") + " " + what + " (" + strings.Join(names, ", ") + ")"
}

const dimmPrefix = "hw/dimm/"

// dimmSlot gives "hw/dimm/A1/" of "hw/dimm/A1/size".
func dimmSlot(path string) string {
	if !strings.HasPrefix(path, dimmPrefix) || parent(path) == strings.Trim(dimmPrefix, "/") {
		return ""
	}
	return parent(path) + "/"
}
