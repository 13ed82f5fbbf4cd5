package mirror

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The author of every commit. Changing it changes all commit ids of a rebuild.
const author = "rollcall <rollcall@localhost>"

// Trailers of a commit's message, which tell what it stands for.
const (
	trailerCI       = "CI: "
	trailerRevision = "Revision: "
	trailerStamp    = "Stamp: "
	trailerReport   = "Report: "
)

// commit is what the mirror needs to know of one of its commits.
type commit struct {
	tree, parent Hash // parent is zero for the first
	message      string
	ci           string
	n            uint64
	stamp        int64 // nanoseconds
}

// encodeCommit gives a commit's bytes: same content, same id, for ever.
func encodeCommit(c commit) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "tree %s\n", c.tree)
	if !c.parent.IsZero() {
		fmt.Fprintf(&b, "parent %s\n", c.parent)
	}
	when := max(0, c.stamp) / 1e9
	fmt.Fprintf(&b, "author %s %d +0000\ncommitter %s %d +0000\n\n%s", author, when, author, when, c.message)
	return b.Bytes()
}

var errCommit = errors.New("not a commit of the mirror")

// parseCommit reads what encodeCommit wrote, and returns an error for a commit
// that somebody else made.
func parseCommit(raw []byte) (commit, error) {
	head, message, ok := strings.Cut(string(raw), "\n\n")
	if !ok {
		return commit{}, errCommit
	}
	c := commit{message: message}
	for line := range strings.SplitSeq(head, "\n") {
		if id, ok := strings.CutPrefix(line, "tree "); ok {
			c.tree = newHash(id)
		}
		if id, ok := strings.CutPrefix(line, "parent "); ok {
			if !c.parent.IsZero() {
				return commit{}, fmt.Errorf("%w: it has several parents", errCommit)
			}
			c.parent = newHash(id)
		}
	}
	if c.tree.IsZero() || !c.readTrailers() {
		return commit{}, errCommit
	}
	return c, nil
}

// readTrailers reads the last paragraph. Nothing else in a message can pass for
// it: no line that comes from outside is ever empty.
func (c *commit) readTrailers() bool {
	last := c.message[strings.LastIndex(c.message, "\n\n")+1:]
	found := 0
	for line := range strings.SplitSeq(last, "\n") {
		var err error
		if v, ok := strings.CutPrefix(line, trailerCI); ok {
			c.ci = v
			found |= 1
		} else if v, ok := strings.CutPrefix(line, trailerRevision); ok {
			c.n, err = strconv.ParseUint(v, 10, 64)
			found |= 2
		} else if v, ok := strings.CutPrefix(line, trailerStamp); ok {
			c.stamp, err = strconv.ParseInt(v, 10, 64)
			found |= 4
		}
		if err != nil {
			return false
		}
	}
	return found == 7
}
