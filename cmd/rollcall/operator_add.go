package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) operatorAddCommand() *cobra.Command {
	req := &rollcallv1.AddOperatorRequest{}
	var out string
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "Admit an operator, or give one a new role and login",
		Long: `Admits an operator and writes the login token, which nobody can get again, to
standard output or into a new file. One who exists is given the role and a new
login; the old login ends.`,
		Example: `  rollcall operator add kari --role operator --out kari.token
  rollcall operator add ola --role viewer`,
		Args: cmdline.Exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			req.Name = args[0]
			return a.addOperator(c.Context(), req, out)
		},
	}
	c.Flags().StringVar(&req.Role, "role", "viewer", "viewer, operator or admin")
	c.Flags().StringVar(&out, "out", "", "write the token into this new `FILE`")
	a.complete(c, "role", fixed(roles...))
	return c
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
			a.out.line("the login of %s (%s) is in %s", req.GetName(), req.GetRole(), out)
		}
		a.err.line("rollcall: give it to %s over a safe way; there: rollcall login", req.GetName())
		return nil
	})
}
