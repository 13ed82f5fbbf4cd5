package collect

import (
	"context"
	"strconv"
	"strings"
	"time"
)

func temperatures() Collector {
	// Some sensors sit behind slow buses.
	return Collector{Name: "temperature", Timeout: 2 * time.Second, Collect: collectTemperatures}
}

// maxSensors bounds the temperatures that are measured.
const maxSensors = 256

// collectTemperatures measures what hwmon shows, in whole degrees Celsius.
// Temperatures of drives are left alone: asking for them can wake the drive.
func collectTemperatures(ctx context.Context, h Host, s *Sink) error {
	const top = "sys/class/hwmon"
	chips, err := h.Names(top)
	if err != nil {
		return err
	}
	sensors := 0
	for _, chip := range chips {
		dir := top + "/" + chip + "/"
		name := h.Line(s, dir+"name")
		files, err := h.Names(top + "/" + chip)
		if err != nil || name == "" || name == "drivetemp" {
			continue
		}
		for _, file := range files {
			if err := ctx.Err(); err != nil {
				return err
			}
			sensor, ok := strings.CutSuffix(file, "_input")
			if !ok || !strings.HasPrefix(file, "temp") || sensors == maxSensors {
				continue
			}
			milli, err := h.ReadLine(dir + file)
			if err != nil {
				continue // a sensor that sleeps
			}
			n, err := strconv.Atoi(milli)
			if err != nil {
				continue
			}
			sensors++
			if label := h.Line(s, dir+sensor+"_label"); label != "" {
				sensor = label
			}
			s.Measure(Path("temp", chip+" "+name, sensor), strconv.Itoa((n+500)/1000))
		}
	}
	return nil
}
