package collect

import (
	"context"
	"errors"
	"io/fs"
	"regexp"
	"strings"

	"rollcall/internal/fact"
)

func kernel() Collector {
	return Collector{
		Name: "kernel", Owns: []string{"os/kernel", "os/kernels/", "os/cmdline", "os/tainted", "module/"}, Collect: collectKernel,
	}
}

// collectKernel reads what the kernel says about itself in procfs, which below
// a recorded root is that of the recorded machine, and the kernels in /boot.
func collectKernel(_ context.Context, h Host, s *Sink) error {
	s.Fact("os/kernel", h.Line(s, "proc/sys/kernel/osrelease"))
	s.Fact("os/tainted", h.Line(s, "proc/sys/kernel/tainted"))
	s.Fact("os/cmdline", settledCmdline(h.Line(s, "proc/cmdline")))
	names, err := h.Names("boot")
	switch {
	case errors.Is(err, fs.ErrPermission):
		s.Denied("boot")
	case err != nil && !Absent(err):
		return err
	}
	for _, name := range names {
		if version, ok := strings.CutPrefix(name, "vmlinuz-"); ok && version != "" {
			s.Fact(Path("os", "kernels", version), "installed")
		}
	}
	err = h.Lines("proc/modules", func(line string) bool {
		name, _, _ := strings.Cut(line, " ")
		s.Fact(Path("module", name), "loaded")
		return true
	})
	if Absent(err) {
		return nil // a kernel without modules, or no kernel
	}
	return err
}

// secretParameter knows kernel parameters whose value is nobody's business.
var secretParameter = regexp.MustCompile(`(?i)pass|secret|token|psk|credential|(api|auth|private)[._-]?key`)

// settledCmdline gives the kernel's parameters without those that differ from
// boot to boot though nothing was changed (the file that was booted, the network
// card that it came from), and without secrets.
func settledCmdline(line string) string {
	var words []string
	for word := range strings.FieldsSeq(line) {
		name, _, assigned := strings.Cut(word, "=")
		switch name {
		case "BOOT_IMAGE", "BOOTIF", "initrd", "systemd.machine_id", "systemd.clock_usec", "systemd.random_seed":
			continue
		}
		if assigned && secretParameter.MatchString(name) {
			word = name + "=(secret)"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func reboot() Collector {
	return Collector{Name: "reboot", Owns: []string{"os/reboot-needed"}, Collect: collectReboot}
}

// collectReboot tells whether the machine runs something older than what is
// installed. Debian alone never sets the flag file, so the running kernel is
// compared with the installed ones.
func collectReboot(_ context.Context, h Host, s *Sink) error {
	running := h.Line(s, "proc/sys/kernel/osrelease")
	if h.Exists("run/reboot-required") {
		s.Fact("os/reboot-needed", strings.TrimSpace("yes: "+rebootPackages(h)))
		return nil
	}
	if running == "" {
		return fs.ErrNotExist
	}
	db, err := readPackages(h)
	if err != nil {
		return err
	}
	s.Fact("os/reboot-needed", rebootReason(db.list, running, h.Line(s, "proc/sys/kernel/version")))
	return nil
}

func rebootPackages(h Host) string {
	var names []string
	seen := map[string]bool{}
	err := h.Lines("run/reboot-required.pkgs", func(line string) bool {
		if name := strings.TrimSpace(line); name != "" && !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
		return len(names) < 100
	})
	if err != nil || len(names) == 0 {
		return "a package asks for it"
	}
	return strings.Join(names, " ")
}

// rebootReason compares the running kernel ("6.1.0-28-amd64", built as "#1 SMP
// … Debian 6.1.119-1 (2024-11-22)") with the packages linux-image-*.
func rebootReason(list []debPackage, running, built string) string {
	release, flavour := splitRelease(running)
	newest, reason := release, "no"
	for _, p := range list {
		image, ok := strings.CutPrefix(p.Name, "linux-image-")
		if !ok || !p.installed() {
			continue
		}
		image = strings.TrimSuffix(image, "-unsigned")
		if image == running && reason == "no" {
			if version := debianBuild(built); version != "" && fact.CompareVersions(p.Version, version) > 0 {
				reason = "yes: kernel " + running + " was updated to " + p.Version
			}
		}
		r, f := splitRelease(image)
		if f == flavour && r != "" && fact.CompareVersions(r, newest) > 0 {
			newest, reason = r, "yes: kernel "+image+" is installed"
		}
	}
	return reason
}

// splitRelease cuts "6.1.0-28-amd64" into "6.1.0-28" and "amd64". A package
// without a version in its name ("linux-image-amd64") has no release.
func splitRelease(s string) (release, flavour string) {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return "", s
	}
	for i := 0; i+1 < len(s); i++ {
		if s[i] == '-' && (s[i+1] < '0' || s[i+1] > '9') {
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

func debianBuild(version string) string {
	_, rest, ok := strings.Cut(version, " Debian ")
	if !ok {
		return ""
	}
	build, _, _ := strings.Cut(rest, " ")
	return build
}
