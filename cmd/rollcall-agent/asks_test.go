package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A look at the running machine asks nobody but the kernel and the message bus. A
// name service may be LDAP with ten thousand pupils, and a drive that is opened
// wakes up.
func TestALookAsksNoNameServiceNoNetworkAndNoDrive(t *testing.T) {
	dir, err := built()
	must(t, err)
	log := filepath.Join(t.TempDir(), "trace")
	c := exec.Command("strace", "-f", "-qq", "-y", "--seccomp-bpf", "-e", "trace=connect,sendto,?open,openat,openat2,statfs,ioctl", "-e", "signal=none", "-o", log,
		filepath.Join(dir, "rollcall-agent"), "once", "--dry-run", "--state", filepath.Join(t.TempDir(), "state"))
	c.Env = []string{"HOME=/nonexistent", "NO_COLOR=1"}
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(log)
	must(t, err)
	if !strings.Contains(string(text), "etc/os-release") {
		t.Fatal("strace saw no look")
	}
	for _, line := range forbidden(string(text)) {
		t.Error(line)
	}
}

var (
	connects  = regexp.MustCompile(`connect\(.*sa_family=AF_(\w+)`)
	nameFiles = regexp.MustCompile(`"[^"]*(nsswitch\.conf|/nscd/|/sss/|/libnss|ldap\.conf|winbindd)[^"]*"`)
	drives    = regexp.MustCompile(`"(/?dev/(sd|nvme|hd|sr|mmcblk|vd|sg|dm-|mapper)[^"]*)"`)
	statfs    = regexp.MustCompile(`\bstatfs\(`)
	driveAsk  = regexp.MustCompile(`ioctl\(.*(SG_IO|HDIO_|NVME_|BLK[A-Z]|CDROM)`)
)

// forbidden lists the calls of a trace that a look must not make. The bus may be
// asked twice: systemd for what failed, udisks for drives.
func forbidden(trace string) (bad []string) {
	bus := 0
	for line := range strings.Lines(trace) {
		line = strings.TrimSpace(line)
		m := connects.FindStringSubmatch(line)
		switch {
		case m != nil && m[1] == "UNIX" && strings.Contains(line, "/run/dbus/system_bus_socket"):
			if bus++; bus > 2 {
				bad = append(bad, "the bus is asked a third time: "+line)
			}
		case m != nil && m[1] != "NETLINK",
			nameFiles.MatchString(line) && !strings.Contains(line, "etc"), // the scanner reads what lies in /etc
			drives.MatchString(line), statfs.MatchString(line), driveAsk.MatchString(line):
			bad = append(bad, line)
		}
	}
	return bad
}

func TestATraceShowsWhomALookAsks(t *testing.T) {
	for line, want := range map[string]int{
		`7 connect(9<UNIX-STREAM:[1]>, {sa_family=AF_UNIX, sun_path="/run/dbus/system_bus_socket"}, 30) = 0`:      0,
		`7 connect(9<TCP:[1]>, {sa_family=AF_INET, sin_port=htons(389), sin_addr=inet_addr("10.0.2.2")}, 16) = 0`: 1,
		`7 connect(9<UNIX:[1]>, {sa_family=AF_UNIX, sun_path="/var/run/nscd/socket"}, 110) = -1`:                  1,
		`7 openat(AT_FDCWD</>, "/dev/sda", O_RDONLY|O_CLOEXEC) = 5</dev/sda>`:                                     1,
		`7 openat(AT_FDCWD</>, "/lib/x86_64-linux-gnu/libnss_files.so.2", O_RDONLY|O_CLOEXEC) = 5`:                1,
		`7 openat2(5</>, "etc/nsswitch.conf", {flags=O_RDONLY}, 24) = 6</etc/nsswitch.conf>`:                      0,
		`7 statfs("/home", {f_type=NFS_SUPER_MAGIC}) = 0`:                                                         1,
		`7 ioctl(5</dev/sg0>, SG_IO, {}) = 0`:                                                                     1,
	} {
		if got := forbidden(line + "\n"); len(got) != want {
			t.Errorf("%s: %q", line, got)
		}
	}
}
