package collect

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

func backups() Collector {
	return Collector{Name: "backup", Owns: []string{"backup/"}, Collect: collectBackups}
}

// backupRun is what is known of the last run of one backup.
type backupRun struct {
	at time.Time
	ok bool
}

// maxBackups bounds the backups that are told of; maxBackupLog is how much of the
// end of a log is read, in bytes.
const (
	maxBackups   = 200
	maxBackupLog = 1 << 20
)

// collectBackups tells of each backup whether its last run went well and how many
// days ago the last good one was, from the logs of the programs that Debian Edu
// uses and from stamps that any other may leave: a file NAME.stamp, whose time is
// that of the last good backup.
func collectBackups(_ context.Context, h Host, s *Sink) error {
	zone := localTime(h)
	found, client := false, map[string]bool{}
	for _, l := range []struct {
		tool  string
		logs  []string // the newest first
		parse func(text []byte, zone *time.Location, now time.Time) map[string][]backupRun
	}{
		{"slbackup", []string{"var/log/slbackup/slbackup.log", "var/log/slbackup/slbackup.log.1"}, parseSLBackup},
		{"rsnapshot", []string{"var/log/rsnapshot.log", "var/log/rsnapshot.log.1"}, parseRsnapshot},
		{"backupninja", []string{"var/log/backupninja.log", "var/log/backupninja.log.1"}, parseBackupninja},
	} {
		runs := map[string][]backupRun{}
		for i := len(l.logs) - 1; i >= 0; i-- {
			b, err := logEnd(h, l.logs[i])
			if errors.Is(err, fs.ErrPermission) {
				s.Denied(l.logs[i])
			} else if err != nil && !Absent(err) {
				return err
			}
			for name, more := range l.parse(b, zone, h.Now()) {
				runs[name] = append(runs[name], more...)
			}
		}
		for name, all := range runs {
			found, client[name] = true, client[name] || l.tool == "slbackup"
			backupFacts(h, s, l.tool, name, all)
		}
	}
	stamped, err := backupStamps(h, s)
	if err != nil {
		return err
	}
	return s.Found(found || stamped || slbackupClients(h, s, client))
}

// logEnd reads the end of a log.
func logEnd(h Host, name string) ([]byte, error) {
	f, err := h.FS.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if seeker, ok := f.(io.Seeker); ok && st.Size() > maxBackupLog {
		if _, err := seeker.Seek(-maxBackupLog, io.SeekEnd); err != nil {
			return nil, err
		}
	}
	return io.ReadAll(io.LimitReader(f, maxBackupLog))
}

func backupFacts(h Host, s *Sink, tool, name string, runs []backupRun) {
	last := runs[len(runs)-1]
	s.Fact(Path("backup", tool, name, "last"), map[bool]string{true: "ok", false: "failed"}[last.ok])
	for i := len(runs) - 1; i >= 0; i-- {
		if runs[i].ok {
			s.Fact(Path("backup", tool, name, "age"), strconv.Itoa(max(0, int(h.Now().Sub(runs[i].at).Hours()/24))))
			return
		}
	}
	s.Fact(Path("backup", tool, name, "age"), "never")
}

// backupStamps reads the times of stamps.
func backupStamps(h Host, s *Sink) (found bool, err error) {
	const dir = "var/lib/rollcall/backup.d"
	names, err := h.Entries(s, dir)
	for _, file := range names[:min(len(names), maxBackups)] {
		name, ok := strings.CutSuffix(file, ".stamp")
		st, err := fs.Stat(h.FS, dir+"/"+file)
		if !ok || err != nil {
			continue
		}
		found = true
		backupFacts(h, s, "stamp", name, []backupRun{{st.ModTime(), true}})
	}
	return found, err
}

