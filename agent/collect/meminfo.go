package collect

import (
	"context"
	"strconv"
	"strings"
)

func memory() Collector {
	return Collector{Name: "memory", Owns: []string{"hw/memory/total"}, Collect: collectMemory}
}

// collectMemory reads what the kernel has of the memory, in bytes. It is less
// than the modules hold and moves a little with each kernel, so it is bucketed.
func collectMemory(_ context.Context, h Host, s *Sink) error {
	return h.Lines("proc/meminfo", func(line string) bool {
		value, ok := strings.CutPrefix(line, "MemTotal:")
		if !ok {
			return true
		}
		kib, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 52)
		if err == nil {
			s.Fact("hw/memory/total", strconv.FormatUint(kib<<10, 10))
		}
		return false
	})
}
