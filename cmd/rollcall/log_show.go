package main

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/evidence"
)

type witnessJSON struct {
	Key    string `json:"key"`
	Size   uint64 `json:"size"`
	Handed msTime `json:"handed"`
	Seen   msTime `json:"seen"`
}

type logJSON struct {
	Leaves     uint64        `json:"leaves"`
	Size       uint64        `json:"size"`
	Root       string        `json:"root"`
	Signed     msTime        `json:"signed"`
	Checkpoint string        `json:"checkpoint"`
	ServerKey  string        `json:"server_key"`
	LogKey     string        `json:"log_key"`
	Witnesses  []witnessJSON `json:"witnesses"`
}

func (a *app) logShowCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "show",
		Short: "Show the newest checkpoint, the keys, and who has seen it",
		Long: `Shows how many leaves the log has, the newest checkpoint that the server has signed,
the keys to keep for 'rollcall verify', and each witness with the newest checkpoint
that it has cosigned. The signatures are verified against the server's key in your
login; whether a witness is one that you trust is for you to say.

As JSON: {"leaves", "size", "root", "signed", "checkpoint", "server_key", "log_key",
"witnesses": [{"key", "size", "handed", "seen"}]}.`,
		Example: "  rollcall log show\n  rollcall log show --json",
		Args:    cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.ask(func(s *server) error {
				doc, err := s.logState(c.Context())
				switch {
				case err != nil:
					return fmt.Errorf("log: %w", err)
				case asJSON:
					return a.document(doc)
				}
				a.showLog(doc)
				return nil
			})
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

// logState asks for the checkpoint and believes what the pinned key vouches for.
func (s *server) logState(ctx context.Context) (logJSON, error) {
	doc := logJSON{Witnesses: []witnessJSON{}, ServerKey: hex.EncodeToString(s.login.Server)}
	reply, err := s.Checkpoint(ctx, &rollcallv1.CheckpointRequest{})
	if err != nil {
		return doc, err
	}
	_, pub, err := evidence.LogVerifierKey(reply.GetLogKey())
	if err != nil {
		return doc, err
	}
	body, err := identity.OpenStatement(s.login.Server, identity.TypeLogKey, reply.GetEndorsement())
	if err != nil || string(body) != string(pub) {
		return doc, fmt.Errorf("the server of your login does not vouch for the log's key %s", reply.GetLogKey())
	}
	doc.Leaves, doc.LogKey = reply.GetSize(), reply.GetLogKey()
	if len(reply.GetNote()) == 0 {
		return doc, nil
	}
	c, _, err := evidence.OpenCheckpoint(reply.GetNote(), reply.GetLogKey())
	if err != nil {
		return doc, err
	}
	doc.Size, doc.Root, doc.Signed, doc.Checkpoint = c.Size, c.Root.String(), msTime(reply.GetMadeMs()), string(reply.GetNote())
	for _, w := range reply.GetWitnesses() {
		k, err := evidence.ParseWitness(w.GetKey())
		if err != nil {
			return doc, err
		}
		_, cosigned, err := evidence.OpenCheckpoint(w.GetNote(), reply.GetLogKey(), k)
		if err != nil || len(cosigned) != 1 {
			return doc, fmt.Errorf("what the server shows of witness %s does not hold: %w", k.Name(), err)
		}
		doc.Witnesses = append(doc.Witnesses, witnessJSON{k.String(), w.GetSize(), msTime(w.GetAtMs()), msTime(millis(cosigned[0].At))})
	}
	return doc, nil
}

func (a *app) showLog(doc logJSON) {
	signed := "not yet"
	if doc.Checkpoint != "" {
		signed = fmt.Sprintf("%s, root %s, %s", fmt.Sprintf("%d leaves", doc.Size), doc.Root, a.whenAgo(int64(doc.Signed)))
	}
	rows := [][2]string{{"leaves", fmt.Sprint(doc.Leaves)}, {"signed", signed}, {"server key", doc.ServerKey}, {"log key", doc.LogKey}}
	for _, w := range doc.Witnesses {
		rows = append(rows, [2]string{"witness", fmt.Sprintf("%s saw %d leaves, %s", w.Key, w.Size, a.whenAgo(int64(w.Seen)))})
	}
	if len(doc.Witnesses) == 0 {
		rows = append(rows, [2]string{"witness", "none: nobody but the server itself vouches for this log"})
	}
	a.fields("", rows)
}
