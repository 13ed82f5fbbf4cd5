package collect

import (
	"bytes"
	"net/url"
	"path"
	"regexp"
	"strings"
)

const maxSources = 1000 // entries of one file

// aptSource is one entry of sources.list(5).
type aptSource struct {
	File       string // "sources.list", "debian.sources"
	Number     int    // of the entry in the file, from 1
	Types      []string
	URIs       []string // without credentials
	Suites     []string // ending in "/" for an exact path
	Components []string
	Options    []string // "arch=amd64", "signed-by=/usr/…"
	archs      []string // restricted to these; none for all
}

// String is the fact's value: types, URIs, suites, components, [options].
func (a aptSource) String() string {
	words := append(append(append(append([]string{}, a.Types...), a.URIs...), a.Suites...), a.Components...)
	if len(a.Options) > 0 {
		words = append(words, "["+strings.Join(a.Options, " ")+"]")
	}
	return strings.Join(words, " ")
}

// readAptSources reads sources.list and sources.list.d in the order of apt.
// Entries that are switched off or malformed are left out.
func readAptSources(h Host, s *Sink) ([]aptSource, error) {
	names, err := aptFiles(h, "etc/apt/sources.list.d", ".list", ".sources")
	if err != nil {
		return nil, err
	}
	var all []aptSource
	err = readEach(h, s, append([]string{"etc/apt/sources.list"}, names...), func(name string, b []byte) (err error) {
		var found []aptSource
		if path.Ext(name) == ".sources" {
			found, err = parseSourcesDeb822(b)
		} else {
			found = parseSourcesList(string(b))
		}
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

// parseSourcesList reads the one-line style: "deb [options] uri suite
// component …".
func parseSourcesList(text string) []aptSource {
	var found []aptSource
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		kind, rest, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(line, "\t", " ")), " ")
		if kind != "deb" && kind != "deb-src" || len(found) == maxSources {
			continue
		}
		a := aptSource{Types: []string{kind}}
		rest = strings.TrimSpace(rest)
		if strings.HasPrefix(rest, "[") {
			options, after, ok := strings.Cut(rest[1:], "]")
			if !ok {
				continue
			}
			a.Options, rest = strings.Fields(options), after
			for _, o := range a.Options {
				if archs, ok := strings.CutPrefix(o, "arch="); ok {
					a.archs = strings.Split(archs, ",")
				}
			}
		}
		words := strings.Fields(rest)
		if len(words) < 2 || len(words) < 3 && !strings.HasSuffix(words[1], "/") {
			continue
		}
		a.URIs, a.Suites, a.Components = []string{bareURI(words[0])}, words[1:2], words[2:]
		found = append(found, a)
	}
	return found
}

// parseSourcesDeb822 reads the deb822 style of *.sources.
func parseSourcesDeb822(b []byte) ([]aptSource, error) {
	var found []aptSource
	b = comments.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), nil)
	b = blankLines.ReplaceAll(b, []byte("\n"))
	err := eachStanza("sources", bytes.NewReader(b), func(stanza []byte) error {
		var a aptSource
		enabled := true
		for name, value := range fields(stanza) {
			words := strings.Fields(string(value))
			switch {
			case is(name, "Types"):
				a.Types = words
			case is(name, "URIs"):
				for _, u := range words {
					a.URIs = append(a.URIs, bareURI(u))
				}
			case is(name, "Suites"):
				a.Suites = words
			case is(name, "Components"):
				a.Components = words
			case is(name, "Enabled"):
				enabled = len(words) == 0 || !off(words[0])
			case is(name, "Architectures"):
				a.archs = words
				a.Options = append(a.Options, "arch="+strings.Join(words, ","))
			case is(name, "Signed-By"):
				if len(words) == 1 { // else it is the key itself
					a.Options = append(a.Options, "signed-by="+words[0])
				}
			case is(name, "Trusted"), is(name, "Check-Valid-Until"):
				a.Options = append(a.Options, strings.ToLower(string(name))+"="+strings.Join(words, ","))
			}
		}
		if enabled && len(a.Types) > 0 && len(a.URIs) > 0 && len(a.Suites) > 0 && len(found) < maxSources {
			found = append(found, a)
		}
		return nil
	})
	return found, err
}

// In apt's own files a comment may stand between the lines of a field, and a
// line of blanks ends a stanza like an empty one.
var (
	comments   = regexp.MustCompile(`(?m)^#.*\n?`)
	blankLines = regexp.MustCompile(`(?m)^[ \t]+\n`)
)

// off knows apt's words for no.
func off(word string) bool {
	switch strings.ToLower(word) {
	case "no", "false", "without", "off", "disable", "0":
		return true
	}
	return false
}

// bareURI takes name and password out of a URI.
func bareURI(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		if scheme, rest, ok := strings.Cut(s, "://"); ok && strings.Contains(rest, "@") {
			return scheme + "://" + rest[strings.LastIndexByte(rest, '@')+1:]
		}
		return s
	}
	if u.User == nil {
		return s
	}
	u.User = nil
	return u.String()
}
