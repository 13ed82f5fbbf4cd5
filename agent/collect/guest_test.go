package collect

import (
	"testing"
)

func TestSizesOfGuestsAreBytes(t *testing.T) {
	for _, tt := range []struct {
		n    string
		unit string
		want string
	}{
		{"2097152", "KiB", "2147483648"},
		{"2097152", "", "2147483648"},
		{"2", "GiB", "2147483648"},
		{"4611686018427387904", "GiB", ""},
		{"5", "furlong", ""},
		{"0", "KiB", ""},
	} {
		if got := memoryBytes(tt.n, tt.unit); got != tt.want {
			t.Errorf("%s %s: %q, want %q", tt.n, tt.unit, got, tt.want)
		}
	}
}

func TestRunningGuestIsOnlyToldOfTheRunningMachine(t *testing.T) {
	files := tree(map[string]string{
		"etc/libvirt/qemu/a.xml": "<domain type='kvm'><name>a</name></domain>", "run/libvirt/qemu/a.pid": "17\n",
		"var/lib/lxc/b/config": "lxc.start.auto = 0\n", "sys/fs/cgroup/lxc.payload.b/cgroup.procs": "",
	})
	live := put(t, func(s *Sink) error { return collectGuests(t.Context(), Host{FS: files, Live: true}, s) })
	recorded := put(t, func(s *Sink) error { return collectGuests(t.Context(), Host{FS: files}, s) })
	for path, want := range map[string]string{"guest/libvirt/a/runs": "yes", "guest/lxc/b/runs": "yes"} {
		if live[path] != want || recorded[path] != "" {
			t.Errorf("%s: %q running, %q recorded", path, live[path], recorded[path])
		}
	}
}

func TestDescriptionOfAGuestIsReadUpToItsDevices(t *testing.T) {
	for _, tt := range []struct {
		text string
		want domain
		ok   bool
	}{
		{"<domain type='kvm'><name>a</name><uuid>1</uuid><vcpu current='1'>4</vcpu><memory unit='KiB'>2</memory></domain>", domain{"kvm", "a", "1", "4", "2", "KiB"}, true},
		{"<!-- x --><domain><name>a</name><devices><disk><name>b</name></disk></devices></domain>", domain{name: "a"}, true},
		{"<domain type=\"qemu\"><title>x</title><name>a &amp; b</name><names>c</names></domain>", domain{kind: "qemu", name: "a & b"}, true},
		{"<!-- <name>x</name> --><domain><name>a</name></domain>", domain{name: "a"}, true},
		{"<domain><name>a", domain{name: "a"}, false},
		{"<domain></domain>", domain{}, false},
		{"", domain{}, false},
	} {
		if got, ok := parseDomain([]byte(tt.text)); got != tt.want || ok != tt.ok {
			t.Errorf("%s: %+v %v", tt.text, got, ok)
		}
	}
}

func FuzzGuests(f *testing.F) {
	f.Add("<domain type='kvm'><name>a</name><memory unit='KiB'>1</memory></domain>", "lxc.start.auto = 1\n")
	f.Add(`<!DOCTYPE x [<!ENTITY a "b"><!ENTITY c "&a;&a;">]><domain><name>&c;</name></domain>`, "=")
	f.Fuzz(func(t *testing.T, domain, config string) {
		inert(t, tree(map[string]string{"etc/libvirt/qemu/a.xml": domain, "var/lib/lxc/b/config": config}), guests())
	})
}
