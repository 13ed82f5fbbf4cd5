package collect

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
)

func smart() Collector {
	return Collector{Name: "smart", Owns: []string{"hw/smart/"}, Collect: collectSMART}
}

// collectSMART tells how drives judge themselves, from the two programs that ask
// them anyway: smartd's files, and on the running machine udisks. No drive is
// asked here. smartctl would have to be started, which the agent cannot do, and
// both ioctls that it uses (NVME_IOCTL_ADMIN_CMD, SG_IO with an ATA command) need
// CAP_SYS_ADMIN or CAP_SYS_RAWIO, with which a drive can be erased.
func collectSMART(ctx context.Context, h Host, s *Sink) error {
	const dir = "var/lib/smartmontools"
	names, err := h.Entries(s, dir)
	if err != nil {
		return err
	}
	found := false
	for _, name := range names {
		drive, ok := smartdDrive(name)
		if !ok {
			continue
		}
		b, err := h.Content(s, dir+"/"+name, 64<<10)
		if err != nil {
			return err
		}
		found = true
		parseSmartd(string(b)).facts(s, drive)
	}
	var asked error
	if h.Live {
		var drives []smartDrive
		drives, asked = udisksDrives(ctx)
		for _, d := range drives {
			found = true
			d.facts(s)
		}
	}
	return errors.Join(asked, s.Found(found))
}

// smartdDrive gives MODEL-SERIAL of "smartd.MODEL-SERIAL.ata.state".
func smartdDrive(name string) (string, bool) {
	drive, ok := strings.CutPrefix(name, "smartd.")
	drive, ok2 := strings.CutSuffix(drive, ".state")
	if !ok || !ok2 {
		return "", false
	}
	for _, kind := range []string{".ata", ".scsi", ".nvme"} {
		if short, ok := strings.CutSuffix(drive, kind); ok {
			return short, true
		}
	}
	return "", false
}

// smartState is what smartd keeps of a drive from one look to the next.
type smartState struct {
	warned  []string          // of what it has warned
	counts  map[string]uint64 // "self-test-errors", "ata-error-count", "nvme-err-log-entries"
	attr    map[int]uint64    // raw values by the attribute's id
	percent map[int]uint64    // normalised values: 100 is new, 0 is used up
}

// smartdWarnings are the reasons of smartd's mails by their number in its files
// (smartd.cpp, SendMail); the first is a test mail.
var smartdWarnings = map[string]string{
	"1": "health", "2": "usage", "3": "self-test", "4": "errors", "5": "no health", "6": "no attributes", "7": "no error log",
	"8": "no self-test log", "9": "does not open", "10": "pending sectors", "11": "uncorrectable sectors", "12": "temperature",
}

// parseSmartd reads smartd's file of a drive (smartd(8), --savestates): lines
// "key = number", attributes as ata-smart-attribute.N.{id,val,worst,raw}, warnings
// as mail.N.{count,first-sent-time,last-sent-time}.
func parseSmartd(text string) smartState {
	st := smartState{counts: map[string]uint64{}, attr: map[int]uint64{}, percent: map[int]uint64{}}
	id := 0
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), " = ")
		n, isNumber := number(value)
		if !ok || !isNumber {
			continue
		}
		part := strings.Split(key, ".")
		switch {
		case len(part) == 1:
			st.counts[key] = n
		case part[0] == "mail" && len(part) == 3 && part[2] == "count" && n > 0:
			if w := smartdWarnings[part[1]]; w != "" && !slices.Contains(st.warned, w) {
				st.warned = append(st.warned, w)
			}
		case part[0] != "ata-smart-attribute" || len(part) != 3:
		case part[2] == "id" && n < 256: // comes first
			id = int(n)
		case part[2] == "val":
			st.percent[id] = n
		case part[2] == "raw":
			st.attr[id] = n & 0xffff_ffff // makers pack more into the upper bytes
		}
	}
	slices.Sort(st.warned)
	return st
}

func (st smartState) facts(s *Sink, drive string) {
	put := func(what string, n uint64) {
		s.Fact(Path("hw", "smart", drive, what), strconv.FormatUint(n, 10))
	}
	verdict := "no warning"
	if len(st.warned) > 0 {
		verdict = "warned: " + strings.Join(st.warned, ", ")
	}
	s.Fact(Path("hw", "smart", drive, "smartd"), verdict)
	for _, a := range []struct {
		id   int
		name string
	}{{5, "reallocated"}, {197, "pending"}, {198, "uncorrectable"}} {
		if n, known := st.attr[a.id]; known {
			put(a.name, n)
		}
	}
	for _, c := range []struct{ key, name string }{{"ata-error-count", "errors"}, {"nvme-err-log-entries", "log-entries"}} {
		if n, known := st.counts[c.key]; known {
			s.Measure(Path("smart", drive, c.name), strconv.FormatUint(n, 10))
		}
	}
	put("selftest-errors", st.counts["self-test-errors"])
	for _, id := range []int{177, 202, 231, 233} { // what makers of SSDs use for it
		if n, known := st.percent[id]; known && n <= 100 {
			put("left", n)
			break
		}
	}
	if hours, known := st.attr[9]; known {
		s.Measure(Path("smart", drive, "hours"), strconv.FormatUint(hours, 10))
	}
	if degrees, known := st.attr[194]; known {
		s.Measure(Path("smart", drive, "temperature"), strconv.FormatUint(degrees&0xff, 10))
	}
}

// smartDrive is what udisks knows of a drive.
type smartDrive struct {
	model, serial string
	failing       bool
	reasons       []string // of NVMe's critical warnings
	bad           int64    // sectors, -1 when unknown
	selftest      string
	hours         uint64
}

func (d smartDrive) facts(s *Sink) {
	// As smartd names its files: everything but letters and digits is "_".
	name := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, d.model) + "-" + d.serial
	verdict := "passed"
	if d.failing || len(d.reasons) > 0 {
		verdict = "failing"
		if len(d.reasons) > 0 {
			verdict += ": " + strings.Join(d.reasons, ", ")
		}
	}
	s.Fact(Path("hw", "smart", name, "verdict"), verdict)
	if d.bad >= 0 {
		s.Fact(Path("hw", "smart", name, "bad-sectors"), strconv.FormatInt(d.bad, 10))
	}
	if d.selftest != "inprogress" {
		s.Fact(Path("hw", "smart", name, "selftest"), d.selftest)
	}
	s.Measure(Path("smart", name, "hours"), strconv.FormatUint(d.hours, 10))
}
