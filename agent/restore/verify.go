package restore

import (
	"context"
	"crypto/sha256"
	"os"

	"rollcall/internal/fact"
)

// Finding is what Verify says about one path of the source.
type Finding struct {
	Path  string
	State FindingState
	What  string // how it differs, or why it was not restored
}

// FindingState sums a finding up.
type FindingState string

// The states of findings.
const (
	Identical   FindingState = "identical"    // content, mode, owner, links and attributes
	Merged      FindingState = "merged"       // as the plan said, not as in the source
	Different   FindingState = "different"    // not as it should be
	NotRestored FindingState = "not restored" // and the plan said why
)

// Verify looks at the tree again and tells for every entry of the plan that the
// source has whether it is now identical to the source.
func Verify(ctx context.Context, p Plan, root *os.Root) ([]Finding, error) {
	have, err := scan(ctx, root)
	if err != nil {
		return nil, err
	}
	names, err := readAccounts(root)
	if err != nil {
		return nil, err
	}
	var out []Finding
	for _, e := range p.Entries {
		if e.Want.Kind == "" {
			continue // only here
		}
		now, here := have[e.Path]
		f := Finding{Path: e.Path, State: Identical}
		if !here {
			f.State, f.What = Different, "is not here"
		} else if what := differs(root, names, e, now); what != "" {
			f.State, f.What = Different, what
		}
		switch {
		case f.State == Different && !e.acts() && e.Action != Same:
			f.State, f.What = NotRestored, e.Reason
		case f.State == Different && e.Action == Conflict:
			f.State, f.What = NotRestored, e.Reason
		case f.State == Identical && e.Action == Merge:
			f.State, f.What = Merged, e.Reason
		case f.State == Identical && e.OwnerMissing != "":
			f.State, f.What = Different, e.OwnerMissing+" missing here: went to root"
		}
		out = append(out, f)
	}
	return out, nil
}

// differs says in words what is not as it should be.
func differs(root *os.Root, names accounts, e Entry, now fact.File) string {
	switch {
	case e.Want.Kind == fact.KindDir || e.Want.Kind == fact.KindLink || e.Want.Kind == fact.KindOther:
		if now.Kind != e.Want.Kind || now.Target != e.Want.Target {
			return "is a " + kindWord(now.Kind) + " or leads elsewhere"
		}
	case now.Kind == fact.KindDir || now.Kind == fact.KindLink || now.Kind == fact.KindOther:
		return "is a " + kindWord(now.Kind)
	case e.Want.Kind == fact.KindPlain && !e.hasContent || e.Want.Kind == fact.KindTooBig:
		b, err := readFile(root, fileName(e.Path), maxFile)
		if digest := fact.Digest(sha256.Sum256(b)); digest != e.Want.Digest && now.Digest != e.Want.Digest || err != nil && e.Want.Kind == fact.KindPlain {
			return "has another content"
		}
	case e.hasContent && e.Action != Conflict && e.Action != Newer && e.Action != Own:
		if b, err := readFile(root, fileName(e.Path), maxFile); err != nil || string(b) != string(e.content) {
			return "has another content"
		}
	case e.Action != Same && !e.hasContent && e.Want.Kind != fact.KindPlain:
		// Sealed without identity, or withheld: nobody can tell. A sealed file
		// whose content was found equal has the action Same or Change.
		if e.Action != Change {
			return "cannot be compared"
		}
	case e.hasContent:
		return "stays as it is"
	}
	for _, what := range names.attributeDiff(e.Want, now) {
		return what
	}
	return ""
}
