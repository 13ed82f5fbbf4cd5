package collect

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

func filesystems() Collector {
	return Collector{Name: "filesystems", Owns: []string{"fs/"}, Collect: collectFilesystems}
}

// spacer is the part of Root that tells sizes of file systems.
type spacer interface {
	Space(name string) (size, free uint64, err error)
}

// collectFilesystems lists mounts, swap and fstab. The size is asked only of
// file systems on block devices of this machine; everything else is taken from
// the kernel's table and never touched.
func collectFilesystems(ctx context.Context, h Host, s *Sink) error {
	fstabFacts(h, s)
	swapFacts(h, s)
	f, err := openMounts(h)
	if err != nil {
		if h.Live || !Absent(err) {
			return err
		}
		return nil // a root that does not run has no mounts
	}
	defer f.Close()
	mounts, err := tellable(f)
	if err != nil {
		return err
	}
	sized := map[string]bool{}
	for _, m := range mounts {
		s.Fact(Path("fs", "mount", m.point), fmt.Sprintf("%s %s %s", stableSource(h, m), m.fstype, stableOptions(m)))
		if err := ctx.Err(); err != nil {
			return err
		}
		if h.Live && m.onDisk() && !sized[m.dev] {
			sized[m.dev] = true
			if err := space(h, s, m.point); err != nil {
				return err
			}
		}
	}
	return nil
}

// tellable reads the mounts that are told about. What autofs mounts comes and
// goes with whoever looks at it: the autofs itself stands for it.
func tellable(r io.Reader) ([]mount, error) {
	var mounts []mount
	var auto []string
	err := readMounts(r, func(m mount) {
		if m.worthTelling() {
			mounts = append(mounts, m)
		}
		if m.fstype == "autofs" {
			auto = append(auto, m.point)
		}
	})
	return slices.DeleteFunc(mounts, func(m mount) bool {
		return slices.ContainsFunc(auto, func(point string) bool {
			_, below := under(point, m.point)
			return below || m.point == point && m.fstype != "autofs"
		})
	}), err
}

// space puts size and free space of a mounted file system.
func space(h Host, s *Sink, point string) error {
	asker, ok := h.FS.(spacer)
	if !ok {
		return nil
	}
	name := strings.Trim(point, "/")
	if name == "" {
		name = "."
	}
	size, free, err := asker.Space(name)
	switch {
	case Absent(err): // unmounted meanwhile, or covered by another mount
		return nil
	case err != nil:
		s.Denied(name)
		return nil
	}
	s.Fact(Path("fs", "size", point), strconv.FormatUint(size, 10))
	s.Measure(Path("free", point), strconv.FormatUint(free, 10))
	if size > 0 {
		s.Fact(Path("fs", "usage", point), strconv.FormatUint((size-min(free, size))/(size/100+1), 10))
	}
	return nil
}

// worthTelling leaves out what the kernel and containers mount for themselves
// and what comes with each login or package.
func (m mount) worthTelling() bool {
	switch m.fstype {
	case "tmpfs":
		return m.point == "/" || m.point == "/tmp" || strings.HasPrefix(m.point, "/var/") || strings.HasPrefix(m.point, "/srv")
	case "overlay":
		return m.point == "/"
	case "nsfs", "autofs":
		return m.fstype == "autofs" && !strings.HasPrefix(m.point, "/proc/")
	case "squashfs":
		return m.point == "/" || !strings.HasPrefix(m.point, "/snap/")
	}
	if m.inMemory() {
		return false
	}
	for _, p := range []string{"/run/user/", "/run/credentials/", "/var/lib/docker/", "/var/lib/containers/", "/var/lib/kubelet/", "/media/", "/run/media/", "/run/docker/"} {
		if strings.HasPrefix(m.point, p) {
			return false
		}
	}
	return m.fstype != "fuse.portal" && m.fstype != "fuse.gvfsd-fuse"
}

// stableSource names what is mounted.
func stableSource(h Host, m mount) string {
	if m.fstype == "autofs" {
		return "autofs" // the source may hold the daemon's process id
	}
	return stableDevice(h, m.source)
}

// stableDevice names a block device. The number in /dev/dm-3 or /dev/loop7 depends
// on the order in which they were set up.
func stableDevice(h Host, name string) string {
	dev, isDevice := strings.CutPrefix(name, "/dev/")
	switch {
	case isDevice && strings.HasPrefix(dev, "dm-"):
		if volume, err := h.ReadLine(blockDir + "/" + dev + "/dm/name"); err == nil && volume != "" {
			return "/dev/mapper/" + volume
		}
	case isDevice && strings.HasPrefix(dev, "loop"):
		return "loop"
	}
	return name
}

// stableOptions gives the options of mount and file system in order, without
// those that differ from one start to the next.
func stableOptions(m mount) string {
	if m.fstype == "autofs" {
		return m.options
	}
	var keep []string
	for o := range strings.SplitSeq(m.options+","+m.super, ",") {
		name, _, _ := strings.Cut(o, "=")
		switch name {
		case "", "addr", "clientaddr", "mountaddr", "mountport", "port", "fd", "pgrp", "timeout", "pipe_ino", "size", "nr_inodes", "inode64", "seclabel",
			"lowerdir", "upperdir", "workdir", "password", "pass", "cred", "credentials":
			continue
		}
		if !slices.Contains(keep, o) {
			keep = append(keep, o)
		}
	}
	slices.Sort(keep)
	return strings.Join(keep, ",")
}

// fstabFacts puts what fstab(5) wants mounted.
func fstabFacts(h Host, s *Sink) {
	// A root without fstab mounts nothing by it; that is no failure.
	_ = h.Lines("etc/fstab", func(line string) bool {
		words := strings.Fields(line)
		if len(words) < 4 || strings.HasPrefix(words[0], "#") {
			return true
		}
		point := octal(words[1])
		if point == "none" || point == "swap" {
			point = octal(words[0])
		}
		s.Fact(Path("fs", "fstab", point), octal(words[0])+" "+words[2]+" "+withoutSecrets(words[3]))
		return true
	})
}

// withoutSecrets hides the values of mount options that are passwords.
func withoutSecrets(options string) string {
	parts := strings.Split(options, ",")
	for i, p := range parts {
		if name, _, ok := strings.Cut(p, "="); ok && (strings.HasPrefix(name, "pass") || name == "secret") {
			parts[i] = name + "=…"
		}
	}
	return strings.Join(parts, ",")
}

// swapFacts puts the swap areas in use, sizes in bytes.
func swapFacts(h Host, s *Sink) {
	_ = h.Lines("proc/swaps", func(line string) bool {
		words := strings.Fields(line)
		if len(words) < 5 || words[0] == "Filename" {
			return true
		}
		kib, err := strconv.ParseUint(words[2], 10, 53)
		if err == nil {
			s.Fact(Path("fs", "swap", stableDevice(h, octal(words[0]))), words[1]+" "+strconv.FormatUint(kib<<10, 10))
		}
		return true
	})
}
