package main

import (
	"github.com/spf13/cobra"

	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) enrolCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "enrol",
		Short: "Admit machines: tokens, approval, revocation",
		Long: `Admits machines. A machine comes with a token and makes its own key; where the
token says so, or the machine looks like one that is known, it waits until an
operator approves it. Compare the eight words of its key with those that
'rollcall-agent status' shows on the machine.`,
		Example: `  rollcall enrol token --site elm/north --out room12.token
  rollcall enrol pending
  rollcall enrol approve 1a2b3c4d`,
	}
	c.AddCommand(a.enrolTokenCommand(), a.enrolPendingCommand(), a.enrolApproveCommand(), a.enrolRefuseCommand(), a.enrolRevokeCommand())
	return c
}

// keyJSON is one machine's key in every answer about admission.
type keyJSON struct {
	KeyID     string            `json:"key_id"`
	Words     string            `json:"words"`
	State     string            `json:"state"`
	Hostname  string            `json:"hostname"`
	Source    string            `json:"source"`
	TokenName string            `json:"token_name"`
	Site      string            `json:"site"`
	Class     string            `json:"class"`
	CI        string            `json:"ci"`
	CIName    string            `json:"ci_name"`
	LikeCI    string            `json:"like_ci"`
	LikeWhy   string            `json:"like_why"`
	Asked     msTime            `json:"asked"`
	Facts     map[string]string `json:"facts"`
	Cloned    bool              `json:"cloned"`
	DecidedBy string            `json:"decided_by"`
}

func keyOf(k *rollcallv1.KeyInfo) keyJSON {
	return keyJSON{
		KeyID: k.GetKeyId(), Words: k.GetWords(), State: k.GetState(), Hostname: k.GetHostname(), Source: k.GetSource(),
		TokenName: k.GetTokenName(), Site: k.GetSite(), Class: k.GetClass(), CI: k.GetCi(), CIName: k.GetCiName(),
		LikeCI: k.GetLikeCi(), LikeWhy: k.GetLikeWhy(), Asked: msTime(k.GetAskedMs()), Facts: claimedFacts(k.GetFacts()),
		Cloned: k.GetCloned(), DecidedBy: k.GetDecidedBy(),
	}
}
