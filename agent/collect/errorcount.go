package collect

import (
	"context"
	"io/fs"
	"strings"
)

func memoryErrors() Collector {
	return Collector{Name: "memory-errors", Collect: collectMemoryErrors}
}

// collectMemoryErrors measures how many errors the memory's own check has met
// since the start, corrected (ce) and not (ue), where the board can tell
// (kernel.org, EDAC).
func collectMemoryErrors(_ context.Context, h Host, s *Sink) error {
	const top = "sys/devices/system/edac/mc"
	names, err := h.Names(top)
	if err != nil {
		return err
	}
	found := false
	for _, name := range names {
		if !strings.HasPrefix(name, "mc") {
			continue
		}
		found = true
		for _, count := range []string{"ce_count", "ue_count"} {
			s.Measure(Path("edac", name, count), h.Line(s, top+"/"+name+"/"+count))
		}
	}
	if !found {
		return fs.ErrNotExist
	}
	return nil
}
