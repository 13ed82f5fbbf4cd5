package collect

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// fullHost has every source of the software collectors.
func fullHost() Host {
	files := archive("Package: q\nPin: release a=a\nPin-Priority: 900\n", map[string]string{"a": "1.1|Label: Debian-Security"})
	for name, content := range map[string]string{
		"etc/os-release": "ID=debian\n", "proc/sys/kernel/osrelease": "6.1.0-28-amd64\n", "proc/modules": "ext4 1 2 - Live 0x0\n",
		"etc/passwd": "root:x:0:0::/root:/bin/sh\n", "etc/shadow": "root:*:1:::::\n", "etc/group": "root:x:0:\n",
		"etc/ssh/ssh_host_ed25519_key.pub": ed25519Key, "var/log/dpkg.log": dpkgLog, "var/log/apt/history.log": aptLog,
		"proc/net/tcp":                       "   0: 0100007F:0277 00000000:0000 0A",
		"var/lib/apt/extended_states":        "Package: p\nArchitecture: amd64\nAuto-Installed: 1\n",
		"usr/lib/systemd/system/ssh.service": "[Install]\nWantedBy=multi-user.target\n",
	} {
		files[name] = text(content)
	}
	return memHost(files)
}

func TestSoftwareOfAnIdleMachineStaysTheSame(t *testing.T) {
	h := fullHost()
	h.Cache = &Cache{}
	first := Run(t.Context(), h, software())
	if len(first.Facts) < 12 {
		t.Errorf("only %d facts: %v", len(first.Facts), first.Facts)
	}
	for _, s := range first.Status {
		if !s.State.Complete() {
			t.Errorf("%s: %s %s", s.Name, s.State, s.Detail)
		}
	}
	for range 100 {
		r := Run(t.Context(), h, software())
		if !slices.Equal(r.Facts, first.Facts) || len(r.Events) > 0 {
			t.Fatalf("another result: %v, %v", r.Facts, r.Events)
		}
	}
}

func TestMachineWithoutAnyOfItIsNotHere(t *testing.T) {
	r := Run(t.Context(), memHost(fstest.MapFS{"etc": {Mode: 0o755 | 1<<31}}), software())
	for _, s := range r.Status {
		if !s.State.Complete() {
			t.Errorf("%s: %s %s", s.Name, s.State, s.Detail)
		}
	}
	if len(r.Facts) > 0 {
		t.Errorf("facts %v", r.Facts)
	}
}

// softwareRoot is a machine's root in ROLLCALL_ROOT, or a made-up one with 2,871
// packages and 400 units.
func softwareRoot(b *testing.B) *Root {
	b.Helper()
	dir := os.Getenv("ROLLCALL_ROOT")
	if dir == "" {
		dir = b.TempDir()
		write := func(name, content string) {
			name = filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				b.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
				b.Fatal(err)
			}
		}
		var status strings.Builder
		for i := range 2871 {
			fmt.Fprintf(&status, "Package: package%d\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.%d-1\nDepends: libc6 (>= 2.3%d)\nConffiles:\n /etc/c/%d 0123456789abcdef0123456789abcdef\nDescription: x\n%s\n",
				i, i, i%10, i, strings.Repeat(" a long description that goes on and on and on\n", 12))
		}
		write(dpkgStatus, status.String())
		for i := range 400 {
			write(fmt.Sprintf("usr/lib/systemd/system/unit%d.service", i), "[Install]\nWantedBy=multi-user.target\n")
		}
	}
	r, err := OpenRoot(dir)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := r.Close(); err != nil {
			b.Error(err)
		}
	})
	return r
}

// BenchmarkLookCold is the first look of an agent, at everything but /etc, and
// BenchmarkLookUnchanged each further one.
func BenchmarkLookCold(b *testing.B) {
	h := Host{FS: softwareRoot(b), Now: memHost(nil).Now}
	b.ReportAllocs()
	for b.Loop() {
		Run(b.Context(), h, All())
	}
}

func BenchmarkLookUnchanged(b *testing.B) {
	h := Host{FS: softwareRoot(b), Now: memHost(nil).Now, Cache: &Cache{}}
	var r Runner
	m := r.Run(b.Context(), h, All(), Memory{}).Memory
	b.ReportAllocs()
	for b.Loop() {
		m = r.Run(b.Context(), h, All(), m).Memory
	}
}
