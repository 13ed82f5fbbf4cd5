package collect

import (
	"context"
	"strconv"
	"strings"
	"time"
)

func sensors() Collector {
	// Some sensors sit behind slow buses.
	return Collector{Name: "sensors", Owns: []string{"hw/alarm/"}, Timeout: 2 * time.Second, Collect: collectSensors}
}

// maxSensors bounds the values that are measured.
const maxSensors = 256

// collectSensors measures what hwmon shows: temperatures in whole degrees Celsius,
// fans in turns a minute. That a chip gives an alarm for one of them is a fact.
// Voltages are left alone, since inputs that are not connected give alarms all the
// time, and so are drives: asking for their temperature can wake them.
func collectSensors(ctx context.Context, h Host, s *Sink) error {
	const top = "sys/class/hwmon"
	chips, err := h.Names(top)
	if err != nil {
		return err
	}
	measured := 0
	for _, chip := range chips {
		c := sensorChip{h: h, s: s, dir: top + "/" + chip + "/"}
		c.name = h.Line(s, c.dir+"name")
		files, err := h.Names(top + "/" + chip)
		if err != nil || c.name == "" || c.name == "drivetemp" {
			continue
		}
		for _, file := range files {
			if err := ctx.Err(); err != nil {
				return err
			}
			if !strings.HasPrefix(file, "temp") && !strings.HasPrefix(file, "fan") {
				continue
			}
			c.alarm(file)
			if measured < maxSensors && c.measure(chip, file) {
				measured++
			}
		}
	}
	return nil
}

// sensorChip is one folder of hwmon (kernel.org, sysfs-interface).
type sensorChip struct {
	h         Host
	s         *Sink
	dir, name string
}

// label gives what the board's maker calls the sensor "temp1", else that.
func (c sensorChip) label(sensor string) string {
	if label := c.h.Line(c.s, c.dir+sensor+"_label"); label != "" {
		return label
	}
	return sensor
}

func (c sensorChip) measure(chip, file string) bool {
	sensor, ok := strings.CutSuffix(file, "_input")
	if !ok {
		return false
	}
	value, err := c.h.ReadLine(c.dir + file)
	if err != nil {
		return false // a sensor that sleeps
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		return false
	}
	kind := "fan"
	if strings.HasPrefix(sensor, "temp") {
		kind, n = "temp", (n+500)/1000
	}
	c.s.Measure(Path(kind, chip+" "+c.name, c.label(sensor)), strconv.Itoa(n))
	return true
}

// alarm tells of a sensor beyond its limits, or that failed. Chips are counted
// anew at each start, so that their number is no part of the name.
func (c sensorChip) alarm(file string) {
	sensor, what, ok := strings.Cut(file, "_")
	if !ok || what != "alarm" && what != "crit_alarm" && what != "max_alarm" && what != "emergency_alarm" && what != "fault" {
		return
	}
	if on, err := c.h.ReadLine(c.dir + file); err == nil && on == "1" {
		c.s.Fact(Path("hw", "alarm", c.name, c.label(sensor)), what)
	}
}
