package etckeeper

import (
	"io/fs"
	"path"
	"strconv"
	"strings"

	"rollcall/internal/fact"
)

// metadata is what etckeeper keeps of modes and owners beside git, in the file
// .etckeeper: a shell script that its pre-commit.d/30store-metadata writes, of lines
//
//	mkdir -p './cups/empty'
//	maybe chown 'lp' 'cups/ppd'
//	maybe chgrp 'lpadmin' 'cups/cupsd.conf'
//	maybe chmod 0640 'shadow'
//
// It is read as data and never run. What is not there is root's, with the mode that
// git has. Lines of another kind are passed over.
type metadata struct {
	owner, group map[string]string
	mode         map[string]fs.FileMode
	folders      map[string]bool // that are empty
}

// maxMetadata bounds what is read of the file, in lines.
const maxMetadata = 200_000

func readMetadata(b []byte) metadata {
	m := metadata{owner: map[string]string{}, group: map[string]string{}, mode: map[string]fs.FileMode{}, folders: map[string]bool{}}
	n := 0
	for line := range strings.SplitSeq(string(b), "\n") {
		if n++; n > maxMetadata {
			break
		}
		words := shellWords(line)
		if len(words) == 4 && words[0] == "maybe" {
			name := path.Clean(words[3])
			switch words[1] {
			case "chown":
				m.owner[name] = cutName(words[2])
			case "chgrp":
				m.group[name] = cutName(words[2])
			case "chmod":
				if bits, err := strconv.ParseUint(words[2], 8, 12); err == nil {
					m.mode[name] = fact.FileMode(uint32(bits))
				}
			}
		}
		if len(words) == 3 && words[0] == "mkdir" && words[1] == "-p" {
			m.folders[path.Clean(words[2])] = true
		}
	}
	return m
}

// cutName bounds the name of an account.
func cutName(s string) string { return fact.Cut(s, 64) }

// shellWords splits a line as a shell does, as far as etckeeper writes it: words, of
// which parts may stand in single or double quotes.
func shellWords(line string) (words []string) {
	var b strings.Builder
	inWord, quote := false, byte(0)
	for i := range len(line) {
		c := line[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			b.WriteByte(c)
		case c == '\'' || c == '"':
			quote, inWord = c, true
		case c == ' ' || c == '\t':
			if inWord {
				words = append(words, b.String())
				b.Reset()
			}
			inWord = false
		case c == '#' && !inWord:
			return words
		default:
			b.WriteByte(c)
			inWord = true
		}
	}
	if inWord && quote == 0 {
		words = append(words, b.String())
	}
	return words
}
