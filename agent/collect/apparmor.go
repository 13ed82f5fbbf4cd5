package collect

import (
	"context"
	"strings"
)

func apparmor() Collector {
	return Collector{Name: "apparmor", Owns: []string{"apparmor/"}, Collect: collectAppArmor}
}

// maxProfiles bounds the profiles that are told of.
const maxProfiles = 1000

// collectAppArmor lists the profiles that the kernel has loaded, each with its
// mode: enforce, complain, kill or unconfined. The list in one file is for root
// alone, whatever else one may read; the folder of profiles is not. Profiles
// inside of others go with them.
func collectAppArmor(ctx context.Context, h Host, s *Sink) error {
	enabled, err := h.ReadLine("sys/module/apparmor/parameters/enabled")
	if err != nil {
		return err
	}
	s.Fact("apparmor/enabled", yesNo(enabled == "Y"))
	if enabled != "Y" {
		return nil
	}
	const dir = "sys/kernel/security/apparmor/policy/profiles"
	names, err := h.Entries(s, dir)
	for _, entry := range names[:min(len(names), maxProfiles)] {
		if err := ctx.Err(); err != nil {
			return err
		}
		name, mode := h.Line(s, dir+"/"+entry+"/name"), h.Line(s, dir+"/"+entry+"/mode")
		if name != "" && !strings.HasPrefix(name, "docker-") && !strings.HasPrefix(name, "snap.") && !strings.HasPrefix(name, "snap-update-ns.") {
			s.Fact(Path("apparmor", "profile", name), mode)
		}
	}
	return err
}
