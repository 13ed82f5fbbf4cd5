package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

type operatorJSON struct {
	Name     string `json:"name"`
	Role     string `json:"role"`
	Created  msTime `json:"created"`
	LastUsed msTime `json:"last_used"` // null: not known
}

type operatorsJSON struct {
	Operators []operatorJSON `json:"operators"`
}

func (a *app) operatorListCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the operators",
		Long: `Lists the operators and their roles.

As JSON: {"operators": [{"name", "role", "created", "last_used"}]}.`,
		Example: `  rollcall operator list`,
		Args:    cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.ask(func(s *server) error {
				reply, err := s.Operators(c.Context(), &rollcallv1.OperatorsRequest{})
				if err != nil {
					return fmt.Errorf("list operators: %w", err)
				}
				doc := operatorsJSON{Operators: []operatorJSON{}}
				t := table{header: []string{"NAME", "ROLE", "SINCE"}}
				for _, o := range reply.GetOperators() {
					doc.Operators = append(doc.Operators, operatorJSON{o.GetName(), o.GetRole(), msTime(o.GetCreatedMs()), msTime(o.GetLastUsedMs())})
					t.row(o.GetName(), o.GetRole(), a.when(o.GetCreatedMs()))
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
