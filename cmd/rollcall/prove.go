package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/proof"
)

type proveJSON struct {
	File  string     `json:"file"`
	Bytes int        `json:"bytes"`
	Proof verifyJSON `json:"proof"`
}

func (a *app) proveCommand() *cobra.Command {
	var at, out string
	var asJSON bool
	c := &cobra.Command{
		Use:   "prove NAME",
		Short: "Write one file that proves what state a machine had on a day",
		Long: `Writes one file that proves, to anybody and without the server, that a machine had
a state at a time: the report that the machine signed, the facts that make its
state, the leaves of the log about its key, the proofs that all of them are in the
log that the server has signed, and what witnesses have seen. 'rollcall verify
FILE' checks it. It is checked before it is written, against the server's key in
your login.

The facts are not encrypted: whoever has the file can read them. It needs the role
auditor.

As JSON: {"file", "bytes", "proof"}; "proof" is what 'rollcall verify --json' gives:
{"proved", "ci", "host", "at", "received", "claimed", "until", "alive", "key", "report",
"index", "leaves", "envelope", "steps": [{"name", "ok", "text"}], "facts"}.`,
		Example: `  rollcall prove room12-pc07 --at 2026-11-20 --out pc07.proof
  rollcall prove tjener --out tjener.proof --json`,
		Args:              cmdline.Exactly("NAME"),
		ValidArgsFunction: a.first(a.cis),
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				return cmdline.Usagef("prove: --out FILE is missing: the file that is to hold the proof")
			}
			return a.prove(c.Context(), args[0], at, out, asJSON)
		},
	}
	atFlag(c, &at)
	c.Flags().StringVar(&out, "out", "", "write the proof into this new `FILE`")
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) prove(ctx context.Context, name, atText, out string, asJSON bool) error {
	at, err := a.parseTime("at", atText, cmdline.End)
	if err != nil {
		return err
	}
	return a.ask(func(s *server) error {
		reply, err := s.Prove(ctx, &rollcallv1.ProveRequest{Ci: name, AtMs: millis(at)})
		if err != nil {
			return fmt.Errorf("prove: %w", err)
		}
		f, err := proof.Parse(reply.GetProof())
		if err != nil {
			return fmt.Errorf("prove %s: %w", name, err)
		}
		res := proof.Verify(f, proof.Trust{Server: s.login.Server})
		if err := res.Err(); err != nil {
			return cmdline.Hinted(fmt.Errorf("prove %s: what the server gave does not hold: %w", name, err), "nothing was written; tell whoever runs the server: rollcall-server check")
		}
		if err := newFile(out, reply.GetProof()); err != nil {
			return err
		}
		doc := proveJSON{File: out, Bytes: len(reply.GetProof()), Proof: verifiedJSON(f, res, "")}
		if asJSON {
			return a.document(doc)
		}
		a.showProof(f, res, "")
		a.out.line("proof of %s is in %s (%s); check it with: rollcall verify %s", reply.GetName(), out, sizeWords(uint64(doc.Bytes)), shellWord(out))
		return nil
	})
}

// newFile writes a file that nobody else reads; it never replaces one.
func newFile(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return cmdline.Hinted(fmt.Errorf("write %s: it is there already", name), "choose another file, or remove it")
	}
	if err != nil {
		return fmt.Errorf("write proof: %w", err)
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write proof: %w", err), os.Remove(name))
	}
	return nil
}

// hostOf is what the machine called itself.
func hostOf(facts fact.Set) string {
	v, _ := facts.Get("id/hostname")
	return v
}
