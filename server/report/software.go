package report

import (
	"strconv"
	"strings"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/query"
)

// software are the reports about what is installed.
func software() []Definition {
	release, kernel, reboot := facts("release", Version, "os/debian"), facts("kernel", Version, "os/kernel"), facts("reboot", Text, "os/reboot-needed")
	return []Definition{
		{
			Name: "releases", For: []User{Principal, Technician}, Filter: "fact(os/id) and status != disposed",
			Params: []Param{{Name: "by", Kind: AsDate, Optional: true}},
			Columns: []Column{
				facts("system", Text, "os/id"), facts("codename", Text, "os/codename"), countMachines(),
				support("supported-until", Day, func(full, _, _ string) string { return full }),
				support("lts-until", Day, func(_, lts, _ string) string { return lts }),
				support("support", Text, func(_, _, stage string) string { return stage }), examples(),
			},
			Order: []string{"lts-until"}, lines: eachMachine,
		},
		{
			Name: "kernels", For: []User{Technician}, Filter: "fact(os/kernel)",
			Columns: []Column{
				release, kernel, countMachines(),
				countIf("reboot", func(l *line) bool {
					v, err := reboot.read(nil, l)
					return err == nil && strings.HasPrefix(v, "yes")
				}), examples(),
			},
			Order: []string{"-kernel"}, lines: eachMachine, reads: reboot.Facts,
		},
		{
			Name: "reboot", For: []User{Technician, Operator}, Filter: "fact(os/reboot-needed) = yes*",
			Columns: []Column{name(), class(), site(), kernel, reboot, field("seen")},
			lines:   eachMachine,
		},
		{
			Name: "package-below", For: []User{Technician, Auditor},
			Params: []Param{{Name: "package", Kind: AsText}, {Name: "version", Kind: AsText}},
			Filter: "pkg({package}) < {version}",
			Columns: []Column{
				name(), class(), site(), installed(), release, field("seen"),
			},
			Order: []string{"version"}, lines: eachMachine, reads: []string{"pkg/*/version"},
		},
		{
			Name: "package-versions", For: []User{Technician},
			Params: []Param{{Name: "package", Kind: AsText}}, Filter: "pkg({package})",
			Columns: []Column{part("package", 1), value("version", Version), countMachines(), examples()},
			Order:   []string{"package", "-version"},
			lines:   eachPackage, reads: []string{"pkg/*/version"},
		},
		{
			Name: "security-updates", For: []User{Technician, Auditor},
			Params: []Param{{Name: "show", Kind: AsChoice, Default: "missing", Allowed: []string{"missing", "all"}}},
			Filter: "fact(apt/lists/state) and status != disposed",
			Columns: []Column{
				name(), class(), site(), pending("security", true), pending("upgrades", false), facts("lists-age", Number, "apt/lists/age"),
				facts("lists", Text, "apt/lists/state"), field("seen"),
			},
			Order: []string{"-security", "-upgrades"},
			lines: eachMachineThat(func(r *run, l *line) (bool, error) {
				n, err := pending("security", true).read(r, l)
				return r.set["show"] == "all" || n != "0", err
			}),
			reads: []string{"apt/upgrade/*"},
		},
	}
}

