package main

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/fact"
	"rollcall/server/evidence"
	"rollcall/server/proof"
)

// verifying are the flags of verify.
type verifying struct {
	serverKey, logKey, leaves, facts string
	witnesses                        []string
	asJSON                           bool
}

type stepJSON struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Text string `json:"text"`
}

type verifyJSON struct {
	Proved   bool              `json:"proved"`
	CI       string            `json:"ci"`
	Host     string            `json:"host"`
	At       msTime            `json:"at"`
	Received msTime            `json:"received"`
	Claimed  msTime            `json:"claimed"`
	Until    msTime            `json:"until"`
	Alive    msTime            `json:"alive"` // null: the file does not show it
	Key      string            `json:"key"`
	Report   uint64            `json:"report"`
	Index    uint64            `json:"index"`
	Leaves   uint64            `json:"leaves"`
	Envelope string            `json:"envelope"`
	Steps    []stepJSON        `json:"steps"`
	Facts    map[string]string `json:"facts"`
}

func (a *app) verifyCommand() *cobra.Command {
	v := &verifying{}
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check a proof file, without the server, and tell what it proves",
		Long: `Checks a file that 'rollcall prove' wrote. No server is asked. It is believed by
what you know from elsewhere, never by what is in it:

  --server-key KEY  the server's key, as 'rollcall log show' prints it. Without a
                    flag it is the one in your login, pinned when you logged in.
  --log-key KEY     or the key of its log alone; then --leaves is needed too.
  --witness KEY     each of these witnesses must have seen the log with the report
                    in it. May be given several times; get the keys from the
                    witnesses.
  --leaves FILE     all leaves of the log, from 'rollcall log leaves'. Then that
                    nothing was left out does not rest on the server's word.

What is checked, and named if it does not hold: the log's key, the checkpoint, that
the report is in the log, that the key was admitted before it and not ended before
it, the machine's signature, that the facts are those that were signed for, that
nothing about the key was left out, the time, that the machine was alive that day
(where the log has its tick), each witness, all leaves.

Exit status: 0 it is proved, 1 it is not, 2 wrong usage.

As JSON: {"proved", "ci", "host", "at", "received", "claimed", "until", "alive",
"key", "report", "index", "leaves", "envelope", "steps": [{"name", "ok", "text"}],
"facts"}; "facts" holds those below --facts.`,
		Example: `  rollcall verify pc07.proof --facts pkg/cups
  rollcall verify pc07.proof --witness auditor+5a3f21c0+BAbc... --leaves all.leaves
  rollcall verify pc07.proof --server-key 8f1c... --json`,
		Args: cmdline.Exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error { return a.verify(args[0], v) },
	}
	c.Flags().StringVar(&v.serverKey, "server-key", "", "believe the server with this `KEY`")
	c.Flags().StringVar(&v.logKey, "log-key", "", "believe the log with this `KEY`")
	c.Flags().StringArrayVar(&v.witnesses, "witness", nil, "the witness with this `KEY` must have seen it; repeatable")
	c.Flags().StringVar(&v.leaves, "leaves", "", "`FILE` with all leaves of the log")
	c.Flags().StringVar(&v.facts, "facts", "", "print the proved facts below this `PREFIX`")
	jsonFlag(c, &v.asJSON)
	exclusive(c, "server-key", "log-key")
	return c
}

func (a *app) verify(name string, v *verifying) error {
	trust, err := a.trustOf(v)
	if err != nil {
		return err
	}
	in, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(in, proof.MaxFile+1))
	if err = errors.Join(err, in.Close()); err != nil {
		return fmt.Errorf("verify %s: %w", name, err)
	}
	f, err := proof.Parse(b)
	if err != nil {
		return fmt.Errorf("verify %s: %w", name, err)
	}
	if v.leaves != "" {
		in, err := os.Open(v.leaves)
		if err != nil {
			return fmt.Errorf("verify: %w", err)
		}
		defer in.Close() // it was only read
		trust.Leaves = proof.ReadLeaves(in)
	}
	res := proof.Verify(f, trust)
	if v.asJSON {
		err = a.document(verifiedJSON(f, res, v.facts))
	} else {
		a.showProof(f, res, v.facts)
	}
	if err == nil && !res.OK() {
		err = fmt.Errorf("verify %s: it is not proved:\n%w", name, res.Err())
	}
	return err
}

