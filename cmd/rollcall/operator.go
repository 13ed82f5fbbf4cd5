package main

import "github.com/spf13/cobra"

func (a *app) operatorCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "operator",
		Short: "List, add and remove operators",
		Long: `Operators are the people, and programs, who ask and decide. Each holds roles, each
of them everywhere or at a site and below:

  viewer          asks about everything but the contents of files
  helpdesk        also compares
  operator        also compares, reads files, declares
  change-manager  also compares, reads files
  approver        admits and revokes machines, makes tokens
  auditor         reads everything and changes nothing
  restorer        reads files, fetches what a restore needs
  admin           keeps sites, operators and tokens; admits no machine

Every role looks at the CIs of its sites as a viewer does. What is elsewhere does
not exist for its holder. All commands need the role admin; 'list' also answers
auditors.`,
		Example: `  rollcall operator list
  rollcall operator add kari --role operator --site elm/north --out kari.token`,
	}
	c.AddCommand(
		a.operatorListCommand(), a.operatorShowCommand(), a.operatorAddCommand(), a.operatorLogoutCommand(), a.operatorRemoveCommand(),
	)
	return c
}

// roles are what --role takes.
var roles = []string{"viewer", "helpdesk", "operator", "change-manager", "approver", "auditor", "restorer", "admin"}
