package collect

import (
	"context"
	"strings"
)

func virtual() Collector {
	return Collector{Name: "virtual", Owns: []string{"id/virtual"}, Collect: collectVirtual}
}

// collectVirtual names the container or virtual machine, with the words of
// systemd-detect-virt(1), or "none".
func collectVirtual(_ context.Context, h Host, s *Sink) error {
	if c := container(h); c != "" {
		s.Fact("id/virtual", c)
		return nil
	}
	if !h.Exists("proc/cpuinfo") && !h.Exists(dmiDir) {
		return nil // a root that was never booted says nothing
	}
	s.Fact("id/virtual", hypervisor(h, s))
	return nil
}

func hypervisor(h Host, s *Sink) string {
	maker := strings.ToLower(strings.Join([]string{
		h.Line(s, dmiDir+"/sys_vendor"), h.Line(s, dmiDir+"/product_name"), h.Line(s, dmiDir+"/bios_vendor"), h.Line(s, dmiDir+"/board_vendor"),
	}, "\n"))
	for _, v := range []struct{ mark, name string }{
		{"innotek", "oracle"},
		{"virtualbox", "oracle"},
		{"vmware", "vmware"},
		{"microsoft corporation\nvirtual", "microsoft"},
		{"amazon ec2", "amazon"},
		{"google compute engine", "google"},
		{"parallels", "parallels"},
		{"bhyve", "bhyve"},
		{"kubevirt", "kvm"},
		{"openstack", "kvm"},
		{"kvm", "kvm"},
		{"qemu", "qemu"},
		{"bochs", "bochs"},
		{"xen\n", "xen"},
	} {
		if strings.Contains(maker, v.mark) {
			if v.name == "qemu" && hasHypervisorFlag(h) {
				return "kvm" // QEMU without KVM hides the flag
			}
			return v.name
		}
	}
	if t := h.Line(s, "sys/hypervisor/type"); t != "" {
		return t
	}
	if hasHypervisorFlag(h) {
		return "vm-other"
	}
	return "none"
}

// hasHypervisorFlag tells whether the first processor says that it is virtual.
func hasHypervisorFlag(h Host) bool {
	found := false
	_ = h.Lines("proc/cpuinfo", func(line string) bool {
		key, value, ok := strings.Cut(line, ":")
		found = strings.TrimSpace(key) == "flags" && strings.Contains(value+" ", " hypervisor ")
		return ok && !found // the first processor ends with an empty line
	})
	return found
}

// container names the container that the root is in, "" when it is in none.
func container(h Host) string {
	if b, err := h.ReadLine("run/systemd/container"); err == nil && b != "" {
		return b
	}
	if env, err := h.ReadHead("proc/1/environ", 1<<16); err == nil {
		for v := range strings.SplitSeq(string(env), "\x00") {
			if name, ok := strings.CutPrefix(v, "container="); ok && name != "" {
				return name
			}
		}
	}
	for _, mark := range []struct{ file, name string }{
		{".dockerenv", "docker"}, {"run/.containerenv", "podman"}, {"dev/lxd/sock", "lxc"},
	} {
		if h.Exists(mark.file) && !onDisk(h) {
			return mark.name
		}
	}
	if h.Exists("proc/vz") && !h.Exists("proc/bc") {
		return "openvz"
	}
	return ""
}

// onDisk tells whether the root lies on a drive: a virtual machine that was made
// from a container's image still has the container's marks.
func onDisk(h Host) bool {
	root, found := rootOf(h, "proc/self/mountinfo")
	return found && root.onDisk() && strings.HasPrefix(root.source, "/dev/")
}
