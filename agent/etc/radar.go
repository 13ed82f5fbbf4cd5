package etc

import (
	"maps"
	"slices"
	"strings"

	"rollcall/internal/fact"
	"rollcall/internal/seal"
)

// radarSection is the section of the facts by which machines that share a secret
// are found: "secret/KIND/etc/PATH = FINGERPRINT…".
const radarSection = "secret"

// radarRule names the radar key among the rules of the cache.
func (s *Scanner) radarRule() string {
	if len(s.RadarKey) == 0 {
		return ""
	}
	return " radar=" + seal.Fingerprint(s.RadarKey, []byte("rollcall: cache of /etc"))
}

func radarPath(kind, path string) string { return radarSection + "/" + kind + "/" + path }

// radarText finds the secrets of a file that the radar looks for: a line for each
// kind, which holds the kind and the fingerprints.
func (s *Scanner) radarText(rel string, plain []byte) string {
	if len(s.RadarKey) == 0 || len(plain) == 0 {
		return ""
	}
	found := seal.Radar(s.RadarKey, rel, plain)
	var b strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(found)) {
		if len(radarPath(kind, "etc/"+fact.Escape(rel))) > fact.MaxPath {
			continue
		}
		b.WriteString(kind + " " + strings.Join(found[kind], " ") + "\n")
	}
	return b.String()
}

// radarFacts makes the facts of an entry.
func radarFacts(e *entry) []fact.Fact {
	var out []fact.Fact
	for line := range strings.Lines(e.radar) {
		kind, marks, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		name := radarPath(kind, e.path)
		if ok && slices.Contains(seal.SharedKinds(), kind) && len(name) <= fact.MaxPath && len(marks) <= fact.MaxValue {
			out = append(out, fact.Fact{Path: name, Value: marks})
		}
	}
	return out
}
