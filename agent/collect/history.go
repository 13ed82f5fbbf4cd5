package collect

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"
)

// maxLog bounds how much of a log is read in one run, in bytes. What is left is
// read by the next.
const maxLog = 4 << 20

func packageHistory() Collector {
	return Collector{Name: "history", Collect: collectHistory}
}

// collectHistory tells what was installed, upgraded and removed, when and by
// whom, since the run before: from dpkg's log each package, from apt's each
// command. A log that is seen for the first time gives nothing.
func collectHistory(ctx context.Context, h Host, s *Sink) error {
	zone := localTime(h)
	logs := []struct {
		name  string
		parse func(text []byte, zone *time.Location, s *Sink) (rest int)
	}{{"var/log/dpkg.log", parseDpkgLog}, {"var/log/apt/history.log", parseAptHistory}}
	found := 0
	for _, l := range logs {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := tail(h, l.name, func(text []byte) int { return l.parse(text, zone, s) })
		switch {
		case err == nil:
			found++
		case errors.Is(err, fs.ErrPermission):
			s.Denied(l.name)
			found++
		case !Absent(err):
			return err
		}
	}
	if found == 0 {
		return fs.ErrNotExist
	}
	return nil
}

// localTime gives the machine's time zone, which its logs are written in.
func localTime(h Host) *time.Location {
	b, err := h.ReadFile("etc/localtime", 64<<10)
	if err != nil {
		return time.UTC
	}
	zone, err := time.LoadLocationFromTZData("local", b)
	if err != nil {
		return time.UTC
	}
	return zone
}

// tail passes on what was added to a log since the run before. If the log was
// rotated in between, the end of the old one comes first. parse tells how many
// bytes at the end it leaves for the next time, because they are not complete.
func tail(h Host, name string, parse func(text []byte) (rest int)) error {
	st, err := fs.Stat(h.FS, name)
	if err != nil {
		return err
	}
	now := LogPosition{Inode: inode(st), Offset: st.Size()}
	at, known := h.Cache.log(name)
	if !known {
		h.Cache.setLog(name, now)
		return nil
	}
	if at.Inode != now.Inode || at.Offset > now.Offset {
		if old, err := fs.Stat(h.FS, name+".1"); err == nil && inode(old) == at.Inode && at.Inode != 0 {
			if err := tailFrom(h, name+".1", &at, old.Size(), parse); err != nil {
				return err
			}
			if at.Offset < old.Size() && old.Size()-at.Offset > maxLog {
				h.Cache.setLog(name, at)
				return nil
			}
		}
		at = LogPosition{Inode: now.Inode}
	}
	if err := tailFrom(h, name, &at, now.Offset, parse); err != nil {
		return err
	}
	h.Cache.setLog(name, at)
	return nil
}

func tailFrom(h Host, name string, at *LogPosition, end int64, parse func(text []byte) (rest int)) error {
	if at.Offset >= end {
		return nil
	}
	f, err := h.FS.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if seeker, ok := f.(io.Seeker); ok {
		_, err = seeker.Seek(at.Offset, io.SeekStart)
	} else {
		_, err = io.CopyN(io.Discard, f, at.Offset)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	text, err := io.ReadAll(io.LimitReader(f, min(maxLog, end-at.Offset)))
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	rest := parse(text)
	if rest >= maxLog { // one endless line
		rest = 0
	}
	at.Offset += int64(len(text) - rest)
	return nil
}

const logTime = "2006-01-02 15:04:05"

// parseDpkgLog reads lines "date time action package:arch old new" of dpkg.log
// (dpkg(1), --log). Steps in between ("status …", "configure …") are no news.
func parseDpkgLog(text []byte, zone *time.Location, s *Sink) (rest int) {
	end := bytes.LastIndexByte(text, '\n') + 1
	for line := range bytes.Lines(text[:end]) {
		f := strings.Fields(string(line))
		if len(f) < 6 {
			continue
		}
		at, err := time.ParseInLocation(logTime, f[0]+" "+f[1], zone)
		if err != nil {
			continue
		}
		switch f[2] {
		case "install", "upgrade", "remove", "purge":
			s.Event(at, "dpkg", strings.Join(f[2:6], " "))
		}
	}
	return len(text) - end
}

// parseAptHistory reads the stanzas of apt's history.log. One without an
// End-Date is not complete yet.
func parseAptHistory(text []byte, zone *time.Location, s *Sink) (rest int) {
	end := 0
	for stanza := range bytes.SplitAfterSeq(text, []byte("\n\n")) {
		end += len(stanza)
		if !bytes.Contains(stanza, []byte("\nEnd-Date:")) || !bytes.HasSuffix(stanza, []byte("\n")) {
			if end == len(text) && len(bytes.TrimSpace(stanza)) > 0 {
				return len(stanza)
			}
			continue
		}
		aptCommand(stanza, zone, s)
	}
	return 0
}

func aptCommand(stanza []byte, zone *time.Location, s *Sink) {
	var at time.Time
	var command, by string
	var done []string
	sc := bufio.NewScanner(bytes.NewReader(stanza))
	sc.Buffer(nil, maxLog)
	for sc.Scan() {
		name, value, _ := strings.Cut(sc.Text(), ": ")
		switch name {
		case "Start-Date":
			t, err := time.ParseInLocation(logTime, strings.Join(strings.Fields(value), " "), zone)
			if err != nil {
				return
			}
			at = t
		case "Commandline":
			command = value
		case "Requested-By":
			by = value
		case "Install", "Reinstall", "Upgrade", "Downgrade", "Remove", "Purge":
			done = append(done, fmt.Sprintf("%s %d", strings.ToLower(name), strings.Count(value, "(")))
		case "Error":
			done = append(done, "error "+value)
		}
	}
	if at.IsZero() {
		return
	}
	text := strings.Join(done, ", ")
	if by != "" {
		text += " by " + by
	}
	if command != "" {
		text += ": " + command
	}
	s.Event(at, "apt", text)
}
