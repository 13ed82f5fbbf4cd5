package collect

import (
	"slices"
	"testing"
	"testing/fstest"
	"time"
)

// tree makes files from their contents.
func tree(files map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, content := range files {
		m[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return m
}

func TestMachineIDTellsHowMuchItIsWorth(t *testing.T) {
	tests := []struct {
		name, file, id, weak string
		state                State
	}{
		{"random", "721227d399d2925d0c1bb62e1d225d25\n", "721227d399d2925d0c1bb62e1d225d25", "", OK},
		{"made by LTSP from the MAC", "525400123456" + "00000000000000000000\n", "52540012345600000000000000000000", "ltsp", OK},
		{"never booted", "", "", "", OK},
		{"image", "uninitialized\n", "", "", OK},
		{"zeros", "00000000000000000000000000000000\n", "00000000000000000000000000000000", "ltsp", OK},
		{"too short", "721227d3\n", "", "", Failed},
		{"no number", "\x1b[31mxxxxxxxxxxxxxxxxxxxxxxxxxxx\n", "", "", Failed},
	}
	for _, tt := range tests {
		got := Run(t.Context(), testHost(tree(map[string]string{"etc/machine-id": tt.file})), []Collector{machineID()})
		id, _ := got.Facts.Get("id/machine-id")
		weak, _ := got.Facts.Get("id/machine-id/weak")
		if id != tt.id || weak != tt.weak || got.Status[0].State != tt.state {
			t.Errorf("%s: id %q weak %q %s, want %q %q %s", tt.name, id, weak, got.Status[0].State, tt.id, tt.weak, tt.state)
		}
	}
}

func TestHostnameAndDomainComeFromFiles(t *testing.T) {
	tests := []struct {
		name         string
		files        map[string]string
		host, domain string
	}{
		{"kernel", map[string]string{"proc/sys/kernel/hostname": "ws01\n", "proc/sys/kernel/domainname": "(none)\n", "etc/hostname": "old\n"}, "ws01", ""},
		{"file", map[string]string{"etc/hostname": "ws01\n", "etc/hosts": "127.0.1.1 ws01.intern ws01\n"}, "ws01", "intern"},
		{"full name", map[string]string{"etc/hostname": "ws01.skole.example\n"}, "ws01", "skole.example"},
		{"kernel without a name yet", map[string]string{"proc/sys/kernel/hostname": "localhost\n", "etc/hostname": "ws01\n"}, "ws01", ""},
		{"resolver's search", map[string]string{"etc/hostname": "ws01\n", "etc/resolv.conf": "search intern skole\nnameserver 10.0.2.2\n"}, "ws01", "intern"},
		{"comment in hosts", map[string]string{"etc/hostname": "ws01\n", "etc/hosts": "# 127.0.1.1 ws01.wrong\n127.0.0.1 localhost.x ws01.right # ws01.no\n"}, "ws01", "right"},
	}
	for _, tt := range tests {
		got := collected(t, hostname(), tree(tt.files))
		if got["id/hostname"] != tt.host || got["id/domain"] != tt.domain {
			t.Errorf("%s: %v, want %q %q", tt.name, got, tt.host, tt.domain)
		}
	}
}

func TestVirtualMachinesAndContainersAreNamed(t *testing.T) {
	const flags = "processor\t: 0\nflags\t\t: fpu hypervisor ht\n\nprocessor\t: 1\nflags\t\t: fpu\n"
	tests := []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"hardware", map[string]string{"sys/class/dmi/id/sys_vendor": "Dell Inc.", "proc/cpuinfo": "flags : fpu\n"}, "none"},
		{"kvm", map[string]string{"sys/class/dmi/id/sys_vendor": "QEMU", "proc/cpuinfo": flags}, "kvm"},
		{"qemu alone", map[string]string{"sys/class/dmi/id/sys_vendor": "QEMU", "proc/cpuinfo": "flags : fpu\n"}, "qemu"},
		{"virtualbox", map[string]string{"sys/class/dmi/id/sys_vendor": "innotek GmbH", "sys/class/dmi/id/product_name": "VirtualBox"}, "oracle"},
		{"vmware", map[string]string{"sys/class/dmi/id/sys_vendor": "VMware, Inc."}, "vmware"},
		{"hyper-v", map[string]string{"sys/class/dmi/id/sys_vendor": "Microsoft Corporation", "sys/class/dmi/id/product_name": "Virtual Machine"}, "microsoft"},
		{"surface is hardware", map[string]string{"sys/class/dmi/id/sys_vendor": "Microsoft Corporation", "sys/class/dmi/id/product_name": "Surface Pro"}, "none"},
		{"firecracker", map[string]string{"proc/cpuinfo": flags}, "vm-other"},
		{"xen guest", map[string]string{"proc/cpuinfo": "x : y\n", "sys/hypervisor/type": "xen\n"}, "xen"},
		{"lxc", map[string]string{"run/systemd/container": "lxc\n", "sys/class/dmi/id/sys_vendor": "Dell Inc."}, "lxc"},
		{"nspawn", map[string]string{"proc/1/environ": "PATH=/bin\x00container=systemd-nspawn\x00"}, "systemd-nspawn"},
		{"docker", map[string]string{".dockerenv": "", "proc/self/mountinfo": "1 0 0:4 / / rw - overlay overlay rw\n"}, "docker"},
		{
			"machine made from a container's image",
			map[string]string{".dockerenv": "", "proc/self/mountinfo": "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n", "proc/cpuinfo": "x : y\n"},
			"none",
		},
		{"never booted", map[string]string{"etc/hostname": "x"}, ""},
	}
	for _, tt := range tests {
		if got := collected(t, virtual(), tree(tt.files))["id/virtual"]; got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestBootStyleAndRoleMakeTheClass(t *testing.T) {
	const (
		onDisk  = "22 1 8:2 / / rw - ext4 /dev/sda2 rw\n"
		onNFS   = "22 1 0:2 / / rw - nfs4 10.0.2.2:/srv/ltsp rw\n"
		overlay = "22 1 0:2 / / rw - overlay overlay rw\n"
		mounts  = "proc/self/mountinfo"
		cmdline = "proc/cmdline"
		profile = "etc/debian-edu/config"
		chassis = "sys/class/dmi/id/chassis_type"
	)
	tests := []struct {
		name        string
		files       map[string]string
		boot, class string
	}{
		{"desktop with a screen", map[string]string{mounts: onDisk, chassis: "3", "etc/X11/default-display-manager": "/usr/sbin/lightdm"}, "disk", "workstation"},
		{"tower without one", map[string]string{mounts: onDisk, chassis: "7"}, "disk", "server"},
		{"notebook", map[string]string{mounts: onDisk, chassis: "10"}, "disk", "laptop"},
		{"battery and no chassis type", map[string]string{mounts: onDisk, chassis: "2", "sys/class/power_supply/BAT0/type": "Battery"}, "disk", "laptop"},
		{"rack", map[string]string{mounts: onDisk, chassis: "23", "etc/X11/default-display-manager": "x"}, "disk", "server"},
		{"school server on a tower", map[string]string{mounts: onDisk, chassis: "3", profile: "PROFILE=\"Main-Server,Workstation\"\n"}, "disk", "server"},
		{"school workstation", map[string]string{mounts: onDisk, chassis: "3", profile: "PROFILE=Workstation\n"}, "disk", "workstation"},
		{"roaming workstation", map[string]string{mounts: onDisk, profile: "PROFILE=Roaming-Workstation\n"}, "disk", "laptop"},
		{"LTSP", map[string]string{mounts: overlay, cmdline: "root=/dev/nfs nfsroot=10.0.2.2:/srv/ltsp ltsp.image=images/x86_64.img init=/usr/share/ltsp/client/init/init\n"}, "ltsp", "diskless"},
		{"LTSP with a thin image", map[string]string{mounts: overlay, cmdline: "root=/dev/nfs ltsp.image=images/thin.img\n"}, "ltsp-thin", "thin-client"},
		{"root on NFS", map[string]string{mounts: onNFS, cmdline: "quiet\n"}, "nfs", "diskless"},
		{"network start of a local disk", map[string]string{mounts: onDisk, cmdline: "BOOTIF=01-52-54 root=/dev/sda2\n"}, "disk", "server"},
		{"live system", map[string]string{mounts: overlay, cmdline: "boot=live components\n", chassis: "10"}, "live", "laptop"},
		{"container on a notebook", map[string]string{mounts: overlay, "run/systemd/container": "lxc", chassis: "10"}, "container", "server"},
		{"root that does not run", map[string]string{"etc/X11/default-display-manager": "x"}, "", "workstation"},
	}
	for _, tt := range tests {
		got := collected(t, boot(), tree(tt.files))
		if got["id/boot"] != tt.boot || got["id/class"] != tt.class {
			t.Errorf("%s: boot %q class %q, want %q %q", tt.name, got["id/boot"], got["id/class"], tt.boot, tt.class)
		}
	}
}

func TestOwnSiteComesBeforeSitesummarys(t *testing.T) {
	files := map[string]string{"etc/sitesummary/site": "north\n", "etc/sitesummary/hostclass": "server\n"}
	if got := collected(t, edu(), tree(files)); got["id/site/site"] != "north" || got["id/site/hostclass"] != "server" {
		t.Errorf("sitesummary alone: %v", got)
	}
	files["etc/rollcall/site"] = "# where it stands\nelm/north/b1\n"
	if got := collected(t, edu(), tree(files)); got["id/site/site"] != "elm/north/b1" {
		t.Errorf("with an own file: %v", got)
	}
}

// As SiteSummary.pm reads them: the last line that says something, without a comment.
func TestSitesummarysSettingsAreReadAsSitesummaryReadsThem(t *testing.T) {
	files := map[string]string{"etc/sitesummary/site": "# old\nsouth\nnorth # since 2024\n\n", "etc/sitesummary/sitegroup": "#room12\n", "etc/sitesummary/hostclass": "workstation"}
	got := collected(t, edu(), tree(files))
	if _, set := got["id/site/sitegroup"]; got["id/site/site"] != "north" || got["id/site/hostclass"] != "workstation" || set {
		t.Errorf("they are %v", got)
	}
}

func TestDomainsAreTheMachinesOwnFirst(t *testing.T) {
	files := map[string]string{
		"proc/sys/kernel/hostname": "ws01\n", "proc/sys/kernel/domainname": "(none)\n",
		"etc/hosts": "127.0.1.1 ws01.elm.example ws01\n", "etc/resolv.conf": "search intern elm.example localdomain\nnameserver 10.0.2.2\n",
	}
	if got := Domains(Host{FS: tree(files)}); !slices.Equal(got, []string{"elm.example", "intern"}) {
		t.Errorf("its domains are %q", got)
	}
	if got := Domains(Host{FS: tree(nil)}); len(got) != 0 {
		t.Errorf("a machine without any has %q", got)
	}
}

func TestNothingOfThisMachineUnderAnEmptyRoot(t *testing.T) {
	got := Run(t.Context(), Host{FS: fstest.MapFS{}, Now: time.Now}, hardware())
	for _, f := range got.Facts {
		if f.Path != "id/class" { // a guess from nothing: a server
			t.Errorf("%s = %s", f.Path, f.Value)
		}
	}
	if len(got.Measurements) > 0 {
		t.Errorf("measurements %v", got.Measurements)
	}
}
