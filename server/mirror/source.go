package mirror

import (
	"context"
	"iter"

	"rollcall/internal/fact"
)

// Source gives the mirror what it shows. Everything but Pristine follows from
// digests and numbers; all of it must be the same whenever it is asked for, or
// a rebuilt mirror has other commit ids.
type Source interface {
	// Revision returns one recorded revision.
	Revision(ctx context.Context, ci string, n uint64) (Rev, error)
	// Revisions yields all revisions in the order of their stamps. After an error
	// it stops.
	Revisions(ctx context.Context) iter.Seq2[Rev, error]
	// Set returns a fact set.
	Set(ctx context.Context, d fact.Digest) (Facts, error)
	// Content returns the content of a file below /etc, or its ciphertext.
	Content(ctx context.Context, d fact.Digest) ([]byte, error)
	// Pristine returns a package's default by the MD5 that dpkg records, if a
	// machine whose site is in the repository had it before the stamp at; what
	// became known later must not count.
	Pristine(ctx context.Context, repo, md5 string, at int64) (content []byte, ok bool, err error)
}

// Rev is one recorded revision as the mirror sees it. Zero sections, names and
// places are absent ones.
type Rev struct {
	CI     string
	N      uint64
	Stamp  int64 // nanoseconds since 1970, unlike any other revision's
	Name   string
	Class  string
	Site   string
	By     string // "agent KEYID" or "operator NAME"
	Reason string
	Report string // hash of the envelope in hexadecimal
	Claim  bool   // the CI's keys are of trust class T0, all or none: nothing of it may be restored
	Into   string // id of the CI that it was found to be, which is in its place from here on; empty: it is its own
	Left   string // id of the CI that it was found not to be, and was split from by this revision

	// Repo is the path of the repository and Folder the name of the machine's
	// folder in it, after the revision and before. An empty Repo means that the
	// CI has no place in the mirror.
	Repo, Folder         string
	PrevRepo, PrevFolder string

	State, Prev fact.State // sections after and before
	Fields      []Field    // declared values that changed, by name
	Events      []string   // what the machine's own logs told along with it
}

// Field is a declared value that a revision changed; empty means absent.
type Field struct{ Name, Old, New string }

// first tells whether nothing was observed of the CI before.
func (r Rev) first() bool { return len(r.Prev) == 0 && len(r.State) > 0 }

// stays tells whether the machine's folder was in the same repository before.
func (r Rev) stays() bool { return r.PrevRepo == r.Repo && r.PrevFolder != "" }
