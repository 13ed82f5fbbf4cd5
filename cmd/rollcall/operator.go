package main

import "github.com/spf13/cobra"

func (a *app) operatorCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "operator",
		Short: "List, add and remove operators",
		Long: `Operators are the people who ask and decide. A viewer asks about everything but
the contents of files; an operator also reads files, compares, declares and
admits machines; an admin also keeps sites and operators. All three commands
need the role admin.`,
		Example: `  rollcall operator list
  rollcall operator add kari --role operator --out kari.token`,
	}
	c.AddCommand(a.operatorListCommand(), a.operatorAddCommand(), a.operatorRemoveCommand())
	return c
}

// roles are what --role takes.
var roles = []string{"viewer", "operator", "admin"}
