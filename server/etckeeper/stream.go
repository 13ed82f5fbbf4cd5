// Package etckeeper reads the history that etckeeper kept of a machine's /etc, as
// git fast-export writes it, and tells for each commit what the machine's agent would
// have said of /etc: files with mode and owner, folders, links.
//
// The history is foreign and may be hostile: everything is bounded. It holds secrets,
// for etckeeper keeps shadow and private keys in the clear; nothing that is secret by
// its name or by what it holds comes out of this package but a keyed fingerprint.
// Where the facts go is left to others.
package etckeeper

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/fact"
)

// ErrStream is wrapped by every error about a history that cannot be read.
var ErrStream = errors.New("not a history that can be read")

// Bounds of a history.
const (
	maxLine    = 64 << 10
	maxCommits = 200_000
	maxBlobs   = 2_000_000
	maxMessage = 1 << 20
	maxBlob    = 16 << 20  // bytes of a file that is kept; of a larger one the digest
	maxHeld    = 256 << 20 // bytes of files between two commits
)

// stream reads the format of git-fast-import(1), as far as git-fast-export(1) writes
// it for one line of history.
type stream struct {
	r    *bufio.Reader
	line int
	text string // the present line, without its end
	done bool
}

// change is what a commit does to one path.
type change struct {
	path string // raw bytes; empty: everything is gone
	mode string // of git; empty: the path is gone
	mark string // of the blob, or the id of a submodule
	to   string // the path is renamed or copied there
	copy bool
}

// commit is one of the history.
type commit struct {
	at      time.Time
	subject string
	mark    string
	from    string
	changes []change
}

// blob is a file's content, or only its digest if it is large.
type blob struct {
	mark    string
	size    int64
	digest  fact.Digest
	content []byte // nil: larger than maxBlob
}

func (s *stream) bad(what string) error {
	return fmt.Errorf("line %d of the export, %.60q: %w: %s", s.line, s.text, ErrStream, what)
}

// next reads a line; done is set after the last one.
func (s *stream) next() error {
	s.line++
	b, err := s.r.ReadSlice('\n')
	switch {
	case errors.Is(err, io.EOF) && len(b) == 0:
		s.done, s.text = true, ""
		return nil
	case errors.Is(err, bufio.ErrBufferFull):
		s.text = string(b[:60])
		return s.bad("the line is too long")
	case err != nil && !errors.Is(err, io.EOF):
		return fmt.Errorf("read the export: %w", err)
	}
	s.text = strings.TrimSuffix(string(b), "\n")
	return nil
}

// data reads what "data N" announces; what is more than keep is only hashed.
func (s *stream) data(keep int64) (content []byte, size int64, digest fact.Digest, err error) {
	count, ok := strings.CutPrefix(s.text, "data ")
	size, err = strconv.ParseInt(count, 10, 62)
	if !ok || err != nil || size < 0 {
		return nil, 0, digest, s.bad("want data and a number of bytes")
	}
	sum := sha256.New()
	var b bytes.Buffer
	w := io.Writer(sum)
	if size <= keep {
		w = io.MultiWriter(sum, &b)
	}
	if n, err := io.CopyN(w, s.r, size); err != nil {
		return nil, 0, digest, fmt.Errorf("line %d of the export: %w: it ends after %d of %d bytes", s.line, ErrStream, n, size)
	}
	s.line += bytes.Count(b.Bytes(), []byte("\n"))
	if size <= keep {
		content = b.Bytes()
		if content == nil {
			content = []byte{}
		}
	}
	return content, size, fact.Digest(sum.Sum(nil)), s.next()
}

// read calls blobs and commits for what the history holds, oldest first.
func read(r io.Reader, blobs func(blob) error, commits func(commit) error) error {
	s := &stream{r: bufio.NewReaderSize(r, maxLine)}
	err := s.next()
	for nb, nc := 0, 0; err == nil && !s.done; {
		word, _, _ := strings.Cut(s.text, " ")
		switch word {
		case "blob":
			if nb++; nb > maxBlobs {
				return s.bad("too many files")
			}
			err = s.blob(blobs)
		case "commit":
			if nc++; nc > maxCommits {
				return s.bad("too many commits")
			}
			err = s.commit(commits)
		case "tag":
			err = s.tag()
		case "reset", "from", "progress", "feature", "option", "original-oid", "", "done":
			err = s.next()
		default:
			return s.bad("want blob, commit, reset or tag; make it with: git fast-export HEAD")
		}
	}
	return err
}

