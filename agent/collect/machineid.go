package collect

import (
	"context"
	"fmt"
	"strings"

	"rollcall/internal/fact"
)

func machineID() Collector {
	return Collector{Name: "machine-id", Owns: []string{"id/machine-id"}, Collect: collectMachineID}
}

// collectMachineID reads machine-id(5): 32 hexadecimal digits. Images carry an
// empty one or "uninitialized" until their first boot.
func collectMachineID(_ context.Context, h Host, s *Sink) error {
	id, err := h.ReadLine("etc/machine-id")
	if err != nil {
		return err
	}
	id = strings.ToLower(id)
	if id == "" || id == "uninitialized" {
		return nil
	}
	if !hexadecimal(id) || len(id) != 32 {
		return fmt.Errorf("read etc/machine-id: %.40q is not 32 hexadecimal digits", id)
	}
	s.Fact("id/machine-id", id)
	switch {
	case strings.HasSuffix(id, strings.Repeat("0", 20)):
		// LTSP makes it from the MAC address at each boot: it says no more than
		// the MAC, and changes with the network card.
		s.Fact("id/machine-id/weak", "ltsp")
	case fact.Placeholder(id):
		s.Fact("id/machine-id/weak", "placeholder")
	}
	return nil
}

func hexadecimal(s string) bool {
	return s != "" && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}
