package restore

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"rollcall/internal/identity"
)

// Show says how much of a plan is printed.
type Show struct {
	Diffs bool // unified diffs of texts
	Same  bool // also what is the same and what is only here
}

// WriteText prints the plan for people: what needs attention first. All text in
// it is inert.
func (p Plan) WriteText(w io.Writer, show Show) error {
	b := bufio.NewWriter(w)
	s := p.Snapshot
	fmt.Fprintf(b, "/etc of %s", s.Name)
	if s.Revision > 0 {
		fmt.Fprintf(b, ", revision %d", s.Revision)
	}
	if !s.At.IsZero() {
		fmt.Fprintf(b, ", recorded %s", s.At.UTC().Format(time.RFC3339))
	}
	fmt.Fprintln(b)
	if s.Signer != nil {
		fmt.Fprintf(b, "signed by the key %s\n", identity.Words(s.Signer))
	} else {
		fmt.Fprintln(b, "NOT SIGNED by the machine: only the source vouches for it")
	}
	for _, action := range Actions() {
		if (action == Same || action == Kept) && !show.Same {
			continue
		}
		for _, e := range p.Entries {
			if e.Action == action {
				e.write(b, show)
			}
		}
	}
	fmt.Fprintf(b, "\n%s\n", p.Summary())
	if err := b.Flush(); err != nil {
		return fmt.Errorf("print plan: %w", err)
	}
	return nil
}

func (e Entry) write(b *bufio.Writer, show Show) {
	fmt.Fprintf(b, "%-13s /%s", e.Action, e.Path)
	if e.Reason != "" {
		fmt.Fprintf(b, "  (%s)", inertLine(e.Reason))
	}
	if e.OwnerMissing != "" && e.acts() {
		fmt.Fprintf(b, "  [owner missing here: %s; goes to root]", e.OwnerMissing)
	}
	fmt.Fprintln(b)
	if show.Diffs && e.Diff != "" {
		for line := range strings.Lines(e.Diff) {
			fmt.Fprintf(b, "    %s", line)
		}
	}
}

// Summary counts the actions in one line.
func (p Plan) Summary() string {
	var parts []string
	missing := 0
	for _, a := range Actions() {
		if n := p.Count(a); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, a))
		}
	}
	for _, e := range p.Entries {
		if e.OwnerMissing != "" && e.acts() {
			missing++
		}
	}
	if missing > 0 {
		parts = append(parts, fmt.Sprintf("%d with an owner missing here", missing))
	}
	if len(parts) == 0 {
		return "nothing to do"
	}
	return strings.Join(parts, ", ")
}
