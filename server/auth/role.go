package auth

import (
	"fmt"
	"slices"
	"strings"
)

// Role is a kind of work. Each also looks at the CIs of its sites; none includes
// another, so that duties can be separated.
type Role string

// The roles.
const (
	Viewer        Role = "viewer"         // ask everything but file contents
	Helpdesk      Role = "helpdesk"       // also compare
	Worker        Role = "operator"       // also compare, read files, declare
	ChangeManager Role = "change-manager" // also compare, read files
	Approver      Role = "approver"       // admit and revoke machines
	Auditor       Role = "auditor"        // read everything, also who did what; changes nothing
	Restorer      Role = "restorer"       // read files, fetch an earlier /etc
	Admin         Role = "admin"          // sites, operators, tokens; admits nobody
)

// Roles lists all roles.
var Roles = []Role{Viewer, Helpdesk, Worker, ChangeManager, Approver, Auditor, Restorer, Admin}

// Grant gives a role at a site and everything below it; "" is everywhere.
type Grant struct {
	Role Role   `json:"role"`
	Site string `json:"site,omitempty"`
}

// String writes a grant as people type it: "approver@elm/north", or "approver" for
// everywhere.
func (g Grant) String() string {
	if g.Site == "" {
		return string(g.Role)
	}
	return string(g.Role) + "@" + g.Site
}

// ParseGrant reads what String writes, or returns ErrInvalid.
func ParseGrant(s string) (Grant, error) {
	role, site, sited := strings.Cut(s, "@")
	g := Grant{Role(role), site}
	if sited && site == "" {
		return g, fmt.Errorf("grant %.80q: %w: a site follows the @, such as operator@elm/north", s, ErrInvalid)
	}
	return g, g.Check()
}

// Check returns ErrInvalid unless the grant has a role that exists. Whether there
// is such a site is for the caller to check.
func (g Grant) Check() error {
	if !slices.Contains(Roles, g.Role) {
		return fmt.Errorf("role %.40q: %w: want one of %s", g.Role, ErrInvalid, roleWords(Roles, ", "))
	}
	return nil
}

func roleWords(roles []Role, between string) string {
	words := make([]string, len(roles))
	for i, r := range roles {
		words[i] = string(r)
	}
	return strings.Join(words, between)
}

// Everywhere grants roles without a bound.
func Everywhere(roles ...Role) []Grant {
	grants := make([]Grant, len(roles))
	for i, r := range roles {
		grants[i] = Grant{Role: r}
	}
	return grants
}

// Words writes grants for people; "every role" is all of them everywhere.
func Words(grants []Grant) string {
	if !slices.ContainsFunc(Roles, func(r Role) bool { return !slices.Contains(grants, Grant{Role: r}) }) {
		return "every role"
	}
	if len(grants) == 0 {
		return "without a role"
	}
	words := make([]string, len(grants))
	for i, g := range grants {
		words[i] = g.String()
	}
	return strings.Join(words, ", ")
}

// legacy gives what the one role of an operator means who was stored before there
// were grants: what it meant then.
func legacy(r Role) []Grant {
	switch r {
	case Viewer:
		return Everywhere(Viewer)
	case Worker:
		return Everywhere(Worker, Approver, Restorer)
	case Admin:
		return Everywhere(Admin, Worker, Approver, Restorer, Auditor)
	}
	return nil
}

// Sites returns the site subtrees where the operator holds one of the roles; "" is
// everywhere, none is nowhere. Viewer is part of every role.
func (o Operator) Sites(roles ...Role) []string {
	var sites []string
	for _, g := range o.Grants {
		if g.Check() == nil && (slices.Contains(roles, g.Role) || slices.Contains(roles, Viewer)) {
			sites = append(sites, g.Site)
		}
	}
	return sites
}

// Denied is the error for an operator who holds none of the roles.
func (o Operator) Denied(roles ...Role) error {
	return fmt.Errorf("%s is %s, this needs %s: %w", o.Name, Words(o.Grants), roleWords(roles, " or "), ErrDenied)
}
