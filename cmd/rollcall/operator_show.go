package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) operatorShowCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "show NAME",
		Short: "Show an operator's roles, logins and sessions",
		Long: `Shows which roles an operator holds where, how she can log in, and her sessions that
are open.

As JSON: one operator in the shape of 'rollcall operator list'.`,
		Example: `  rollcall operator show kari`,
		Args:    cmdline.Exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.ask(func(s *server) error {
				reply, err := s.Operators(c.Context(), &rollcallv1.OperatorsRequest{})
				if err != nil {
					return fmt.Errorf("show operator: %w", err)
				}
				i := slices.IndexFunc(reply.GetOperators(), func(o *rollcallv1.Operator) bool { return o.GetName() == args[0] })
				switch {
				case i < 0:
					return cmdline.Hinted(fmt.Errorf("show operator: there is no %s at your sites", args[0]), "'rollcall operator list' shows the names")
				case asJSON:
					return a.document(operatorOf(reply.GetOperators()[i]))
				}
				a.showOperator(reply.GetOperators()[i])
				return nil
			})
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) showOperator(o *rollcallv1.Operator) {
	a.out.styled(bold, "%s", o.GetName())
	used := "not known"
	if o.GetLastUsedMs() != 0 {
		used = a.whenAgo(o.GetLastUsedMs())
	}
	rows := [][2]string{
		{"admitted", a.whenAgo(o.GetCreatedMs()) + after(" by ", o.GetBy())},
		{"last here", used},
		{"logs in with", loginWords(o)},
	}
	for _, g := range o.GetGrants() {
		where := g.GetSite()
		if where == "" {
			where = "everywhere"
		}
		rows = append(rows, [2]string{g.GetRole(), where})
	}
	for _, s := range o.GetSessions() {
		rows = append(rows, [2]string{"session", fmt.Sprintf("from %s since %s, last used %s, until %s", orDash(s.GetFrom()),
			a.when(s.GetMadeMs()), a.when(s.GetLastUsedMs()), a.when(s.GetExpiresMs()))})
	}
	a.fields("  ", rows)
}

// loginWords tells how an operator can log in.
func loginWords(o *rollcallv1.Operator) string {
	var words []string
	if o.GetHasPassword() {
		words = append(words, "password")
	}
	if o.GetHasToken() {
		words = append(words, "token")
	}
	if len(words) == 0 {
		words = append(words, "nothing")
	}
	text := strings.Join(words, ", ")
	if o.GetService() {
		text += " (service)"
	}
	return text
}