func (s *stream) blob(fn func(blob) error) (err error) {
	var b blob
	for err = s.next(); err == nil; err = s.next() {
		if mark, ok := strings.CutPrefix(s.text, "mark "); ok {
			b.mark = mark
		} else if !strings.HasPrefix(s.text, "original-oid ") {
			break
		}
	}
	if err == nil {
		b.content, b.size, b.digest, err = s.data(maxBlob)
	}
	if err != nil {
		return err
	}
	return fn(b)
}

// tag passes over an annotated tag.
func (s *stream) tag() error {
	for {
		if err := s.next(); err != nil || s.done {
			return err
		}
		if strings.HasPrefix(s.text, "data ") {
			_, _, _, err := s.data(maxMessage)
			return err
		}
	}
}

func (s *stream) commit(fn func(commit) error) (err error) {
	var c commit
	for err = s.next(); err == nil && !strings.HasPrefix(s.text, "data "); err = s.next() {
		word, rest, _ := strings.Cut(s.text, " ")
		switch word {
		case "mark":
			c.mark = rest
		case "committer":
			if c.at, err = when(rest); err != nil {
				return s.bad("no time of a commit")
			}
		case "author", "encoding", "original-oid":
		case "gpgsig":
			return s.bad("signed commits are not read: export with --signed-commits=strip")
		default:
			return s.bad("want a commit's author, committer and data")
		}
		if s.done {
			return s.bad("it ends within a commit")
		}
	}
	if err != nil {
		return err
	}
	message, _, _, err := s.data(maxMessage)
	if err == nil && s.text == "" && !s.done {
		err = s.next() // the line feed that may follow data
	}
	if err != nil {
		return err
	}
	subject, _, _ := strings.Cut(strings.TrimSpace(string(message)), "\n")
	c.subject = fact.Cut(fact.Value(subject), 200)
	for ; err == nil && !s.done && s.text != ""; err = s.next() {
		more, cerr := s.change(&c)
		if cerr != nil {
			return cerr
		}
		if !more {
			break
		}
	}
	if err != nil {
		return err
	}
	return fn(c)
}

// change reads a line of a commit's changes; more is false if it is none.
func (s *stream) change(c *commit) (more bool, err error) {
	word, rest, _ := strings.Cut(s.text, " ")
	switch word {
	case "from":
		c.from = rest
		return true, nil
	case "merge":
		return true, nil // what the first parent has otherwise is in the changes
	case "deleteall":
		c.changes = append(c.changes, change{})
		return true, nil
	case "M":
		words := strings.SplitN(rest, " ", 3)
		if len(words) != 3 || words[1] == "inline" {
			return false, s.bad("want a mode, a mark and a path")
		}
		ch := change{mode: words[0], mark: words[1]}
		ch.path, _, err = unquote(words[2])
		c.changes = append(c.changes, ch)
	case "D":
		var ch change
		ch.path, _, err = unquote(rest)
		c.changes = append(c.changes, ch)
	case "R", "C":
		ch := change{copy: word == "C"}
		var left string
		if ch.path, left, err = unquoteFirst(rest); err == nil {
			ch.to, _, err = unquote(left)
		}
		c.changes = append(c.changes, ch)
	default:
		return false, nil
	}
	if err == nil && c.changes[len(c.changes)-1].path == "" {
		err = errors.New("an empty path")
	}
	if err != nil {
		return false, s.bad(err.Error())
	}
	return true, nil
}

// when reads the end of a line of a committer: "… <address> SECONDS ±HHMM".
func when(line string) (time.Time, error) {
	_, rest, ok := strings.Cut(line, "> ")
	seconds, _, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseInt(seconds, 10, 64)
	if !ok || err != nil || n < 0 || n > 1<<33 {
		return time.Time{}, ErrStream
	}
	return time.Unix(n, 0).UTC(), nil
}

// unquote reads a path to the end of a line: as it is, or in double quotes as C
// writes it (git-fast-import(1), "path").
func unquote(s string) (path, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		return s, "", nil
	}
	path, rest, err = unquoteFirst(s)
	if err == nil && rest != "" {
		err = errors.New("something follows a path")
	}
	return path, rest, err
}

// unquoteFirst reads a path that ends with a space unless it is quoted.
func unquoteFirst(s string) (path, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		path, rest, _ = strings.Cut(s, " ")
		return path, rest, nil
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			if path, err = strconv.Unquote(s[:i+1]); err != nil {
				return "", "", errors.New("a path that is not quoted as it should be")
			}
			return path, strings.TrimPrefix(s[i+1:], " "), nil
		}
	}
	return "", "", errors.New("a quote that does not end")
}
