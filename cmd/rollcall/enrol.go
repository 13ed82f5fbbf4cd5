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
token says so it waits until an operator approves it. Two people stand behind a
server: who made its token and who approves it, or two who approve it. Compare
the eight words of its key with those that 'rollcall-agent status' shows on the
machine.`,
		Example: `  rollcall enrol token --site elm/north --out room12.token
  rollcall enrol pending
  rollcall enrol approve 1a2b3c4d`,
	}
	c.AddCommand(
		a.enrolTokenCommand(), a.enrolTokensCommand(), a.enrolWithdrawCommand(), a.enrolPendingCommand(), a.enrolApproveCommand(),
		a.enrolRefuseCommand(), a.enrolRevokeCommand(), a.enrolForksCommand(), a.enrolKeepCommand(),
	)
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
	Decided   msTime            `json:"decided"`
	Reason    string            `json:"reason"`
	Trust     string            `json:"trust"`
	TokenID   string            `json:"token_id"`
	TokenKind string            `json:"token_kind"`
	Approvals []string          `json:"approvals"`
	Needs     string            `json:"needs"`
	Replaced  string            `json:"replaced"`
	Successor string            `json:"successor"`
	Forks     uint32            `json:"forks"`
	Differs   []differenceJSON  `json:"differs"`
}

type differenceJSON struct {
	Path    string `json:"path"`
	Known   string `json:"known"`
	Claimed string `json:"claimed"`
}

func keyOf(k *rollcallv1.KeyInfo) keyJSON {
	differs := []differenceJSON{}
	for _, d := range k.GetDiffers() {
		differs = append(differs, differenceJSON{d.GetPath(), d.GetKnown(), d.GetClaimed()})
	}
	return keyJSON{
		KeyID: k.GetKeyId(), Words: k.GetWords(), State: k.GetState(), Hostname: k.GetHostname(), Source: k.GetSource(),
		TokenName: k.GetTokenName(), Site: k.GetSite(), Class: k.GetClass(), CI: k.GetCi(), CIName: k.GetCiName(),
		LikeCI: k.GetLikeCi(), LikeWhy: k.GetLikeWhy(), Asked: msTime(k.GetAskedMs()), Facts: claimedFacts(k.GetFacts()),
		Cloned: k.GetCloned(), DecidedBy: k.GetDecidedBy(), Decided: msTime(k.GetDecidedMs()), Reason: k.GetReason(), Trust: k.GetTrust(),
		TokenID: k.GetTokenId(), TokenKind: k.GetTokenKind(), Approvals: append([]string{}, k.GetApprovals()...), Needs: k.GetNeeds(),
		Replaced: k.GetReplaced(), Successor: k.GetSuccessor(), Forks: k.GetForks(), Differs: differs,
	}
}
