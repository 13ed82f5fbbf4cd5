package collect

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

const (
	maxAptFile = 1 << 20 // bytes of one configuration file
	maxAptWord = 4096    // bytes of one word in it
)

// aptConf is apt's configuration (apt.conf(5)): lower-case names, joined by
// "::", and the last value of each.
type aptConf map[string]string

// readAptConf reads apt.conf.d in order and then apt.conf, as apt does.
func readAptConf(h Host, s *Sink) (aptConf, error) {
	conf := aptConf{}
	names, err := aptFiles(h, "etc/apt/apt.conf.d", "", ".conf")
	if err != nil {
		return nil, err
	}
	err = readEach(h, s, append(names, "etc/apt/apt.conf"), func(_ string, b []byte) error {
		conf.parse(string(b))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return conf, nil
}

// readEach gives fn the content of each of apt's files, in order. One that is
// not there is passed over, and so is one that may not be read, which is noted.
func readEach(h Host, s *Sink, names []string, fn func(name string, b []byte) error) error {
	for _, name := range names {
		b, err := h.ReadFile(name, maxAptFile)
		switch {
		case errors.Is(err, fs.ErrPermission):
			s.Denied(name)
			continue
		case Absent(err):
			continue
		case err != nil:
			return err
		}
		if err := fn(name, b); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
	}
	return nil
}

// aptFiles lists the files of a configuration folder that apt reads: of the
// given endings ("" for no ending) and with a name of letters, digits, "_", "-"
// and ".".
func aptFiles(h Host, dir string, endings ...string) ([]string, error) {
	names, err := h.Names(dir)
	if Absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var files []string
	for _, name := range names {
		ending := ""
		if i := strings.LastIndexByte(name, '.'); i >= 0 {
			ending = name[i:]
		}
		for _, e := range endings {
			if e == ending && name[0] != '.' && strings.IndexFunc(name, unusual) < 0 {
				files = append(files, dir+"/"+name)
			}
		}
	}
	return files, nil
}

func unusual(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-.", r))
}

// parse reads one file: statements "Name value;" and blocks "Name { … };", with
// names that may themselves be joined by "::". Lists ("Name:: value") and
// directives ("#clear") are passed over.
func (c aptConf) parse(text string) {
	var scope []string // the blocks around the present statement
	var words []string // of the present statement
	for l := (aptLexer{rest: text}); ; {
		word, quoted := l.next()
		switch {
		case word == "" && !quoted:
			return
		case quoted:
			words = append(words, word)
		case word == "{":
			scope = append(scope, strings.Join(words, " "))
			words = nil
		case word == "}":
			scope, words = scope[:max(0, len(scope)-1)], nil
		case word == ";":
			if len(words) == 2 && !strings.HasSuffix(words[0], "::") {
				name := strings.Join(append(scope[:len(scope):len(scope)], words[0]), "::")
				c[strings.ToLower(name)] = words[1]
			}
			words = nil
		default:
			words = append(words, word)
		}
	}
}

// aptLexer cuts apt.conf into words, quoted words, "{", "}" and ";".
type aptLexer struct{ rest string }

// next gives the next word; an empty one that was not quoted is the end.
func (l *aptLexer) next() (word string, quoted bool) {
	l.skip()
	if l.rest == "" {
		return "", false
	}
	if l.rest[0] == '"' {
		end := strings.IndexByte(l.rest[1:], '"')
		if end < 0 {
			l.rest = ""
			return "", false
		}
		word = l.rest[1 : 1+end]
		l.rest = l.rest[end+2:]
		return word[:min(len(word), maxAptWord)], true
	}
	end := 1
	if !strings.ContainsRune("{};", rune(l.rest[0])) {
		if end = strings.IndexAny(l.rest, " \t\r\n{};\""); end < 0 {
			end = len(l.rest)
		}
	}
	word, l.rest = l.rest[:end], l.rest[end:]
	return word[:min(len(word), maxAptWord)], false
}

// skip passes over blanks and the three kinds of comment.
func (l *aptLexer) skip() {
	for {
		l.rest = strings.TrimLeft(l.rest, " \t\r\n\v\f")
		switch {
		case strings.HasPrefix(l.rest, "//"), strings.HasPrefix(l.rest, "#"):
			_, l.rest, _ = strings.Cut(l.rest, "\n")
		case strings.HasPrefix(l.rest, "/*"):
			_, l.rest, _ = strings.Cut(l.rest, "*/")
		default:
			return
		}
	}
}
