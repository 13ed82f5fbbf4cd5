package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"
)

// style is how a piece of text looks on a terminal (ECMA-48, SGR parameters).
type style string

// The styles in use.
const (
	plain  style = ""
	bold   style = "1"
	faint  style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	cyan   style = "36"
)

// screen is where text goes. Everything that is written passes inert, whoever
// wrote it; only the screen itself makes escape codes, and raw passes bytes on
// when the operator has asked for exactly them.
type screen struct {
	w      io.Writer
	tty    bool
	colour bool
	width  int   // columns of the terminal; 0: no terminal, nothing is cut
	failed error // the first error of w
}

// textWidth is to what paragraphs are wrapped where there is no terminal.
const textWidth = 80

func newScreen(w io.Writer) *screen { return &screen{w: w} }

// dress looks what f can show. NO_COLOR is the convention of no-color.org.
func (s *screen) dress(f *os.File, getenv func(string) string) {
	s.tty = term.IsTerminal(int(f.Fd()))
	if !s.tty {
		return
	}
	s.colour = getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
	s.width = textWidth
	if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
		s.width = w
	}
	if n, err := strconv.Atoi(getenv("COLUMNS")); err == nil && n > 0 {
		s.width = n
	}
}

// wrap returns the width of paragraphs and of tables that fill the line.
func (s *screen) wrap() int {
	if s.width == 0 {
		return textWidth
	}
	return max(40, min(s.width, 100))
}

// Write writes text of others (the help of cobra), made inert.
func (s *screen) Write(p []byte) (int, error) {
	s.text(plain, string(p))
	return len(p), s.failed
}

// text writes one piece in a style.
func (s *screen) text(st style, text string) {
	text = inert(text)
	if s.colour && st != plain && text != "" {
		text = "\x1b[" + string(st) + "m" + text + "\x1b[0m"
	}
	s.raw([]byte(text))
}

// raw writes bytes as they are.
func (s *screen) raw(b []byte) {
	if s.failed != nil {
		return
	}
	if _, err := s.w.Write(b); err != nil {
		s.failed = fmt.Errorf("write: %w", err)
	}
}

// line writes one line. Strings and errors among the arguments stay on it,
// whatever they hold.
func (s *screen) line(format string, args ...any) { s.styled(plain, format, args...) }

// styled is line in a style.
func (s *screen) styled(st style, format string, args ...any) {
	s.text(st, sprintf(format, args...))
	s.text(plain, "\n")
}

// sprintf is fmt.Sprintf whose arguments cannot leave the line.
func sprintf(format string, args ...any) string {
	for i, a := range args {
		switch a := a.(type) {
		case string:
			args[i] = inertLine(a)
		case error:
			args[i] = inertLine(a.Error())
		case fmt.Stringer:
			args[i] = inertLine(a.String())
		}
	}
	return fmt.Sprintf(format, args...)
}

// paragraph writes text wrapped, each line behind indent, the first behind
// first.
func (s *screen) paragraph(st style, first, indent, text string) {
	for i, l := range wrapText(inertLine(text), s.wrap()-displayWidth(indent)) {
		if i == 0 {
			s.text(plain, first)
		} else {
			s.text(plain, indent)
		}
		s.text(st, l)
		s.text(plain, "\n")
	}
}

// wrapText breaks a text into lines of at most width columns, at spaces where
// there are any.
func wrapText(text string, width int) []string {
	width = max(width, 10)
	var lines []string
	line, used := "", 0
	for word := range strings.FieldsSeq(text) {
		n := displayWidth(word)
		if used > 0 && used+1+n > width {
			lines, line, used = append(lines, line), "", 0
		}
		for n > width { // a word longer than a line
			head := cutWidth(word, width)
			lines, word = append(lines, head), word[len(head):]
			n = displayWidth(word)
		}
		if used > 0 {
			line, used = line+" ", used+1
		}
		line, used = line+word, used+n
	}
	if used > 0 || len(lines) == 0 {
		lines = append(lines, line)
	}
	return lines
}
