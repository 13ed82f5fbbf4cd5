package collect

import (
	"context"
	"strings"
)

func pci() Collector {
	return Collector{Name: "pci", Owns: []string{"hw/pci/", "hw/pcidriver/"}, Collect: collectPCI}
}

// collectPCI lists PCI functions by their address, with ids only: names are the
// server's to look up, once for all machines.
func collectPCI(ctx context.Context, h Host, s *Sink) error {
	const dir = "sys/bus/pci/devices"
	names, err := h.Names(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		base := dir + "/" + name + "/"
		id := func(file string) string { return strings.TrimPrefix(h.Line(s, base+file), "0x") }
		vendor, device := id("vendor"), id("device")
		if vendor == "" || device == "" {
			continue
		}
		value := vendor + ":" + device
		if class := id("class"); len(class) == 6 { // base class, subclass, interface
			value += " class=" + class[:4]
		}
		if sub := id("subsystem_vendor"); sub != "" && sub != "0000" {
			value += " sub=" + sub + ":" + id("subsystem_device")
		}
		if rev := id("revision"); rev != "" {
			value += " rev=" + rev
		}
		s.Fact(Path("hw", "pci", name), value)
		s.Fact(Path("hw", "pcidriver", name), h.Link(base+"driver"))
	}
	return nil
}
