package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

type operatorJSON struct {
	Name     string        `json:"name"`
	Role     string        `json:"role"`
	Grants   []grantJSON   `json:"grants"`
	Service  bool          `json:"service"`
	Token    bool          `json:"has_token"`
	Password bool          `json:"has_password"`
	Sessions []sessionJSON `json:"sessions"`
	Created  msTime        `json:"created"`
	LastUsed msTime        `json:"last_used"` // null: not known
}

// grantJSON is a role at a site and below; no site is everywhere.
type grantJSON struct {
	Role string `json:"role"`
	Site string `json:"site"`
}

// sessionJSON is a session that is open.
type sessionJSON struct {
	Made     msTime `json:"made"`
	Expires  msTime `json:"expires"`
	LastUsed msTime `json:"last_used"`
	From     string `json:"from"`
}

type operatorsJSON struct {
	Operators []operatorJSON `json:"operators"`
}

func (a *app) operatorListCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the operators",
		Long: `Lists the operators who hold roles at your sites, and these roles.

As JSON: {"operators": [{"name", "role", "grants": [{"role", "site"}], "service",
"has_token", "has_password", "sessions": [{"made", "expires", "last_used", "from"}],
"created", "last_used"}]}; "role" is the grants in words.`,
		Example: `  rollcall operator list`,
		Args:    cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.ask(func(s *server) error {
				reply, err := s.Operators(c.Context(), &rollcallv1.OperatorsRequest{})
				if err != nil {
					return fmt.Errorf("list operators: %w", err)
				}
				doc := operatorsJSON{Operators: []operatorJSON{}}
				t := table{header: []string{"NAME", "ROLES", "LOGIN", "LAST HERE"}}
				for _, o := range reply.GetOperators() {
					doc.Operators = append(doc.Operators, operatorOf(o))
					t.row(o.GetName(), o.GetRole(), loginWords(o), a.when(o.GetLastUsedMs()))
				}
				if asJSON {
					return a.document(doc)
				}
				t.write(a.out)
				return nil
			})
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

func operatorOf(o *rollcallv1.Operator) operatorJSON {
	doc := operatorJSON{
		Name: o.GetName(), Role: o.GetRole(), Grants: []grantJSON{}, Sessions: []sessionJSON{}, Service: o.GetService(),
		Token: o.GetHasToken(), Password: o.GetHasPassword(), Created: msTime(o.GetCreatedMs()), LastUsed: msTime(o.GetLastUsedMs()),
	}
	for _, g := range o.GetGrants() {
		doc.Grants = append(doc.Grants, grantJSON{g.GetRole(), g.GetSite()})
	}
	for _, s := range o.GetSessions() {
		doc.Sessions = append(doc.Sessions, sessionJSON{msTime(s.GetMadeMs()), msTime(s.GetExpiresMs()), msTime(s.GetLastUsedMs()), s.GetFrom()})
	}
	return doc
}
