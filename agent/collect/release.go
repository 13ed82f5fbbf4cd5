package collect

import (
	"context"
	"strings"
)

func operatingSystem() Collector {
	return Collector{Name: "os", Owns: []string{"os/id", "os/version", "os/codename", "os/debian"}, Collect: collectOS}
}

// collectOS reads os-release(5) and Debian's own version file.
func collectOS(_ context.Context, h Host, s *Sink) error {
	values, err := readOSRelease(h)
	if err != nil {
		return err
	}
	s.Fact("os/id", values["ID"])
	s.Fact("os/version", values["VERSION_ID"])
	s.Fact("os/codename", values["VERSION_CODENAME"])
	s.Fact("os/debian", h.Line(s, "etc/debian_version"))
	return nil
}

func readOSRelease(h Host) (map[string]string, error) {
	b, err := h.ReadFile("etc/os-release", 64<<10)
	if Absent(err) {
		b, err = h.ReadFile("usr/lib/os-release", 64<<10)
	}
	if err != nil {
		return nil, err
	}
	return parseAssignments(string(b)), nil
}

// parseAssignments reads lines NAME=value with the quotes and backslashes of a
// shell, as os-release(5) allows them; nothing is expanded.
func parseAssignments(text string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(name, "#") || name == "" {
			continue
		}
		values[name] = unquote(value)
	}
	return values
}

func unquote(s string) string {
	if len(s) >= 2 && s[0] == '\'' && s[len(s)-1] == '\'' {
		return s[1 : len(s)-1]
	}
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && strings.IndexByte("\"\\`$'", s[i+1]) >= 0 {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
