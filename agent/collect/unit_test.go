package collect

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// unitTree has a unit in each state.
func unitTree() map[string]string {
	const lib, etc = "usr/lib/systemd/system/", "etc/systemd/system/"
	const install = "[Unit]\nDescription=x\n[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
	return map[string]string{
		lib + "on.service":                             install,
		lib + "off.service":                            install,
		lib + "fixed.service":                          "[Service]\nExecStart=/bin/true\n",
		lib + "pulled.service":                         "[Service]\nExecStart=/bin/true\n",
		lib + "also.service":                           "[Service]\nExecStart=/bin/true\n[Install]\nAlso=off.service\n",
		lib + "hidden.service":                         install,
		lib + "shipped-mask.service":                   "-> /dev/null",
		lib + "sock.socket":                            strings.Replace(install, "multi-user", "sockets", 1),
		lib + "y@.service":                             install + "DefaultInstance=tty1\n",
		etc + "multi-user.target.wants/y@tty1.service": "-> /" + lib + "y@.service",
		lib + "x@.service":                             install,
		lib + "dbus-org.alias.service":                 "-> off.service",
		lib + "some.target":                            install,
		lib + "some.target.wants/pulled.service":       "-> ../pulled.service",
		etc + "multi-user.target.wants/on.service":     "-> /" + lib + "on.service",
		etc + "multi-user.target.wants/x@one.service":  "-> /" + lib + "x@.service",
		etc + "hidden.service":                         "-> /dev/null",
		etc + "own.timer":                              strings.Replace(install, "multi-user", "timers", 1),
		etc + "byname.service":                         "-> /" + lib + "sock-by-name.service",
		lib + "sock-by-name.service":                   "[Service]\nExecStart=/bin/true\n[Install]\nAlias=byname.service\n",
		"etc/init.d/legacy":                            "#!/bin/sh\n",
		"etc/init.d/on":                                "#!/bin/sh\n",
		"etc/init.d/README":                            "no script",
	}
}

func TestUnitsAreAsTheirFilesSay(t *testing.T) {
	root := rootWith(t, unitTree())
	got := gather(t, units(), Host{FS: root, Now: memHost(nil).Now})
	want := map[string]string{
		"svc/on.service": "enabled", "svc/off.service": "disabled", "svc/fixed.service": "static", "svc/pulled.service": "static",
		"svc/also.service": "indirect", "svc/hidden.service": "masked", "svc/shipped-mask.service": "masked", "svc/sock.socket": "disabled",
		"svc/x@.service": "indirect", "svc/x@one.service": "enabled", "svc/y@.service": "enabled", "svc/y@tty1.service": "enabled", "svc/own.timer": "disabled", "svc/sock-by-name.service": "enabled",
		"svc/legacy.service": "generated",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestUnitsAgreeWithSystemctl asks systemctl about the same tree, and about a
// machine's root in ROLLCALL_ROOT if there is one. It knows nothing of instances
// and of generated units offline.
func TestUnitsAgreeWithSystemctl(t *testing.T) {
	systemctl, err := exec.LookPath("systemctl")
	if err != nil {
		t.Skip("systemctl is not installed here: no oracle to compare with")
	}
	roots := []*Root{rootWith(t, unitTree())}
	if dir := os.Getenv("ROLLCALL_ROOT"); dir != "" {
		r, err := OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		roots = append(roots, r)
	}
	for _, root := range roots {
		out, err := exec.Command(systemctl, "--root="+root.dir, "list-unit-files", "--no-legend", "--no-pager").Output()
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{}
		for line := range strings.Lines(string(out)) {
			if f := strings.Fields(line); len(f) >= 2 && wantedUnit(f[0]) && f[1] != "alias" {
				want["svc/"+f[0]] = f[1]
			}
		}
		got := gather(t, units(), Host{FS: root, Now: memHost(nil).Now})
		maps.DeleteFunc(got, func(path, state string) bool {
			return state == "generated" || template(filepath.Base(path)) != "" && want[path] == "" && !strings.Contains(path, "@.")
		})
		if !maps.Equal(got, want) {
			for path := range want {
				if got[path] != want[path] {
					t.Errorf("%s = %q, systemctl says %q", path, got[path], want[path])
				}
			}
			for path := range got {
				if want[path] == "" {
					t.Errorf("%s = %q, systemctl knows nothing of it", path, got[path])
				}
			}
		}
		t.Logf("%d units compared", len(want))
	}
}

func TestUnitsAreRememberedUntilSomethingChanges(t *testing.T) {
	root := rootWith(t, unitTree())
	h := Host{FS: root, Now: memHost(nil).Now, Cache: &Cache{}}
	before := unitStamp(h)
	gather(t, units(), h)
	if unitStamp(h) != before {
		t.Error("the stamp changes by itself")
	}
	if err := os.Remove(filepath.Join(root.dir, "etc/systemd/system/multi-user.target.wants/on.service")); err != nil {
		t.Fatal(err)
	}
	if got := gather(t, units(), h)["svc/on.service"]; got != "disabled" {
		t.Errorf("on.service is %q after it was disabled", got)
	}
}

func FuzzUnitFile(f *testing.F) {
	f.Add([]byte("[Install]\nWantedBy=x\n"))
	f.Fuzz(func(t *testing.T, b []byte) { installSection(b) })
}