// services are the reports about what runs, for whom, and where it comes from.
func services() []Definition {
	return []Definition{
		{
			Name: "package-sources", For: []User{Auditor, Technician}, Filter: "fact(apt/source/*)",
			Columns: []Column{
				{Key: "source", Kind: Text, read: func(_ *run, l *line) (string, error) {
					source, _, _ := strings.Cut(l.value, " [")
					return source, nil
				}},
				countMachines(), examples(),
			},
			Order: []string{"-machines"}, lines: eachFact("apt/source/*/*", nil), reads: []string{"apt/source/*/*"},
		},
		{
			Name: "failed-services", For: []User{Technician, Operator}, Filter: "fact(svc/*/failed)",
			Columns: []Column{part("service", 1), countMachines(), examples()},
			Order:   []string{"-machines"}, lines: eachFact("svc/*/failed", nil), reads: []string{"svc/*/failed"},
		},
		{
			Name: "certificates", For: []User{Technician, Operator}, Filter: "fact(cert/*/expires)",
			Params: []Param{{Name: "within", Kind: AsNumber, Default: "30"}},
			Columns: []Column{
				name(), site(), value("expires", Day), part("file", 1), beside("subject", Text, "cert/*/expires", 2, "subject"),
				beside("names", Text, "cert/*/expires", 2, "names"), beside("issuer", Text, "cert/*/expires", 2, "issuer"),
			},
			Order: []string{"expires"},
			lines: eachFact("cert/*/expires", func(r *run, l *line) bool {
				return l.value <= r.now().AddDate(0, 0, r.number("within")).UTC().Format(time.DateOnly)
			}),
			reads: []string{"cert/*/expires"},
		},
		{
			Name: "backups", For: []User{Technician, Operator}, Filter: "fact(backup/*/*/last)",
			Params: []Param{{Name: "older", Kind: AsNumber, Default: "4"}, {Name: "show", Kind: AsChoice, Default: "missing", Allowed: []string{"missing", "all"}}},
			Columns: []Column{
				name(), site(), part("tool", 1), part("backup", 2), value("last", Text), beside("good-days", Text, "backup/*/*/last", 3, "age"), field("seen"),
			},
			Order: []string{"name", "tool", "backup"},
			lines: eachFact("backup/*/*/last", func(r *run, l *line) bool {
				days, err := beside("", Text, "backup/*/*/last", 3, "age").read(r, l)
				n, bad := strconv.Atoi(days)
				return r.set["show"] == "all" || l.value != "ok" || err != nil || bad != nil || n >= r.number("older")
			}),
			reads: []string{"backup/*/*/last"},
		},
		{
			Name: "open-ports", For: []User{Auditor, Technician}, Filter: "fact(port/*)",
			Params: []Param{{Name: "port", Kind: AsNumber, Optional: true}},
			Columns: []Column{
				part("protocol", 1),
				{Key: "port", Kind: Number, read: func(_ *run, l *line) (string, error) { return portOf(l), nil }},
				{Key: "reach", Kind: Text, read: func(_ *run, l *line) (string, error) { return reachOf(l), nil }},
				value("service", Text), countMachines(), examples(),
			},
			Order: []string{"port", "protocol"},
			lines: eachFact("port/*/*", func(r *run, l *line) bool { return r.set["port"] == "" || portOf(l) == r.set["port"] }),
			reads: []string{"port/*/*"},
		},
		{
			Name: "local-users", For: []User{Auditor}, Filter: "fact(user/*)",
			Params: []Param{{Name: "show", Kind: AsChoice, Default: "people", Allowed: []string{"people", "all"}}},
			Columns: []Column{
				part("user", 1), word("uid", Number, "uid"), word("shell", Text, "shell"), word("password", Text, "password"), countMachines(), examples(),
			},
			Order: []string{"uid", "user"},
			lines: eachFact("user/*", func(r *run, l *line) bool { return r.set["show"] == "all" || person(wordOf(l.value, "uid")) }),
			reads: []string{"user/*"},
		},
	}
}

// eachPackage makes a line of each installed package that the parameter fits.
func eachPackage(r *run, each func(*line) error) error {
	return eachMachine(r, func(whole *line) error {
		found, err := versionsOf(whole.m, r.set["package"])
		if err != nil {
			return err
		}
		for _, f := range found {
			if err := each(&line{m: whole.m, ci: whole.ci, path: components(f.Path), value: f.Value}); err != nil {
				return err
			}
		}
		return nil
	})
}

// versionsOf gives the facts of the versions of the packages that a name or
// pattern fits. Only those are looked at that begin as it does: a machine has
// thousands.
func versionsOf(m Machine, want string) (found []fact.Fact, err error) {
	path := "pkg/" + strings.ToLower(want) + "/version" // as Debian writes names
	stem, _, _ := strings.Cut(strings.ReplaceAll(path, "?", "*"), "*")
	set, err := m.FactsUnder(stem)
	for _, f := range set {
		if query.Glob(path, f.Path) {
			found = append(found, f)
		}
	}
	return found, err
}

// installed is a column of the version of the package that the parameter names;
// with a pattern, of all packages that it fits.
func installed() Column {
	return Column{Key: "version", Kind: Version, Facts: []string{"pkg/*/version"}, read: func(r *run, l *line) (string, error) {
		found, err := versionsOf(l.m, r.set["package"])
		if len(found) == 1 && !query.IsGlob(r.set["package"]) {
			return found[0].Value, err
		}
		var out []string
		for _, f := range found[:min(len(found), maxNames)] {
			out = append(out, components(f.Path)[1]+" "+f.Value)
		}
		return strings.Join(out, ", "), err
	}}
}

// portOf is the number of the port of "port/tcp/[::]:22".
func portOf(l *line) string {
	address := l.path[len(l.path)-1]
	return address[strings.LastIndexByte(address, ':')+1:]
}

// reachOf says who may reach the port: only the machine itself, or others.
func reachOf(l *line) string {
	address := l.path[len(l.path)-1]
	if strings.HasPrefix(address, "127.") || strings.HasPrefix(address, "[::1]") {
		return "local"
	}
	return "network"
}

// person tells users that people may be from those of the system: root, and from
// 1000 up to 59999 as Debian counts (Debian Policy 9.2.2).
func person(uid string) bool {
	return uid == "0" || len(uid) == 4 || len(uid) == 5 && uid < "60000"
}
