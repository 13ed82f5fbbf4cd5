package collect

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// pin is one record of apt_preferences(5).
type pin struct {
	File     string
	Number   int    // in the file, from 1
	Package  string // names, patterns or "*", separated by blanks
	Kind     string // "release", "version", "origin"
	Match    string // what follows the kind
	Priority int
}

func (p pin) String() string {
	return fmt.Sprintf("%s; %s %s; %d", p.Package, p.Kind, p.Match, p.Priority)
}

// readPins reads preferences and preferences.d in the order of apt: of several
// that fit, the first counts.
func readPins(h Host, s *Sink) ([]pin, error) {
	names, err := aptFiles(h, "etc/apt/preferences.d", "", ".pref")
	if err != nil {
		return nil, err
	}
	var all []pin
	err = readEach(h, s, append([]string{"etc/apt/preferences"}, names...), func(name string, b []byte) error {
		found, err := parsePins(b)
		for i := range found {
			found[i].File, found[i].Number = path.Base(name), i+1
		}
		all = append(all, found...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

func parsePins(b []byte) ([]pin, error) {
	var found []pin
	b = comments.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), nil)
	b = blankLines.ReplaceAll(b, []byte("\n"))
	err := eachStanza("preferences", bytes.NewReader(b), func(stanza []byte) error {
		var p pin
		for name, value := range fields(stanza) {
			text := strings.Join(strings.Fields(string(value)), " ")
			switch {
			case is(name, "Package"):
				p.Package = text
			case is(name, "Pin"):
				p.Kind, p.Match, _ = strings.Cut(text, " ")
			case is(name, "Pin-Priority"):
				if text == "never" {
					text = "-32768"
				}
				n, err := strconv.ParseInt(text, 10, 16)
				if err != nil {
					return nil // apt would refuse the file; we keep what we understand
				}
				p.Priority = int(n)
			}
		}
		switch p.Kind {
		case "release", "version", "origin":
			if p.Package != "" && p.Priority != 0 && len(found) < maxSources {
				found = append(found, p)
			}
		}
		return nil
	})
	return found, err
}

// general tells whether the pin is for all packages and so for whole files.
func (p pin) general() bool { return p.Package == "*" }

// packages compiles which packages a specific pin is for. Source packages
// ("src:NAME") are compared with the source's name.
func (p pin) packages() func(name, source string) bool {
	var tests []func(name, source string) bool
	for word := range strings.FieldsSeq(p.Package) {
		fromSource := strings.HasPrefix(word, "src:")
		word = strings.TrimPrefix(word, "src:")
		word, _, _ = strings.Cut(word, ":") // an architecture
		match := textPattern(word)
		tests = append(tests, func(name, source string) bool {
			if fromSource {
				name = source
			}
			return match(name)
		})
	}
	return func(name, source string) bool {
		for _, t := range tests {
			if t(name, source) {
				return true
			}
		}
		return false
	}
}

// textPattern compiles a pattern of apt_preferences(5): /regexp/, a glob of
// fnmatch(3), or the text itself.
func textPattern(s string) func(string) bool {
	if len(s) > 2 && s[0] == '/' && s[len(s)-1] == '/' {
		re, err := regexp.Compile(s[1 : len(s)-1])
		if err != nil {
			return func(string) bool { return false }
		}
		return re.MatchString
	}
	if strings.ContainsAny(s, "*?[") {
		return func(text string) bool {
			ok, err := path.Match(s, strings.ReplaceAll(text, "/", "\x00")) // fnmatch's "*" matches a slash
			return ok && err == nil
		}
	}
	return func(text string) bool { return text == s }
}

// version compiles a test of "Pin: version".
func (p pin) version() func(version string) bool { return textPattern(p.Match) }

// file compiles a test of "Pin: release" and "Pin: origin".
func (p pin) file() func(f *aptRelease) bool {
	if p.Kind == "origin" {
		host := textPattern(strings.Trim(p.Match, `"`))
		return func(f *aptRelease) bool { return host(f.Site) }
	}
	var tests []func(f *aptRelease) bool
	for part := range strings.SplitSeq(p.Match, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok { // a bare word is a version if it begins with a digit, else a suite
			key, value = "a", part
			if value != "" && value[0] >= '0' && value[0] <= '9' {
				key = "v"
			}
		}
		match := textPattern(strings.Trim(strings.TrimSpace(value), `"`))
		tests = append(tests, func(f *aptRelease) bool { return matchRelease(f, key, match) })
	}
	return func(f *aptRelease) bool {
		for _, t := range tests {
			if !t(f) {
				return false
			}
		}
		return len(tests) > 0
	}
}

func matchRelease(f *aptRelease, key string, match func(string) bool) bool {
	switch strings.ToLower(key) {
	case "a":
		return match(f.Suite)
	case "n":
		return match(f.Codename)
	case "l":
		return match(f.Label)
	case "o":
		return match(f.Origin)
	case "v":
		return match(f.Version)
	case "c":
		return match(f.component)
	case "b":
		return match(f.arch)
	}
	return false
}
