package collect

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
)

func sessions() Collector { return Collector{Name: "sessions", Collect: collectSessions} }

// maxSessions bounds the sessions that are counted.
const maxSessions = 2000

// collectSessions measures how many people are logged in, and how, from what
// systemd-logind keeps. Who they are is not told, nor kept: most are pupils.
func collectSessions(_ context.Context, h Host, s *Sink) error {
	if !h.Live {
		return fs.ErrNotExist
	}
	const dir = "run/systemd/sessions"
	names, err := h.Names(dir)
	if err != nil {
		return err
	}
	count := map[string]int{"graphical": 0, "text": 0, "remote": 0}
	for _, name := range names[:min(len(names), maxSessions)] {
		b, err := h.ReadFile(dir+"/"+name, maxLine)
		switch {
		case errors.Is(err, fs.ErrPermission):
			s.Denied(dir + "/" + name)
			continue
		case err != nil:
			continue // ended meanwhile, or the pipe that holds it open
		}
		v := parseAssignments(string(b))
		switch {
		case v["CLASS"] != "user" || v["STATE"] == "closing":
		case v["REMOTE"] == "1":
			count["remote"]++
		case v["TYPE"] == "x11" || v["TYPE"] == "wayland" || v["TYPE"] == "mir":
			count["graphical"]++
		default:
			count["text"]++
		}
	}
	for kind, n := range count {
		s.Measure(Path("sessions", kind), strconv.Itoa(n))
	}
	return nil
}
