package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) proposalConfirmCommand() *cobra.Command {
	var out string
	var asJSON bool
	c := &cobra.Command{
		Use:   "confirm ID",
		Short: "Be the second person: run what another one proposed",
		Long: `Runs what another person proposed, as it was shown: 'rollcall proposal show' first.
What comes of it, such as a login or an enrolment token, is for you to hand over; it
is written to standard output or into a new file.

As JSON: the proposal in the shape of 'rollcall proposal list', with "token" if one
came of it.`,
		Example: `  rollcall proposal confirm 1a2b3c4d5e6f
  rollcall proposal confirm 1a2b3c4d5e6f --out per.token`,
		Args:              cmdline.Exactly("ID"),
		ValidArgsFunction: a.first(a.waitingProposals),
		RunE:              func(c *cobra.Command, args []string) error { return a.confirm(c.Context(), args[0], out, asJSON) },
	}
	c.Flags().StringVar(&out, "out", "", "write the token that comes of it into this new `FILE`")
	jsonFlag(c, &asJSON)
	return c
}

type confirmedJSON struct {
	proposalJSON
	Token string `json:"token,omitempty"`
}

func (a *app) confirm(ctx context.Context, id, out string, asJSON bool) error {
	return a.ask(func(s *server) error {
		p, err := theProposal(ctx, s, id)
		if err != nil {
			return fmt.Errorf("confirm proposal: %w", err)
		}
		keep, err := secretFile(out)
		if err != nil {
			return err
		}
		reply, err := s.Confirm(ctx, &rollcallv1.ConfirmRequest{Id: p.GetId(), Digest: p.GetDigest()})
		if err != nil {
			return errors.Join(fmt.Errorf("confirm proposal: %w", err), keep.drop())
		}
		token, err := tokenIn(reply)
		switch {
		case err != nil:
			return err
		case out != "" && token != "":
			err = keep.write(token)
			token = ""
		case out != "":
			err = keep.drop()
		}
		if err != nil {
			return err
		}
		if asJSON {
			return a.document(confirmedJSON{proposalOf(reply.GetProposal()), token})
		}
		a.err.line("rollcall: confirmed: %s", reply.GetProposal().GetWhat())
		if err := a.confirmedMany(reply); err != nil {
			return err
		}
		if token != "" {
			a.out.line("%s", token)
		}
		return nil
	})
}

// confirmedMany says what became of the keys of many machines, if that is what ran.
func (a *app) confirmedMany(reply *rollcallv1.ConfirmReply) error {
	if reply.GetMethod() != rollcallv1.Keys_RevokeMany_FullMethodName {
		return nil
	}
	var m rollcallv1.RevokeManyReply
	if err := proto.Unmarshal(reply.GetReply(), &m); err != nil {
		return fmt.Errorf("confirm proposal: it ran, but its answer cannot be read: %w", err)
	}
	a.showRevoked(&m)
	return nil
}

// tokenIn gives the token that what ran has made, if it made one.
func tokenIn(reply *rollcallv1.ConfirmReply) (token string, err error) {
	switch reply.GetMethod() {
	case rollcallv1.Admin_AddOperator_FullMethodName:
		var m rollcallv1.AddOperatorReply
		err = proto.Unmarshal(reply.GetReply(), &m)
		token = m.GetLoginToken()
	case rollcallv1.Admin_NewToken_FullMethodName:
		var m rollcallv1.NewTokenReply
		err = proto.Unmarshal(reply.GetReply(), &m)
		token = m.GetToken()
	}
	if err != nil {
		return "", fmt.Errorf("confirm proposal: it ran, but its answer cannot be read: %w", err)
	}
	return token, nil
}
