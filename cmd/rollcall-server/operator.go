package main

import "github.com/spf13/cobra"

func operatorCommand(o *options) *cobra.Command {
	c := &cobra.Command{
		Use:   "operator",
		Short: "Admit operators",
		Long: `Admits operators on the server itself: the first one, or one more where no admin
can log in. Otherwise 'rollcall operator' does it, from anywhere.`,
		Example: "  rollcall-server operator add kari --role admin --grant auditor > kari.login",
	}
	c.AddCommand(operatorAdd(o))
	return c
}
