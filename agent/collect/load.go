package collect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/shirou/gopsutil/v3/cpu"
	"github.com/shirou/gopsutil/v3/host"
	"github.com/shirou/gopsutil/v3/load"
	"github.com/shirou/gopsutil/v3/mem"
)

func loads() Collector { return Collector{Name: "load", Collect: collectLoad} }

// collectLoad measures how busy the running machine is. It is the one place for
// gopsutil, which reads the machine it runs on whatever the root is.
func collectLoad(ctx context.Context, h Host, s *Sink) error {
	if !h.Live {
		return fs.ErrNotExist
	}
	var failed []error
	if avg, err := load.AvgWithContext(ctx); err == nil {
		s.Measure("load", fmt.Sprintf("%.2f %.2f %.2f", avg.Load1, avg.Load5, avg.Load15))
	} else {
		failed = append(failed, err)
	}
	if up, err := host.UptimeWithContext(ctx); err == nil {
		s.Measure("uptime", strconv.FormatUint(up, 10)) // seconds
	} else {
		failed = append(failed, err)
	}
	if vm, err := mem.VirtualMemoryWithContext(ctx); err == nil {
		s.Measure("memory/available", strconv.FormatUint(vm.Available, 10))
		s.Measure("swap/free", strconv.FormatUint(vm.SwapFree, 10))
	} else {
		failed = append(failed, err)
	}
	if times, err := cpu.TimesWithContext(ctx, false); err == nil && len(times) > 0 {
		t := times[0] // seconds of all processors since the start
		s.Measure("cpu/busy", fmt.Sprintf("%.0f", t.User+t.System+t.Nice+t.Irq+t.Softirq+t.Steal))
		s.Measure("cpu/idle", fmt.Sprintf("%.0f", t.Idle+t.Iowait))
	} else {
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}
