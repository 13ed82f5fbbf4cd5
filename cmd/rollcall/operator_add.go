package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) operatorAddCommand() *cobra.Command {
	req := &rollcallv1.AddOperatorRequest{}
	var out, role, site string
	var more []string
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "Admit an operator, or give one new roles and a new login",
		Long: `Admits an operator and writes the login token, which nobody can get again, to
standard output or into a new file. One who exists is given these roles instead
of the old ones and a new login; the old login ends. --role and --site give one
role at a site and below, or everywhere; --grant gives more.

An admin of some sites gives roles there only. Nobody gives herself a role. To make
somebody admin needs a second admin, see 'rollcall proposal'.`,
		Example: `  rollcall operator add kari --role operator --site elm/north --out kari.token
  rollcall operator add per --grant helpdesk@elm --grant restorer@elm/north --out per.token
  rollcall operator add ola --role viewer`,
		Args: cmdline.Exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			req.Name = args[0]
			var err error
			if req.Grants, err = grantsOf(role, site, more, c.Flags().Changed("role") || len(more) == 0); err != nil {
				return err
			}
			return a.addOperator(c.Context(), req, out)
		},
	}
	c.Flags().StringVar(&role, "role", "viewer", "the `ROLE`, see 'rollcall operator'")
	c.Flags().StringVar(&site, "site", "", "where the role holds: this `SITE` and below; empty: everywhere")
	c.Flags().StringArrayVar(&more, "grant", nil, "one more `ROLE[@SITE]`; repeatable")
	c.Flags().StringVar(&out, "out", "", "write the token into this new `FILE`")
	c.Flags().BoolVar(&req.Service, "service", false, "a program: it keeps its login token and never gets a password")
	a.glassFlag(c)
	a.complete(c, "role", fixed(roles...))
	a.complete(c, "grant", fixed(roles...))
	a.complete(c, "site", a.sites)
	return c
}

// grantsOf reads the flags; one tells whether --role counts. What roles and sites
// there are, the server knows.
func grantsOf(role, site string, more []string, one bool) ([]*rollcallv1.Grant, error) {
	var grants []*rollcallv1.Grant
	if one {
		grants = append(grants, &rollcallv1.Grant{Role: role, Site: site})
	} else if site != "" {
		return nil, cmdline.Usagef("add operator: --site goes with --role; with --grant it is written ROLE@SITE")
	}
	for _, text := range more {
		role, site, sited := strings.Cut(text, "@")
		if sited && site == "" {
			return nil, cmdline.Usagef("add operator: grant %q: a site follows the @", text)
		}
		grants = append(grants, &rollcallv1.Grant{Role: role, Site: site})
	}
	return grants, nil
}

// grantWords writes grants as people type them.
func grantWords(grants []*rollcallv1.Grant) string {
	words := make([]string, len(grants))
	for i, g := range grants {
		words[i] = g.GetRole() + after("@", g.GetSite())
	}
	return strings.Join(words, ", ")
}

func (a *app) addOperator(ctx context.Context, req *rollcallv1.AddOperatorRequest, out string) error {
	return a.ask(func(s *server) error {
		keep, err := secretFile(out)
		if err != nil {
			return err
		}
		reply, err := s.AddOperator(ctx, req)
		if err != nil {
			return errors.Join(fmt.Errorf("add operator: %w", err), keep.drop())
		}
		if out == "" {
			a.out.line("%s", reply.GetLoginToken())
		} else {
			if err := keep.write(reply.GetLoginToken()); err != nil {
				return err
			}
			a.out.line("the login of %s (%s) is in %s", req.GetName(), grantWords(req.GetGrants()), out)
		}
		a.err.line("rollcall: give it to %s over a safe way; there: rollcall login", req.GetName())
		return nil
	})
}
