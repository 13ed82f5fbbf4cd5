package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

type statusJSON struct {
	State         string            `json:"state"` // serving or read-only
	StateWhy      string            `json:"state_why,omitempty"`
	StateSince    msTime            `json:"state_since"`
	Version       string            `json:"version"`
	Started       msTime            `json:"started"`
	Now           msTime            `json:"now"`
	ServerPin     string            `json:"server_pin"`
	CIs           uint64            `json:"cis"`
	Presence      map[string]uint64 `json:"presence"`
	Pending       uint64            `json:"pending"`
	Revisions     uint64            `json:"revisions"`
	MirrorBacklog uint64            `json:"mirror_backlog"`
	MirrorError   string            `json:"mirror_error,omitempty"`
	StoreBytes    uint64            `json:"store_bytes"`
	FreeBytes     uint64            `json:"free_bytes"`
	ReserveBytes  uint64            `json:"reserve_bytes"`
	Warnings      []string          `json:"warnings"`
	LogLeaves     uint64            `json:"log_leaves"`
	Checkpoint    msTime            `json:"checkpoint"`
	Witnessed     msTime            `json:"witnessed"`
	Witnesses     []string          `json:"witnesses"`
	Operator      string            `json:"operator"`
	Role          string            `json:"role"`
}

func (a *app) statusCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show how the server is and what waits for you",
		Long: `Shows how many CIs there are and how many are silent, which machines wait for
approval, what the server warns about, and who you are.

As JSON: {"state", "state_why", "state_since", "version", "started", "now",
"server_pin", "cis", "presence", "pending", "revisions", "mirror_backlog",
"mirror_error", "store_bytes", "free_bytes", "reserve_bytes", "warnings",
"log_leaves", "checkpoint", "witnessed", "witnesses", "operator", "role"};
"presence" counts CIs by presence, "checkpoint" is when the log was signed last,
"witnessed" when a witness last cosigned it.
"state" is "serving", or "read-only" while the server's disk has too little room:
questions are answered then, reports wait on the machines, nothing is lost.`,
		Example: `  rollcall status
  rollcall status --json`,
		Args: cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.ask(func(s *server) error {
				st, err := s.Status(c.Context(), &rollcallv1.StatusRequest{})
				switch {
				case err != nil:
					return fmt.Errorf("status: %w", err)
				case asJSON:
					return a.document(statusOf(st))
				}
				a.showStatus(st, strings.Join(s.login.URLs, ", "))
				return nil
			})
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

func statusOf(st *rollcallv1.StatusReply) statusJSON {
	presence := maps.Clone(st.GetPresence())
	if presence == nil {
		presence = map[string]uint64{}
	}
	return statusJSON{
		State: st.GetState(), StateWhy: st.GetStateWhy(), StateSince: msTime(st.GetStateSinceMs()),
		FreeBytes: st.GetFreeBytes(), ReserveBytes: st.GetReserveBytes(),
		Version: st.GetVersion(), Started: msTime(st.GetStartedMs()), Now: msTime(st.GetNowMs()), ServerPin: st.GetServerPin(),
		CIs: st.GetItems(), Presence: presence, Pending: st.GetPending(), Revisions: st.GetRevisions(),
		MirrorBacklog: st.GetMirrorBacklog(), MirrorError: st.GetMirrorError(), StoreBytes: st.GetStoreBytes(),
		Warnings:  listOf(st.GetWarnings()),
		LogLeaves: st.GetLogSize(), Checkpoint: msTime(st.GetCheckpointMs()), Witnessed: msTime(st.GetWitnessMs()), Witnesses: listOf(st.GetWitnesses()), Operator: st.GetOperator(), Role: st.GetRole(),
	}
}

func (a *app) showStatus(st *rollcallv1.StatusReply, where string) {
	for _, w := range st.GetWarnings() {
		a.out.styled(yellow, "warning: %s", w)
	}
	var parts []string
	for _, p := range slices.Sorted(maps.Keys(st.GetPresence())) {
		parts = append(parts, fmt.Sprintf("%d %s", st.GetPresence()[p], p))
	}
	cis := fmt.Sprint(st.GetItems())
	if len(parts) > 0 {
		cis += ": " + strings.Join(parts, ", ")
	}
	waiting := "no machine"
	if n := st.GetPending(); n > 0 {
		waiting = fmt.Sprintf("%s; see 'rollcall enrol pending'", plural(n, "machine"))
	}
	mirror := "up to date"
	if e := st.GetMirrorError(); e != "" {
		mirror = "stopped: " + e
	} else if n := st.GetMirrorBacklog(); n > 0 {
		mirror = plural(n, "revision") + " behind"
	}
	state := cmp.Or(st.GetState(), "serving") // a server of an earlier release tells none
	if why := st.GetStateWhy(); why != "" {
		state += " since " + a.whenAgo(st.GetStateSinceMs()) + ": " + why
	}
	a.fields("", [][2]string{
		{"state", state},
		{"CIs", cis},
		{"waiting", waiting},
		{"revisions", fmt.Sprint(st.GetRevisions())},
		{"git mirror", mirror},
		{"log", a.logWords(st)},
		{"store", storeWords(st)},
		{"server", fmt.Sprintf("%s, version %s", where, st.GetVersion())},
		{"up since", a.whenAgo(st.GetStartedMs())},
		{"you", fmt.Sprintf("%s (%s)", st.GetOperator(), st.GetRole())},
	})
}

// logWords says how the evidence log stands.
func (a *app) logWords(st *rollcallv1.StatusReply) string {
	words := fmt.Sprintf("%d leaves", st.GetLogSize())
	if st.GetCheckpointMs() > 0 {
		words += ", signed " + a.whenAgo(st.GetCheckpointMs())
	}
	if len(st.GetWitnesses()) == 0 {
		return words + ", no witness"
	}
	return words + fmt.Sprintf(", seen by %s %s", strings.Join(st.GetWitnesses(), ", "), a.whenAgo(st.GetWitnessMs()))
}

func storeWords(st *rollcallv1.StatusReply) string {
	words := sizeWords(st.GetStoreBytes())
	if st.GetReserveBytes() > 0 {
		words += fmt.Sprintf(", %s free on its disk, read-only below %s", sizeWords(st.GetFreeBytes()), sizeWords(st.GetReserveBytes()))
	}
	return words
}
