package report

import "rollcall/server/cmdb"

// is tells that a derived field of a line's CI has a value.
func is(name, want string) func(l *line) bool {
	return func(l *line) bool { return fieldOf(l, name) == want }
}

// standing counts CIs of a status and, where it is not empty, a presence.
func standing(status cmdb.Status, presence string) func(l *line) bool {
	return func(l *line) bool {
		return l.ci.Status == status && (presence == "" || fieldOf(l, "presence") == presence)
	}
}

// fleet are the reports about which machines there are.
func fleet() []Definition {
	return []Definition{
		{
			Name: "places", For: []User{Operator, Principal}, Filter: "status != disposed",
			Columns: []Column{
				site(), class(), countMachines(), countIf("live", is("presence", cmdb.Live)),
				countIf("silent", is("presence", cmdb.Silent)), countIf("never-seen", is("presence", cmdb.NeverSeen)),
			},
			lines: eachMachine,
		},
		{
			Name: "stock", For: []User{Principal, Auditor},
			Columns: []Column{
				class(), countMachines(), countIf("in-operation", standing(cmdb.InProduction, cmdb.Live)),
				countIf("not-in-use", func(l *line) bool { return l.ci.Status == cmdb.InProduction && fieldOf(l, "presence") != cmdb.Live }),
				countIf("under-repair", standing(cmdb.UnderRepair, "")),
				countIf("in-store", func(l *line) bool {
					return l.ci.Status == cmdb.OnOrder || l.ci.Status == cmdb.Received || l.ci.Status == cmdb.UnderTest
				}),
				countIf("disposed", standing(cmdb.Disposed, "")),
			},
			lines: eachMachine,
		},
		{
			Name: "growth", For: []User{Principal}, Filter: "status != disposed",
			Params:  []Param{{Name: "months", Kind: AsChoice, Default: "12", Allowed: []string{"3", "6", "12", "24", "36", "60"}}},
			Columns: []Column{made("month", Day), class(), countMachines()},
			Order:   []string{"month", "class"}, lines: eachMonth,
		},
		{
			Name: "silent", For: []User{Operator, Technician}, Now: true,
			Params:  []Param{{Name: "days", Kind: AsNumber, Default: "14"}},
			Filter:  "presence != never-seen and seen > {days}d and status != disposed",
			Columns: []Column{name(), class(), site(), field("status"), field("seen"), model(), field("owner")},
			Order:   []string{"seen"}, lines: eachMachine,
		},
		{
			Name: "never-seen", For: []User{Auditor, Operator}, Now: true, Filter: "presence = never-seen and status != disposed",
			Columns: []Column{name(), class(), site(), field("status"), field("created"), field("owner"), field("barcode")},
			Order:   []string{"created"}, lines: eachMachine,
		},
		{
			Name: "same-model", For: []User{Technician, Operator},
			Params: []Param{{Name: "model", Kind: AsText}}, Filter: "model = {model}",
			Columns: []Column{
				name(), class(), site(), field("status"), field("presence"), model(), facts("firmware", Version, "hw/bios/version"),
				facts("memory", Size, "hw/memory/total"), facts("kernel", Version, "os/kernel"), serial(),
			},
			Order: []string{"status", "presence", "name"}, lines: eachMachine,
		},
	}
}

// model is the product name, or else that of the board.
func model() Column { return facts("model", Text, "hw/system/product", "hw/board/product") }

// serial is the number on the machine's label, as far as it tells.
func serial() Column {
	return facts("serial", Text, "id/serial/product", "id/serial/chassis", "id/serial/*")
}