// slbackupClients lists whom slbackup is to back up: blocks in the block <client>
// of slbackup.conf. Of one that no log knows it says that there never was a backup.
func slbackupClients(h Host, s *Sink, known map[string]bool) bool {
	found, depth := false, 0
	// What cannot be read is said by the /etc scanner; here it means not configured.
	_ = h.Lines("etc/slbackup/slbackup.conf", func(line string) bool {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "</"):
			depth--
		case strings.HasPrefix(line, "<") && strings.HasSuffix(line, ">"):
			if depth++; depth == 2 {
				found = true
				if name := line[1 : len(line)-1]; !known[name] {
					s.Fact(Path("backup", "slbackup", name, "last"), "never")
				}
			}
		}
		return true
	})
	return found
}

// parseSLBackup reads lines "Nov 28 02:30:01 - Successfully finished backing up
// client tjener", which tell no year.
func parseSLBackup(text []byte, zone *time.Location, now time.Time) map[string][]backupRun {
	runs := map[string][]backupRun{}
	for line := range bytes.Lines(text) {
		stamp, what, ok := strings.Cut(strings.TrimSpace(string(line)), " - ")
		at, err := time.ParseInLocation("Jan _2 15:04:05", stamp, zone)
		if !ok || err != nil {
			continue
		}
		client, good := strings.CutPrefix(what, "Successfully finished backing up client ")
		if !good {
			var failed bool
			if client, failed = strings.CutPrefix(what, "Failed backing up client "); !failed {
				if client, failed = strings.CutPrefix(what, "Backup of client "); failed {
					client, _, failed = strings.Cut(client, " failed")
				}
			}
			if !failed {
				continue
			}
		}
		client = strings.TrimSuffix(client, ".")
		if client != "" && (len(runs) < maxBackups || runs[client] != nil) {
			runs[client] = append(runs[client], backupRun{inYear(at, now), good})
		}
	}
	return runs
}

// inYear gives a time without a year the latest one that is not in the future.
func inYear(at, now time.Time) time.Time {
	at = at.AddDate(now.In(at.Location()).Year()-at.Year(), 0, 0)
	if at.After(now.Add(24 * time.Hour)) {
		at = at.AddDate(-1, 0, 0)
	}
	return at
}

// parseRsnapshot reads lines "[2026-11-28T02:00:01] /usr/bin/rsnapshot daily:
// completed successfully" (before 1.4: "[28/Nov/2026:02:00:01]"). Warnings are no
// failure.
func parseRsnapshot(text []byte, zone *time.Location, _ time.Time) map[string][]backupRun {
	runs := map[string][]backupRun{}
	for line := range bytes.Lines(text) {
		stamp, what, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(string(line)), "["), "] ")
		words := strings.Fields(what)
		if !ok || len(words) < 3 || !strings.HasSuffix(words[1], ":") {
			continue
		}
		at, err := time.ParseInLocation("2006-01-02T15:04:05", stamp, zone)
		if err != nil {
			if at, err = time.ParseInLocation("02/Jan/2006:15:04:05", stamp, zone); err != nil {
				continue
			}
		}
		level := strings.TrimSuffix(words[1], ":")
		rest := strings.Join(words[2:], " ")
		good, bad := strings.HasPrefix(rest, "completed"), strings.HasPrefix(rest, "ERROR")
		if (good || bad) && (len(runs) < maxBackups || runs[level] != nil) {
			runs[level] = append(runs[level], backupRun{at, good})
		}
	}
	return runs
}

// parseBackupninja reads lines "Nov 28 01:00:12 Info: FINISHED: 3 actions run. 0
// fatal. 0 error. 0 warning."
func parseBackupninja(text []byte, zone *time.Location, now time.Time) map[string][]backupRun {
	runs := map[string][]backupRun{}
	for line := range bytes.Lines(text) {
		stamp, counts, ok := strings.Cut(strings.TrimSpace(string(line)), " Info: FINISHED: ")
		at, err := time.ParseInLocation("Jan _2 15:04:05", stamp, zone)
		if !ok || err != nil {
			continue
		}
		good := strings.Contains(counts, " 0 fatal.") && strings.Contains(counts, " 0 error.")
		runs["all"] = append(runs["all"], backupRun{inYear(at, now), good})
	}
	return runs
}
