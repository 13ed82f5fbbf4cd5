package collect

import (
	"context"
	"strings"
)

func boot() Collector {
	return Collector{Name: "boot", Owns: []string{"id/boot", "id/class"}, Collect: collectBoot}
}

// collectBoot tells where the machine got its system from, and what kind of
// machine that makes it.
func collectBoot(_ context.Context, h Host, s *Sink) error {
	style := bootStyle(h)
	s.Fact("id/boot", style)
	s.Fact("id/class", machineClass(h, s, style))
	return nil
}

// bootStyle tells disk, live, nfs, nbd, iscsi, ltsp, ltsp-thin or container; ""
// where a root that does not run tells nothing.
func bootStyle(h Host) string {
	if container(h) != "" {
		return "container"
	}
	cmdline, _ := h.ReadLine("proc/cmdline") // "" says as little as none
	root, found := rootOf(h, "proc/self/mountinfo")
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(" "+cmdline, p) {
				return true
			}
		}
		return false
	}
	switch {
	case has(" ltsp.", "/share/ltsp/", " ltsp_", "/ltsp/"):
		if has("thin") {
			return "ltsp-thin"
		}
		return "ltsp"
	case has(" root=/dev/nfs", " nfsroot=", " root=nfs", " netboot=nfs"), strings.HasPrefix(root.fstype, "nfs"):
		return "nfs"
	case has(" root=/dev/nbd", " nbdroot=", " root=nbd"):
		return "nbd"
	case has(" root=iscsi", " netroot=iscsi", " iscsi_target", " ISCSI_TARGET"):
		return "iscsi"
	case has(" boot=live", " boot=casper"), root.fstype == "squashfs":
		return "live"
	case found && root.fstype == "overlay" && cmdline == "":
		return ""
	case found && (root.onDisk() || root.fstype == "overlay"):
		return "disk"
	}
	return ""
}

// machineClass gives the CI's class. How it boots comes first, then the role
// that Debian Edu's installer was told, then the case, then what is installed.
func machineClass(h Host, s *Sink, style string) string {
	portable, rack := caseKind(h)
	profile := eduConfig(h, s)["PROFILE"]
	role := func(names ...string) bool {
		for _, n := range names {
			if strings.Contains(profile, n) {
				return true
			}
		}
		return false
	}
	switch {
	case style == "ltsp-thin":
		return "thin-client"
	case style == "ltsp" || style == "nfs" || style == "nbd":
		return "diskless"
	case role("Main-Server", "LTSP-Server", "Thin-Client-Server", "Minimal"):
		return "server"
	case portable || role("Roaming-Workstation"):
		return "laptop"
	case role("Workstation", "Standalone"):
		return "workstation"
	case rack:
		return "server"
	case h.Exists("etc/X11/default-display-manager") || h.Exists("etc/systemd/system/display-manager.service"):
		return "workstation"
	}
	return "server"
}

// caseKind reads the chassis type (DSP0134 7.4.1), and where that is no help
// looks for a battery. In a container the case is somebody else's.
func caseKind(h Host) (portable, rack bool) {
	if container(h) != "" {
		return false, false
	}
	kind, err := h.ReadLine(dmiDir + "/chassis_type")
	if err != nil {
		kind = ""
	}
	switch kind {
	case "8", "9", "10", "11", "14", "30", "31", "32":
		return true, false
	case "17", "23", "25", "28", "29":
		return false, true
	case "3", "4", "5", "6", "7", "13", "15", "16", "24", "35", "36":
		return false, false
	}
	names, err := h.Names("sys/class/power_supply")
	if err != nil {
		return false, false
	}
	for _, n := range names {
		if strings.HasPrefix(n, "BAT") {
			return true, false
		}
	}
	return false, false
}
