package collect

import (
	"context"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

func volume() Collector {
	return Collector{Name: "volume", Owns: []string{"hw/volume/"}, Collect: collectVolumes}
}

// collectVolumes lists device-mapper volumes: LVM, encryption, multipath. LVM's
// own tools are not asked, they wait for drives that do not answer.
func collectVolumes(_ context.Context, h Host, s *Sink) error {
	names, err := h.Names(blockDir)
	if err != nil {
		return err
	}
	found := false
	for _, dev := range names {
		dir := blockDir + "/" + dev + "/"
		name := h.Line(s, dir+"dm/name")
		if !strings.HasPrefix(dev, "dm-") || name == "" {
			continue
		}
		found = true
		put := func(what, value string) { s.Fact(Path("hw", "volume", name, what), value) }
		uuid := h.Line(s, dir+"dm/uuid")
		put("kind", volumeKind(uuid))
		put("uuid", uuid)
		put("slaves", strings.Join(slaves(h, s, dir), " "))
		if sectors, err := strconv.ParseUint(h.Line(s, dir+"size"), 10, 54); err == nil && sectors > 0 {
			put("size", strconv.FormatUint(sectors*512, 10))
		}
	}
	if !found {
		return fs.ErrNotExist
	}
	return nil
}

// slaves names what a volume lies on. Other volumes go by their name: the number
// in "dm-3" depends on the order in which they were started.
func slaves(h Host, s *Sink, dir string) []string {
	names, err := h.Names(dir + "slaves")
	if err != nil {
		return nil
	}
	for i, n := range names {
		if name := h.Line(s, blockDir+"/"+n+"/dm/name"); name != "" {
			names[i] = name
		}
	}
	slices.Sort(names)
	return names
}

// volumeKind reads the owner's mark in front of a device-mapper UUID.
func volumeKind(uuid string) string {
	mark, _, _ := strings.Cut(uuid, "-")
	switch {
	case mark == "LVM":
		return "lvm"
	case strings.HasPrefix(uuid, "CRYPT-LUKS"):
		return "luks"
	case mark == "CRYPT":
		return "crypt"
	case mark == "mpath":
		return "multipath"
	case strings.HasPrefix(mark, "part"):
		return "partition"
	case mark == "DMRAID":
		return "fakeraid"
	case mark == "Stratis" || mark == "stratis":
		return "stratis"
	}
	return "other"
}
