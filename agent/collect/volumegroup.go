package collect

import (
	"context"
	"path"
	"slices"
	"strconv"
	"strings"
)

func volumeGroups() Collector {
	return Collector{Name: "volume-groups", Owns: []string{"hw/vg/"}, Collect: collectVolumeGroups}
}

// Bounds of LVM's record of one volume group.
const (
	maxGroupFile = 2 << 20 // bytes
	maxGroupKeys = 50_000
)

// collectVolumeGroups reads LVM's own copy of its metadata, which it writes after
// each change (vgcfgbackup(8)). LVM's tools are not asked, they wait for drives that
// do not answer. How full a snapshot or a thin pool is stands nowhere in it.
func collectVolumeGroups(_ context.Context, h Host, s *Sink) error {
	const dir = "etc/lvm/backup"
	names, err := h.Names(dir)
	if err != nil {
		return err
	}
	found := false
	for _, name := range names {
		b, err := h.Content(s, dir+"/"+name, maxGroupFile)
		if err != nil {
			return err
		}
		if g, ok := parseVolumeGroup(string(b), name); ok {
			found = true
			put := func(what, value string) { s.Fact(Path("hw", "vg", name, what), value) }
			put("uuid", g.uuid)
			put("size", strconv.FormatUint(g.size, 10))
			put("drives", strings.Join(g.drives, " "))
			put("volumes", strings.Join(g.volumes, " "))
		}
	}
	return s.Found(found)
}

// volumeGroup is what LVM's metadata tells.
type volumeGroup struct {
	uuid            string
	size            uint64   // bytes
	drives, volumes []string // what it lies on, what is on it; sorted
}

// parseVolumeGroup reads the metadata of the group of that name. Sizes count in
// extents, extents in sectors of 512 bytes.
func parseVolumeGroup(text, name string) (g volumeGroup, ok bool) {
	v := lvmValues(text)
	g.uuid = v[name+"/id"]
	sectors, ok := number(v[name+"/extent_size"])
	if !ok || sectors == 0 || sectors > 1<<30 || g.uuid == "" {
		return g, false
	}
	for key, value := range v {
		part := strings.Split(strings.TrimPrefix(key, name+"/"), "/")
		if len(part) != 3 {
			continue
		}
		switch {
		case part[0] == "physical_volumes" && part[2] == "device":
			g.drives = append(g.drives, path.Base(value))
		case part[0] == "physical_volumes" && part[2] == "pe_count":
			if n, ok := number(value); ok && n < 1<<22 {
				g.size += n * sectors * 512
			}
		case part[0] == "logical_volumes" && part[2] == "id":
			g.volumes = append(g.volumes, part[1])
		}
	}
	slices.Sort(g.drives)
	slices.Sort(g.volumes)
	return g, true
}

// lvmValues reads LVM's text format, sections NAME { … } with lines KEY = VALUE, as
// "section/section/key". Lists are left out; a "#" outside of quotes begins a
// comment.
func lvmValues(text string) map[string]string {
	values := map[string]string{}
	var section []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.Contains(line, `"`) {
			line, _, _ = strings.Cut(line, "#")
			line = strings.TrimSpace(line)
		}
		switch name, opens := strings.CutSuffix(line, "{"); {
		case opens && len(section) < 8:
			section = append(section, strings.TrimSpace(name))
		case line == "}" && len(section) > 0:
			section = section[:len(section)-1]
		default:
			key, value, ok := strings.Cut(line, "=")
			value = strings.TrimSpace(value)
			if quoted, isText := strings.CutPrefix(value, `"`); isText {
				value, _, _ = strings.Cut(quoted, `"`)
			} else {
				value, _, _ = strings.Cut(value, " ")
			}
			if ok && len(values) < maxGroupKeys {
				values[strings.Join(append(slices.Clone(section), strings.TrimSpace(key)), "/")] = value
			}
		}
	}
	return values
}
