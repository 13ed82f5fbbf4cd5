package collect

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"rollcall/internal/fact"
)

func TestOperatingSystemComesFromItsFiles(t *testing.T) {
	got := gather(t, operatingSystem(), memHost(fstest.MapFS{
		"usr/lib/os-release": text("# a comment\nID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME='book worm'\nPRETTY_NAME=\"a \\\"b\\\" \\$c\"\n"),
		"etc/debian_version": text("12.11\n"),
	}))
	want := map[string]string{"os/id": "debian", "os/version": "12", "os/codename": "book worm", "os/debian": "12.11"}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestOSReleaseAgreesWithJC(t *testing.T) {
	dir := corpus(t, "jc/generic")
	for _, name := range []string{"os-release-ubuntu", "os-release-centos"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		oracle, err := os.ReadFile(filepath.Join(dir, name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var want map[string]string
		if err := json.Unmarshal(oracle, &want); err != nil {
			t.Fatal(err)
		}
		if got := parseAssignments(string(b)); !maps.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestKernelParametersThatDifferAtEveryBootAreLeftOut(t *testing.T) {
	for line, want := range map[string]string{
		"BOOT_IMAGE=/boot/vmlinuz-6.1 root=UUID=1 ro quiet":               "root=UUID=1 ro quiet",
		"initrd=ltsp.img BOOTIF=01-52-54-00 root=/dev/nfs nfsroot=/srv/x": "root=/dev/nfs nfsroot=/srv/x",
		"quiet rd.luks.token=abc ltsp.Passwd=x api-key=y psk=":            "quiet rd.luks.token=(secret) ltsp.Passwd=(secret) api-key=(secret) psk=(secret)",
	} {
		if got := settledCmdline(line); got != want {
			t.Errorf("%q gives %q, want %q", line, got, want)
		}
	}
}

func TestKernelFactsComeFromTheRoot(t *testing.T) {
	got := gather(t, kernel(), memHost(fstest.MapFS{
		"proc/sys/kernel/osrelease":   text("6.1.0-28-amd64\n"),
		"proc/sys/kernel/tainted":     text("0\n"),
		"proc/cmdline":                text("quiet\n"),
		"proc/modules":                text("ext4 737280 2 - Live 0x0\ncrc16 16384 1 ext4, Live 0x0\n"),
		"boot/vmlinuz-6.1.0-28-amd64": text(""),
		"boot/config-6.1.0-28-amd64":  text(""),
	}))
	want := map[string]string{
		"os/kernel": "6.1.0-28-amd64", "os/tainted": "0", "os/cmdline": "quiet", "os/kernels/6.1.0-28-amd64": "installed",
		"module/ext4": "loaded", "module/crc16": "loaded",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestRebootIsNeededWhenSomethingNewerIsInstalled(t *testing.T) {
	image := func(names ...string) string {
		var status strings.Builder
		for _, n := range names {
			name, version, _ := strings.Cut(n, " ")
			state := "installed"
			if v, removed := strings.CutSuffix(version, " rc"); removed {
				version, state = v, "config-files"
			}
			status.WriteString("Package: linux-image-" + name + "\nStatus: install ok " + state + "\nVersion: " + version + "\n\n")
		}
		return status.String()
	}
	tests := []struct{ claim, packages, built, flag, want string }{
		{"the newest runs", image("6.1.0-28-amd64 6.1.119-1", "6.1.0-9-amd64 6.1.27-1", "amd64 6.1.119-1"), "#1 SMP Debian 6.1.119-1 (2024-11-22)", "", "no"},
		{"a newer one is installed", image("6.1.0-28-amd64 6.1.119-1", "6.1.0-30-amd64 6.1.124-1"), "", "", "yes: kernel 6.1.0-30-amd64 is installed"},
		{"another flavour does not count", image("6.1.0-28-amd64 6.1.119-1", "6.1.0-30-rt-amd64 6.1.124-1"), "", "", "no"},
		{"a removed one does not count", image("6.1.0-30-amd64 6.1.124-1 rc"), "", "", "no"},
		{"the running one was rebuilt", image("6.1.0-28-amd64 6.1.124-1"), "#1 SMP PREEMPT_DYNAMIC Debian 6.1.119-1 (2024-11-22)", "", "yes: kernel 6.1.0-28-amd64 was updated to 6.1.124-1"},
		{"a package asks for it", image(), "", "libc6\nlibc6\ndbus\n", "yes: libc6 dbus"},
		{"no kernel at all, as in a container", image(), "", "", "no"},
	}
	for _, tt := range tests {
		t.Run(tt.claim, func(t *testing.T) {
			files := fstest.MapFS{
				dpkgStatus:                  text(tt.packages + "\n"),
				"proc/sys/kernel/osrelease": text("6.1.0-28-amd64\n"),
				"proc/sys/kernel/version":   text(tt.built),
			}
			if tt.flag != "" {
				files["run/reboot-required"] = text("")
				files["run/reboot-required.pkgs"] = text(tt.flag)
			}
			if got := gather(t, reboot(), memHost(files))["os/reboot-needed"]; got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAccountsSayNothingOfPasswordsButTheirState(t *testing.T) {
	files := fstest.MapFS{
		"etc/passwd": text("root:x:0:0:root,Room 1,12345:/root:/bin/bash\nold:CANARYDES:5:5::/:/bin/sh\nopen::6:6::/:/bin/sh\n+::::::\n#x:x:1:1:::\nbroken:x\n" +
			"locked:x:1000:1000:Kari Nordmann:/skole/tjener/home0/kari:/bin/bash\nnoshadow:x:7:7::/:\n"),
		"etc/shadow": text("root:$y$CANARY:19000:0:99999:7:::\nlocked:!$6$CANARY:19001::::::\n"),
		"etc/group":  text("root:x:0:\nsudo:x:27:kari,ola\n"),
	}
	got := gather(t, accounts(), memHost(files))
	want := map[string]string{
		"user/root":     "uid=0 gid=0 home=/root shell=/bin/bash password=set changed=19000",
		"user/old":      "uid=5 gid=5 home=/ shell=/bin/sh password=set",
		"user/open":     "uid=6 gid=6 home=/ shell=/bin/sh password=none",
		"user/locked":   "uid=1000 gid=1000 home=/skole/tjener/home0/kari shell=/bin/bash password=locked changed=19001",
		"user/noshadow": "uid=7 gid=7 home=/ shell=",
		"group/root":    "gid=0",
		"group/sudo":    "gid=27 members=kari,ola",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	for path, value := range got {
		if strings.Contains(path+value, "CANARY") || strings.Contains(value, "Nordmann") {
			t.Errorf("%s = %q", path, value)
		}
	}
}

func TestShadowAgreesWithJC(t *testing.T) {
	dir := corpus(t, "jc/ubuntu-18.04")
	oracle, err := os.ReadFile(filepath.Join(dir, "shadow.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want []struct {
		Username    string `json:"username"`
		Password    string `json:"password"`
		LastChanged int    `json:"last_changed"`
	}
	if err := json.Unmarshal(oracle, &want); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "shadow.out"))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if name, state, ok := parseShadow(strings.TrimSpace(line)); ok {
			got[name] = state
		}
	}
	for _, w := range want {
		state := map[bool]string{true: "locked", false: "set"}[w.Password == "*"]
		if value := "password=" + state + " changed=" + strconv.Itoa(w.LastChanged); got[w.Username] != value {
			t.Errorf("%s: %q, want %q", w.Username, got[w.Username], value)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d users, want %d", len(got), len(want))
	}
}

const ed25519Key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl github"

func TestHostKeysAreKnownByTheirFingerprint(t *testing.T) {
	got := gather(t, sshKeys(), memHost(fstest.MapFS{
		"etc/ssh/ssh_host_ed25519_key.pub": text(ed25519Key + "\n"),
		"etc/ssh/ssh_host_rsa_key.pub":     text("ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl it lies"),
		"etc/ssh/ssh_host_ed25519_key":     text("secret"),
		"etc/ssh/ssh_host_x_key.pub":       text(""),
	}))
	want := map[string]string{"ssh/hostkey/ssh-ed25519": "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestFingerprintsAgreeWithSSHKeygen(t *testing.T) {
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Skip("ssh-keygen is not installed here: no oracle to compare with")
	}
	dir := t.TempDir()
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		file := filepath.Join(dir, kind)
		if out, err := exec.Command(keygen, "-q", "-t", kind, "-N", "", "-f", file).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		out, err := exec.Command(keygen, "-l", "-f", file+".pub").Output()
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(file + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		if _, got, ok := parsePublicKey(string(b)); !ok || got != strings.Fields(string(out))[1] {
			t.Errorf("%s: %q, ssh-keygen says %q", kind, got, out)
		}
	}
}

func TestListeningPortsAreTold(t *testing.T) {
	const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	got := gather(t, ports(), memHost(fstest.MapFS{
		"proc/net/tcp": text(head +
			"   0: 0100007F:0277 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n" +
			"   1: 0A00000A:8A3C 0B00000A:0016 01 00000000:00000000 02:00000000 00000000     0        0 1 1 0 20 4 30 10 -1\n" +
			"   2: 00000000:C350 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n"),
		"proc/net/tcp6": text(head +
			"   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 1 1 0 100\n" +
			"   1: B80D0120000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 1 1 0 100\n"),
		"proc/net/udp": text(head +
			"  10: 00000000:0044 00000000:0000 07 0:0 00:0 0 0 0 1 2 0 0\n" +
			"  11: 0100007F:0035 0100007F:1000 01 0:0 00:0 0 0 0 1 2 0 0\n"),
	}))
	want := map[string]string{
		"port/tcp/127.0.0.1:631":    "listening",
		"port/tcp/[::]:22":          "listening",
		"port/tcp/[2001:db8::1]:80": "listening",
		"port/udp/0.0.0.0:68":       "listening",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPortsAgreeWithJC(t *testing.T) {
	dir := corpus(t, "jc/linux-proc")
	b, err := os.ReadFile(filepath.Join(dir, "net_tcp"))
	if err != nil {
		t.Fatal(err)
	}
	oracle, err := os.ReadFile(filepath.Join(dir, "net_tcp.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want []struct {
		Address string `json:"local_address"`
		Port    int    `json:"local_port"`
		State   string `json:"state"`
	}
	if err := json.Unmarshal(oracle, &want); err != nil {
		t.Fatal(err)
	}
	got := gather(t, ports(), memHost(fstest.MapFS{"proc/net/tcp": {Data: b}}))
	n := 0
	for _, w := range want {
		if w.State != "0A" && w.State != "LISTEN" || w.Port >= ephemeral {
			continue
		}
		n++
		if path := "port/tcp/" + w.Address + ":" + strconv.Itoa(w.Port); got[path] == "" {
			t.Errorf("%s is missing", path)
		}
	}
	t.Logf("%d listening sockets compared", n)
	if len(got) > n {
		t.Errorf("%d ports, want %d: %v", len(got), n, got)
	}
}

func FuzzAccountsAndSockets(f *testing.F) {
	f.Add("root:x:0:0::/:/bin/sh", "root:*:1:::::", "   0: 0100007F:0277 00000000:0000 0A", ed25519Key)
	f.Add("::::::", ":", ": : : 07", "ssh AAAA")
	f.Fuzz(func(t *testing.T, passwd, shadow, socket, key string) {
		r := Run(t.Context(), memHost(fstest.MapFS{
			"etc/passwd": text(passwd), "etc/shadow": text(shadow), "etc/group": text(passwd),
			"proc/net/tcp6": text(socket), "proc/net/udp": text(socket), "etc/ssh/ssh_host_x_key.pub": text(key),
			"etc/os-release": text(passwd), "proc/cmdline": text(socket), "proc/modules": text(shadow),
		}), []Collector{accounts(), ports(), sshKeys(), operatingSystem(), kernel()})
		for _, s := range r.Status {
			if strings.Contains(s.Detail, "panic") {
				t.Error(s.Detail)
			}
		}
		for section, set := range fact.Split(r.Facts) {
			if err := set.Check(section); err != nil {
				t.Error(err)
			}
		}
	})
}
