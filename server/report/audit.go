package report

import "strings"

// audit are the reports for who compares the register with what there is.
func audit() []Definition {
	return []Definition{
		{
			Name: "inventory", For: []User{Auditor, Principal},
			Columns: []Column{
				name(), class(), site(), field("status"), field("presence"), field("seen"), facts("vendor", Text, "hw/system/vendor", "hw/board/vendor"),
				model(), serial(), facts("tag", Text, "id/tag"), field("barcode"), field("owner"), facts("mac", Text, "net/*/permanent", "net/*/mac"),
			},
			lines: eachMachine,
		},
		{
			Name: "unlabelled", For: []User{Auditor}, Filter: "status != disposed and fact(id/*)",
			Columns: []Column{
				name(), class(), site(), model(), serial(), facts("tag", Text, "id/tag"), field("barcode"),
				{Key: "missing", Kind: Text, Facts: []string{"id/serial/*", "id/tag"}, Field: "barcode", read: func(_ *run, l *line) (string, error) {
					return missingLabels(l)
				}},
			},
			lines: eachMachineThat(func(_ *run, l *line) (bool, error) {
				missing, err := missingLabels(l)
				return missing != "", err
			}),
		},
		{
			Name: "duplicates", For: []User{Auditor, Technician}, Filter: "status != disposed", Shared: true,
			Params:  []Param{{Name: "of", Kind: AsChoice, Default: "serial", Allowed: []string{"serial", "mac", "uuid", "machine-id", "tag"}}},
			Columns: []Column{made("value", Text), countMachines(), examples()},
			Order:   []string{"-machines"}, lines: eachTwin,
			reads: []string{"id/serial/product", "id/serial/chassis", "id/serial/board", "net/*/permanent", "net/*/mac", "net/*/driver", "id/uuid", "id/machine-id", "id/tag"},
		},
		{
			Name: "undeclared", For: []User{Auditor, Operator}, Filter: "presence != never-seen and status != disposed",
			Columns: []Column{
				name(), class(), site(), field("seen"), model(), serial(), field("created"),
				{Key: "missing", Kind: Text, Field: "owner", read: func(_ *run, l *line) (string, error) {
					return absent(l, "site", "owner", "barcode", "purchased"), nil
				}},
			},
			Order: []string{"created"},
			lines: eachMachineThat(func(_ *run, l *line) (bool, error) {
				return fieldOf(l, "site") == "" || len(strings.Fields(absent(l, "owner", "barcode", "purchased"))) == 3, nil
			}),
		},
		{
			Name: "waiting-keys", For: []User{Operator, Auditor}, Now: true, Apart: true,
			Columns: []Column{
				made("key", Text), made("hostname", Text), made("class", Text), made("site", Text), made("source", Text), made("token", Text), made("trust", Text),
				made("time", Time), made("reason", Text),
			},
			Order: []string{"time"}, lines: eachKey,
		},
		{
			Name: "low-trust", For: []User{Auditor, Operator}, Filter: "trust in (T0, unsigned) or cloned = yes",
			Columns: []Column{name(), class(), site(), field("trust"), field("cloned"), field("presence"), field("seen"), field("created")},
			Order:   []string{"-cloned", "trust"}, lines: eachMachine,
		},
		{
			Name: "shared-secrets", For: []User{Auditor, Technician}, Filter: "fact(secret/*)",
			Columns: []Column{made("secret", Text), made("secrets", Number), countMachines(), examples(), made("group", Number)},
			Order:   []string{"secret", "-machines"}, lines: eachSecret, reads: []string{"secret/*/**"},
		},
		{
			Name: "evidence-log", For: []User{Auditor}, Now: true, Apart: true,
			Columns: []Column{made("who", Text), made("leaves", Number), made("behind", Number), made("time", Time), made("hours", Number)},
			lines:   eachWitness,
		},
	}
}

// missingLabels says what an auditor cannot find a machine by.
func missingLabels(l *line) (string, error) {
	serial, tag, err := labels(l)
	var out []string
	if serial == "" {
		out = append(out, "serial")
	}
	if tag == "" {
		out = append(out, "tag")
	}
	return strings.Join(out, " "), err
}

// since is the parameter from which time on history is read.
func since(age string) Param { return Param{Name: "since", Kind: AsDate, Default: age} }

// zone is the parameter in which days and hours are counted.
func zone() Param { return Param{Name: "zone", Kind: AsZone, Default: "UTC"} }

// change are the reports about what became different.
func change() []Definition {
	when := made("time", Time)
	return []Definition{
		{
			Name: "recent-changes", For: []User{Operator, Technician}, Params: []Param{since("2d")},
			Columns: []Column{when, name(), site(), made("what", Text), made("by", Text), made("reason", Text)},
			Order:   []string{"-time"}, lines: eachChange,
		},
		{
			Name: "changes-per-day", For: []User{Principal}, Params: []Param{since("14d"), zone()},
			Columns: []Column{made("day", Day), site(), countLines("changes"), countMachines(), countIf("by-people", func(l *line) bool {
				return strings.HasPrefix(l.made["by"], "operator ")
			})},
			Order: []string{"-day", "site"}, lines: eachChangedSection,
		},
		{
			Name: "out-of-hours", For: []User{Principal, Auditor},
			Params: []Param{since("7d"), {Name: "from", Kind: AsClock, Default: "07:00"}, {Name: "to", Kind: AsClock, Default: "17:00"}, zone()},
			Columns: []Column{
				when, made("weekday", Number), made("clock", Text), name(), site(), made("what", Text), made("by", Text),
			},
			Order: []string{"-time"}, lines: eachAtNight,
		},
		{
			Name: "moved", For: []User{Auditor, Operator}, Params: []Param{since("30d")},
			Columns: []Column{when, name(), class(), made("from", Text), made("to", Text), made("by", Text), made("reason", Text)},
			Order:   []string{"-time"}, lines: eachMove,
		},
		{
			Name: "changed-hardware", For: []User{Technician, Auditor}, Params: []Param{since("90d")},
			Columns: []Column{when, name(), site(), made("fact", Text), made("old", Text), made("new", Text)},
			Order:   []string{"-time"}, lines: eachPart,
			reads: []string{"hw/board/*", "hw/disk/*/**", "hw/dimm/*/*", "hw/memory/total", "hw/cpu/model", "hw/bios/version", "id/serial/*"},
		},
		{
			Name: "new-packages", For: []User{Principal, Technician}, Params: []Param{since("14d")},
			Columns: []Column{
				made("package", Text), most("version", made("version", Version)), countMachines(), least("first", when), most("last", when), examples(),
			},
			Order: []string{"-machines"}, lines: eachNewPackage, reads: []string{"pkg/*/version"},
		},
	}
}
