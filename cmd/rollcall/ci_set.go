package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) ciSetCommand() *cobra.Command {
	var reason string
	var asJSON bool
	c := &cobra.Command{
		Use:   "set NAME FIELD=VALUE...",
		Short: "Change what people decide about a CI",
		Long: `Changes declared fields as one revision: name, class, site, status, and any word
of your own, such as owner, room or barcode. An empty value removes a field. To make
a CI a server takes a second person: see 'rollcall proposal'.

` + strings.Join(wrapText("Classes: "+strings.Join(classes, ", ")+".", 80), "\n") + `
` + strings.Join(wrapText("Statuses: "+strings.Join(statuses, ", ")+".", 80), "\n") + `

As JSON: the CI in the shape of 'rollcall ci list'; "revision" is the new one.`,
		Example: `  rollcall ci set room12-pc07 status=under-repair owner=kari --reason "fan is loud"
  rollcall ci set room12-pc07 owner=`,
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: a.setWords,
		RunE: func(c *cobra.Command, args []string) error {
			return a.setCI(c.Context(), args[0], args[1:], reason, asJSON)
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why; kept with the revision")
	a.glassFlag(c)
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) setCI(ctx context.Context, name string, pairs []string, reason string, asJSON bool) error {
	fields := map[string]string{}
	for _, p := range pairs {
		field, value, ok := strings.Cut(p, "=")
		if !ok || field == "" {
			return cmdline.Hinted(cmdline.Usagef("set CI: %q is no FIELD=VALUE", p), "rollcall ci set %s owner=kari", name)
		}
		if _, twice := fields[field]; twice {
			return cmdline.Usagef("set CI: field %q is given twice", field)
		}
		fields[field] = value
	}
	return a.ask(func(s *server) error {
		reply, err := s.Set(ctx, &rollcallv1.SetRequest{Ci: name, Fields: fields, Reason: reason})
		switch {
		case err != nil:
			return fmt.Errorf("set CI: %w", err)
		case asJSON:
			return a.document(itemOf(reply.GetItem()))
		}
		a.out.line("%s: revision %d", reply.GetItem().GetName(), reply.GetRevision())
		return nil
	})
}
