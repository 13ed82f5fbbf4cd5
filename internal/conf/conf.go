// Package conf reads Rollcall's configuration files and fills a struct from
// them. It promises that a typing error never passes in silence: an unknown
// key, a key given twice and a value of the wrong kind are errors that name
// file and line, and all problems of a file are reported together.
//
// The format is one setting a line:
//
//	# The school's own server.
//	server    = tjener.intern:7443
//	interval  = 30m
//	limit     = 64MiB
//	recipient = age1…
//	recipient = age1…
//
// A line whose first character other than a blank is "#" is a comment. Blanks
// around key and value do not count. A list is written by repeating its key; a
// list key with an empty value is an empty list. A value that begins or ends
// with a blank, or that holds " #", is written in double quotes with the
// escapes of a Go string. There are no sections, includes or variables.
//
// What a setting means and which values are sensible is left to the owner of
// the struct, in its Validate method.
package conf

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxFile     = 1 << 20  // bytes of a configuration file
	maxLine     = 16 << 10 // bytes of a line; a post-quantum age recipient has some 2,000
	maxProblems = 20       // problems reported of one file
)

// A Validator is a configuration that checks what single values cannot show:
// ranges, and settings that exclude or need each other. Its errors are made
// with [Bad], so that they point at a line.
type Validator interface {
	Validate() error
}

// Load is [Parse] for the file path. Anything but a regular file is refused,
// and an error wraps [io/fs.ErrNotExist] where the file does not exist.
func Load(path string, into any) error {
	f, err := openRegular(path)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	return Parse(path, f, into)
}

// Parse reads a configuration of at most 1 MiB and sets the fields of *into
// that it names. into points to a struct; a field takes part if it carries the
// tag `conf:"key"` and is a string, []string, bool, int, int64,
// [time.Duration] (as in "1h30m") or [Size]. A field that the text does not
// name keeps what it holds, which makes defaults; a list that is named
// replaces its default.
//
// If *into is a [Validator], it is asked once every line is good: asked
// earlier, it would complain about values that only a bad line left out.
//
// The error joins one error a problem, in the order of the lines, each
// beginning with "name:line: ". After an error *into is as it was.
func Parse(name string, r io.Reader, into any) error {
	fields, target, err := fieldsOf(into)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return fmt.Errorf("read configuration %s: %w", name, err)
	}
	if len(text) > maxFile {
		return fmt.Errorf("%s: larger than %s; this is no configuration file", name, Size(maxFile))
	}
	p := parser{name: name, fields: fields, seen: make(map[string]int)}
	p.lines(text)
	if len(p.problems) > 0 {
		return errors.Join(p.problems...)
	}
	if v, ok := target.Addr().Interface().(Validator); ok {
		if err := v.Validate(); err != nil {
			return p.locate(err)
		}
	}
	reflect.ValueOf(into).Elem().Set(target)
	return nil
}

type parser struct {
	name     string
	fields   map[string]reflect.Value
	seen     map[string]int // key → line of its first appearance
	problems []error
}

func (p *parser) lines(text []byte) {
	s := bufio.NewScanner(bytes.NewReader(text))
	s.Buffer(nil, maxLine)
	n := 0
	for s.Scan() {
		n++
		err := p.line(n, s.Text())
		if err == nil {
			continue
		}
		if len(p.problems) == maxProblems {
			p.problems = append(p.problems, fmt.Errorf("%s: more problems follow; these are the first %d", p.name, maxProblems))
			return
		}
		p.problems = append(p.problems, fmt.Errorf("%s:%d: %w", p.name, n, err))
	}
	if s.Err() != nil { // bytes.Reader does not fail: only the bound is left
		p.problems = append(p.problems, fmt.Errorf("%s:%d: line longer than %s", p.name, n+1, Size(maxLine)))
	}
}

func (p *parser) line(n int, line string) error {
	if !utf8.ValidString(line) {
		return errors.New("not UTF-8 text")
	}
	if strings.ContainsFunc(line, func(r rune) bool { return r != '\t' && unicode.IsControl(r) }) {
		return errors.New("holds a control character")
	}
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return nil
	}
	key, value, ok := strings.Cut(line, "=")
	if !ok {
		return fmt.Errorf("no %q in %s; write key = value", "=", quote(line))
	}
	key = strings.TrimSpace(key)
	field, ok := p.fields[key]
	if !ok {
		return p.unknown(key)
	}
	first, again := p.seen[key]
	if again && field.Kind() != reflect.Slice {
		return fmt.Errorf("key %q was set before, in line %d; keep one of the two", key, first)
	}
	if !again {
		p.seen[key] = n
		if field.Kind() == reflect.Slice {
			field.SetZero() // the text replaces the default and does not add to it
		}
	}
	value, err := unquote(strings.TrimSpace(value))
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	if err := set(field, value); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

func (p *parser) unknown(key string) error {
	if key == "" {
		return fmt.Errorf("no key before %q", "=")
	}
	if like := nearest(key, p.fields); like != "" {
		return fmt.Errorf("unknown key %s; did you mean %q?", quote(key), like)
	}
	return fmt.Errorf("unknown key %s", quote(key))
}

// unquote returns what a value stands for. A comment behind a value is an
// error and no part of the value: whoever wrote "site = elm # moved" would
// else have made a site of that name.
func unquote(value string) (string, error) {
	if strings.HasPrefix(value, `"`) {
		s, err := strconv.Unquote(value)
		if err != nil {
			return "", fmt.Errorf("bad quotes in %s", quote(value))
		}
		return s, nil
	}
	if strings.Contains(value, " #") || strings.Contains(value, "\t#") {
		return "", fmt.Errorf("%s holds a comment; a comment needs a line of its own, and a value with \" #\" double quotes", quote(value))
	}
	return value, nil
}

// quote shows text of the file in an error: escaped and shortened.
func quote(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strconv.Quote(s)
}
