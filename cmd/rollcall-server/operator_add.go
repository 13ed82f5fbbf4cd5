package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/server"
	"rollcall/server/auth"
)

func operatorAdd(o *options) *cobra.Command {
	var role, site string
	var more []string
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "Admit an operator and print her login token",
		Long: `Admit an operator, or give one new roles and a new login, and print the login token
for 'rollcall login'. It is shown once. The server may run. --role and --site give
one role at a site and below, or everywhere; --grant ROLE[@SITE] gives more. The
roles, each of which also looks at the CIs of its sites: viewer, helpdesk (also
compares), operator (also reads files, declares), change-manager (also compares,
reads files), approver (admits and revokes machines), auditor (reads everything),
restorer (fetches an earlier /etc), admin (sites, operators, tokens).`,
		Example: `  rollcall-server operator add --role operator ola > ola.login
  rollcall-server operator add --role helpdesk --site elm/north --grant restorer@elm/north/room12 per > per.login`,
		Args: cmdline.Exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			grants, err := grantsOf(role, site, more, c.Flags().Changed("role") || len(more) == 0)
			if err != nil {
				return cmdline.Usage(fmt.Errorf("operator add: %w", err))
			}
			cfg, err := o.load(c)
			if err != nil {
				return err
			}
			return addOperator(c, cfg, args[0], grants...)
		},
	}
	c.Flags().StringVar(&role, "role", string(auth.Worker), "the `ROLE`")
	c.Flags().StringVar(&site, "site", "", "where the role holds: this `SITE` and below; empty: everywhere")
	c.Flags().StringArrayVar(&more, "grant", nil, "one more `ROLE[@SITE]`; repeatable")
	return c
}

// grantsOf reads the flags; one tells whether --role counts.
func grantsOf(role, site string, more []string, one bool) ([]auth.Grant, error) {
	var grants []auth.Grant
	if one {
		g := auth.Grant{Role: auth.Role(role), Site: site}
		if err := g.Check(); err != nil {
			return nil, err
		}
		grants = append(grants, g)
	} else if site != "" {
		return nil, errors.New("--site goes with --role; with --grant it is written ROLE@SITE")
	}
	for _, text := range more {
		g, err := auth.ParseGrant(text)
		if err != nil {
			return nil, err
		}
		grants = append(grants, g)
	}
	return grants, nil
}

func addOperator(c *cobra.Command, cfg server.Config, name string, grants ...auth.Grant) error {
	token, err := server.AddOperator(c.Context(), cfg, name, grants...)
	if errors.Is(err, auth.ErrInvalid) {
		return cmdline.Usage(err)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(c.ErrOrStderr(), "login token of %s (%s), shown once, for 'rollcall login':\n", name, auth.Words(grants))
	fmt.Fprintln(c.OutOrStdout(), token)
	return nil
}
