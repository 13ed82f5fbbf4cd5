package collect

import (
	"context"
	"strings"
	"time"
)

func battery() Collector {
	// Some firmware takes its time to answer, and asks the battery each time.
	return Collector{Name: "battery", Owns: []string{"hw/battery/"}, Timeout: 2 * time.Second, Collect: collectBatteries}
}

// collectBatteries reads the machine's own batteries, not those of its mouse.
// Capacities are µWh or µAh as "unit" says.
func collectBatteries(ctx context.Context, h Host, s *Sink) error {
	const top = "sys/class/power_supply"
	names, err := h.Names(top)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		dir := top + "/" + name + "/"
		if h.Line(s, dir+"type") != "Battery" || h.Line(s, dir+"scope") == "Device" || h.Line(s, dir+"present") == "0" {
			continue
		}
		put := func(what, value string) { s.Fact(Path("hw", "battery", name, what), value) }
		put("vendor", real(h.Line(s, dir+"manufacturer")))
		put("model", real(h.Line(s, dir+"model_name")))
		put("serial", strings.TrimSpace(real(h.Line(s, dir+"serial_number"))))
		put("technology", real(h.Line(s, dir+"technology")))
		put("cycles", h.Line(s, dir+"cycle_count"))
		for _, u := range []struct{ prefix, unit string }{{"energy", "uWh"}, {"charge", "uAh"}} {
			design := h.Line(s, dir+u.prefix+"_full_design")
			if design == "" {
				continue
			}
			put("unit", u.unit)
			put("design", design)
			put("full", h.Line(s, dir+u.prefix+"_full"))
			break
		}
	}
	return nil
}
