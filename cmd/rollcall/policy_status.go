package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

type holdersJSON struct {
	Version  int64  `json:"version"`
	State    string `json:"state"`
	Refused  string `json:"refused"`
	Machines uint32 `json:"machines"`
}

type policyStatusJSON struct {
	Realm    string        `json:"realm"`
	Policy   *policyJSON   `json:"policy"`
	Machines []holdersJSON `json:"machines"`
	Others   uint32        `json:"others"`
}

func (a *app) policyStatusCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the published policy and which machines have which",
		Long: `Shows the policy that is published, the realm that one for these machines has to name,
and how many of the machines in your sites say that they have which version: it is
in force, it has expired, or they have none yet, and what they refused and why.
OTHERS take no policy: their agent.conf names no policy_key, or they have no agent.
Which machines these are says 'rollcall find', as with the filters in the examples.

As JSON: {"realm", "policy": {"version", "from", "until", "key", "words", "text",
"by", "published"}, "machines": [{"version", "state", "refused", "machines"}],
"others"}; "policy" is null where none is published.`,
		Example: `  rollcall policy status
  rollcall find 'fact(agent/policy/version) = 7'
  rollcall find 'fact(agent/policy/state) = expired'`,
		Args: cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.ask(func(s *server) error {
				reply, err := s.PolicyStatus(c.Context(), &rollcallv1.PolicyStatusRequest{})
				switch {
				case err != nil:
					return fmt.Errorf("policy status: %w", err)
				case asJSON:
					return a.document(policyStatusOf(reply))
				}
				a.showPolicy(reply)
				return nil
			})
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

func policyStatusOf(reply *rollcallv1.PolicyStatusReply) policyStatusJSON {
	out := policyStatusJSON{Realm: reply.GetRealm(), Machines: []holdersJSON{}, Others: reply.GetOthers()}
	if p := reply.GetPolicy(); p != nil {
		doc := policyOf(p)
		out.Policy = &doc
	}
	for _, m := range reply.GetMachines() {
		out.Machines = append(out.Machines, holdersJSON{m.GetVersion(), m.GetState(), m.GetRefused(), m.GetMachines()})
	}
	return out
}

func (a *app) showPolicy(reply *rollcallv1.PolicyStatusReply) {
	p := reply.GetPolicy()
	if p == nil {
		a.out.line("no policy is published; one for these machines has realm = %s", reply.GetRealm())
	} else {
		a.fields("", [][2]string{
			{"policy", fmt.Sprintf("version %d", p.GetVersion())},
			{"counts", fmt.Sprintf("from %s until %s", a.moment(time.UnixMilli(p.GetFromMs())), a.moment(time.UnixMilli(p.GetUntilMs())))},
			{"published", fmt.Sprintf("%s by %s", a.whenAgo(p.GetAtMs()), p.GetBy())},
			{"key", p.GetKey()},
			{"key words", p.GetWords()},
			{"realm", reply.GetRealm()},
		})
		a.out.line("")
		for line := range strings.Lines(p.GetText()) {
			a.out.line("  %s", strings.TrimRight(line, "\n"))
		}
	}
	a.out.line("")
	t := table{header: []string{"MACHINES", "VERSION", "STATE", "REFUSED"}, right: map[int]bool{0: true, 1: true}, elastic: 3}
	for _, m := range reply.GetMachines() {
		version := "-"
		if m.GetVersion() > 0 {
			version = fmt.Sprint(m.GetVersion())
		}
		t.row(fmt.Sprint(m.GetMachines()), version, m.GetState(), m.GetRefused())
	}
	t.row(fmt.Sprint(reply.GetOthers()), "-", "takes no policy", "")
	t.write(a.out)
}
