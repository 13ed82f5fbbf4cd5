package cmdb

import (
	"fmt"
	"slices"
	"strings"
)

// Scope says which CIs a caller may know of. It is a required argument of At and
// In, so that no read or write of CIs can forget it; the zero value sees nothing.
//
// A CI belongs to the site where it stands now. Outside of the scope it does not
// exist for the caller: it is not found, counted, completed, compared or named.
// Inside, its whole past is visible, also of the time when it stood elsewhere:
// who answers for a machine must be able to read and restore what it was. Once
// it has moved away, so has its past. A CI without a site is seen from
// Everywhere only.
type Scope struct {
	all   bool
	sites []string
}

// Everywhere is the scope of the server itself, and of operators whose rights
// are bound to no site.
var Everywhere = Scope{all: true}

// Within returns the scope of the given site subtrees; "" is Everywhere.
func Within(sites ...string) Scope {
	if slices.Contains(sites, "") {
		return Everywhere
	}
	return Scope{sites: slices.Clone(sites)}
}

// Sees tells whether a CI that stands at site is in the scope.
func (s Scope) Sees(site string) bool {
	if s.all {
		return true
	}
	return site != "" && slices.ContainsFunc(s.sites, func(subtree string) bool { return InSite(site, subtree) })
}

// All tells whether the scope is Everywhere.
func (s Scope) All() bool { return s.all }

// String lists the subtrees, for people.
func (s Scope) String() string {
	switch {
	case s.all:
		return "everywhere"
	case len(s.sites) == 0:
		return "nowhere"
	}
	return strings.Join(s.sites, ", ")
}

// Check returns an error that wraps ErrScope unless a CI may stand at site as far
// as the scope goes. It does not look whether there is such a site: the answer
// tells nothing about places that the caller may not know of.
func (s Scope) Check(site string) error {
	if s.Sees(site) {
		return nil
	}
	if site == "" {
		return fmt.Errorf("a CI without a site: %w: they are %s", ErrScope, s)
	}
	return fmt.Errorf("site %.80q: %w: they are %s", site, ErrScope, s)
}