// trustOf reads the flags; without a key the login's counts.
func (a *app) trustOf(v *verifying) (trust proof.Trust, err error) {
	for _, text := range v.witnesses {
		w, err := evidence.ParseWitness(text)
		if err != nil {
			return trust, cmdline.Usage(fmt.Errorf("verify: --witness: %w", err))
		}
		trust.Witnesses = append(trust.Witnesses, w)
	}
	switch {
	case v.logKey != "":
		if _, _, err := evidence.LogVerifierKey(v.logKey); err != nil {
			return trust, cmdline.Usage(fmt.Errorf("verify: --log-key: %w", err))
		}
		trust.Log = v.logKey
	case v.serverKey != "":
		b, err := hex.DecodeString(v.serverKey)
		if err != nil || len(b) != ed25519.PublicKeySize {
			return trust, cmdline.Usagef("verify: --server-key %.80q: want %d hexadecimal digits", v.serverKey, 2*ed25519.PublicKeySize)
		}
		trust.Server = b
	default:
		login, err := a.loadLogin()
		if err != nil {
			why, _, _ := strings.Cut(err.Error(), cmdline.HintMark) // logging in is not what an auditor needs
			return trust, cmdline.Hinted(fmt.Errorf("verify: no key is named, and there is no login: %s", why), "name the server's key with --server-key, or the log's with --log-key")
		}
		trust.Server = login.Server
	}
	return trust, nil
}

func verifiedJSON(f proof.File, res proof.Result, prefix string) verifyJSON {
	doc := verifyJSON{
		Proved: res.OK(), CI: res.CI, Host: hostOf(res.Facts), At: msTime(f.At), Received: msTime(millis(res.Received)), Claimed: msTime(millis(res.Claimed)),
		Until: msTime(millis(res.Until)), Alive: msTime(millis(res.Alive)), Key: res.Key.String(), Report: res.Seq, Index: res.Index, Leaves: res.Size,
		Envelope: res.Envelope.String(), Steps: []stepJSON{}, Facts: map[string]string{},
	}
	for _, s := range res.Steps {
		doc.Steps = append(doc.Steps, stepJSON(s))
	}
	for _, fa := range chosen(res.Facts, prefix) {
		doc.Facts[fa.Path] = fa.Value
	}
	return doc
}

// chosen gives the facts at or below a prefix; none for an empty one.
func chosen(facts fact.Set, prefix string) (out []fact.Fact) {
	if prefix == "" {
		return nil
	}
	for _, f := range facts {
		if fact.Under(f.Path, prefix) {
			out = append(out, f)
		}
	}
	return out
}

func (a *app) showProof(f proof.File, res proof.Result, prefix string) {
	for _, s := range res.Steps {
		if s.OK {
			a.out.styled(green, "holds  %s: %s", s.Name, s.Text)
		} else {
			a.out.styled(red, "FAILS  %s: %s", s.Name, s.Text)
		}
	}
	if !res.OK() {
		return
	}
	until := "no later report is in the file"
	if !res.Until.IsZero() {
		until = a.when(millis(res.Until))
	}
	alive := "the file does not show it"
	if !res.Alive.IsZero() {
		alive = "at " + a.when(millis(res.Alive)) + " the last time, by the server's list of that day"
	}
	a.out.styled(bold, "\nproved: the state of CI %s (%s) at %s", res.CI, orDash(hostOf(res.Facts)), a.when(f.At))
	a.fields("  ", [][2]string{
		{"reported", fmt.Sprintf("%s by the server's clock, %s by its own", a.when(millis(res.Received)), a.when(millis(res.Claimed)))},
		{"next change", until},
		{"alive that day", alive},
		{"key", res.Key.String()},
		{"report", fmt.Sprintf("%d, leaf %d of %d", res.Seq, res.Index, res.Size)},
		{"envelope", res.Envelope.String()},
		{"facts", fmt.Sprintf("%d; --facts PREFIX prints them", len(res.Facts))},
	})
	for _, fa := range chosen(res.Facts, prefix) {
		a.out.line("%s = %s", fa.Path, fa.Value)
	}
}
