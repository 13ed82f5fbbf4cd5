package main

import (
	"github.com/spf13/cobra"

	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) policyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "policy",
		Short: "Publish what agents leave out, and see who has it",
		Long: `What agents collect, and how often, can be narrowed by a policy. It is signed by a
key that no server has ('rollcall-recovery policy sign'): the server carries it to
the machines whose agent.conf names that key, and can neither make nor change one.
docs/agent.md tells what a policy can say.`,
		Example: `  rollcall policy status
  rollcall policy publish policy.signed`,
	}
	c.AddCommand(a.policyPublishCommand(), a.policyStatusCommand())
	return c
}

type policyJSON struct {
	Version   int64  `json:"version"`
	From      msTime `json:"from"`
	Until     msTime `json:"until"`
	Key       string `json:"key"`
	Words     string `json:"words"`
	Text      string `json:"text"`
	By        string `json:"by"`
	Published msTime `json:"published"`
}

func policyOf(p *rollcallv1.PolicyInfo) policyJSON {
	return policyJSON{p.GetVersion(), msTime(p.GetFromMs()), msTime(p.GetUntilMs()), p.GetKey(), p.GetWords(), p.GetText(), p.GetBy(), msTime(p.GetAtMs())}
}
