package collect

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"
)

func crontabs() Collector {
	return Collector{Name: "crontabs", Owns: []string{"cron/"}, Collect: collectCrontabs}
}

// collectCrontabs counts the jobs in the crontabs of local users (crontab(5)).
// What they run is not told, and of users whom only a name service knows, who may
// be pupils, not even the name. Jobs below /etc are files there, and timers are
// units.
func collectCrontabs(ctx context.Context, h Host, s *Sink) error {
	const dir = "var/spool/cron/crontabs"
	names, err := h.Names(dir)
	if err != nil {
		return err
	}
	local := map[string]bool{}
	err = h.Lines("etc/passwd", func(line string) bool {
		name, _, _ := strings.Cut(line, ":")
		local[name] = true
		return len(local) < maxAccounts
	})
	if err != nil && !Absent(err) {
		return err
	}
	others := 0
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !local[name] {
			others++
			continue
		}
		jobs := 0
		err := h.Lines(dir+"/"+name, func(line string) bool {
			if isJob(strings.TrimSpace(line)) {
				jobs++
			}
			return true
		})
		switch {
		case errors.Is(err, fs.ErrPermission):
			s.Denied(dir + "/" + name)
		case err == nil:
			s.Fact(Path("cron", name), strconv.Itoa(jobs)+" jobs")
		case !Absent(err):
			return err
		}
	}
	if others > 0 {
		s.Measure("crontabs of others", strconv.Itoa(others))
	}
	return nil
}

// isJob tells a job from a comment or a setting, whose "=" comes before any blank
// that is not around it.
func isJob(line string) bool {
	if line == "" || line[0] == '#' {
		return false
	}
	name, _, assigned := strings.Cut(line, "=")
	return !assigned || strings.ContainsAny(strings.TrimSpace(name), " \t")
}
