package collect

import (
	"context"
	"errors"
	"io/fs"
	"strings"
)

func edu() Collector {
	return Collector{Name: "edu", Owns: []string{"id/edu/", "id/site/"}, Collect: collectEdu}
}

// collectEdu reads the role that Debian Edu's installer was given, and where the
// machine stands: as noted for sitesummary, and before that for Rollcall itself.
func collectEdu(_ context.Context, h Host, s *Sink) error {
	config := eduConfig(h, s)
	s.Fact("id/edu/profile", config["PROFILE"])
	s.Fact("id/edu/version", config["VERSION"])
	for _, name := range []string{"site", "sitegroup", "hostclass"} {
		s.Fact(Path("id", "site", name), setLine(h, s, "etc/sitesummary/"+name))
	}
	s.Fact("id/site/site", setLine(h, s, "etc/rollcall/site")) // the later one wins
	return nil
}

// eduConfig reads /etc/debian-edu/config, lines of shell assignments.
func eduConfig(h Host, s *Sink) map[string]string {
	values := map[string]string{}
	err := h.Lines("etc/debian-edu/config", func(line string) bool {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(key, "#") && len(values) < 100 {
			values[key] = strings.Trim(value, `"'`)
		}
		return true
	})
	if errors.Is(err, fs.ErrPermission) {
		s.Denied("etc/debian-edu/config")
	}
	return values
}

// setLine gives the last line of a file that says something, without a comment, as
// sitesummary reads it.
func setLine(h Host, s *Sink, name string) string {
	var value string
	err := h.Lines(name, func(line string) bool {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			value = line
		}
		return true
	})
	if errors.Is(err, fs.ErrPermission) {
		s.Denied(name)
	}
	return value
}
