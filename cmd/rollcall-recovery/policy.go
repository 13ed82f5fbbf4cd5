package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/identity"
	"rollcall/internal/policy"
)

func (a *app) policyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "policy",
		Short: "Sign what agents collect and how often",
		Long: `A policy is a short text that says what the agents of a school leave out and how
often they look. Signed by a key that only this machine has, it may travel by the
server, which cannot change it: agents take it if their agent.conf names the key.
It can only take away from what an agent's program and its own configuration allow.`,
		Example: "  rollcall-recovery policy key --out policy.key\n  rollcall-recovery policy sign --key policy.key --out policy.signed policy.txt",
		Args:    cmdline.Exactly(),
	}
	c.AddCommand(a.policyKeyCommand(), a.policySignCommand(), a.policyShowCommand())
	return c
}

func (a *app) policyKeyCommand() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "key",
		Short: "Make the key that signs policies",
		Long: `Makes the key in a new file that nobody else may read, and prints the line that
goes into agent.conf of every machine, or into the invitation that a machine enrols
by. Keep the file on this machine and a copy of it in a safe: without it no policy
can be signed until all machines name another key. Two lines name two keys, so that
one can take the other's place.`,
		Example: "  rollcall-recovery policy key --out policy.key",
		Args:    cmdline.Exactly(),
		RunE: func(*cobra.Command, []string) error {
			if out == "" {
				return cmdline.Usagef("policy key needs --out FILE for the private key")
			}
			if _, err := os.Lstat(out); !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("write %s: %w", out, cmp.Or(err, fs.ErrExist))
			}
			k, err := identity.NewKey()
			if err != nil {
				return err
			}
			if err := identity.SaveKey(out, k); err != nil {
				return err
			}
			pin, err := identity.PinOf(identity.Public(k))
			if err != nil {
				return err
			}
			a.say("policy_key = %s", pin)
			fmt.Fprintf(a.err, "rollcall-recovery: the private key is in %s; its words: %s\n", out, identity.Words(identity.Public(k)))
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "", "new file for the private key")
	return c
}

func (a *app) policySignCommand() *cobra.Command {
	var key, out string
	c := &cobra.Command{
		Use:   "sign FILE",
		Short: "Sign a policy",
		Long: `Signs a policy, a text of lines "key = value":

  realm = 000102030405060708090a0b0c0d0e0f    as 'rollcall policy status' shows it
  version = 7                  more than the one before
  from = 2026-12-01            first day on which it counts
  until = 2027-12-01           first day on which it does not, 400 days later at most
  interval = 6h                at least this between two looks
  watch_etc = no               changes below /etc are seen at the interval only
  debsums = no                 the files of packages are not compared
  skip = sessions              a collector that does not run; may be repeated
  exclude = ppp/*              left out below /etc; may be repeated
  next_pin = sha256:…          of the key that the server will have

What stands in it only takes away. Realm, version, from and until have to be there.
An agent takes a version that is higher than the one it has, while it counts; when it
has expired, the agent's own configuration counts alone. Comments are signed too.`,
		Example: "  rollcall-recovery policy sign --key policy.key --out policy.signed policy.txt",
		Args:    cmdline.Exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			if key == "" || out == "" {
				return cmdline.Usagef("policy sign needs --key FILE and --out FILE")
			}
			k, err := identity.LoadKey(key)
			if err != nil {
				return err
			}
			text, err := readPolicy(args[0])
			if err != nil {
				return err
			}
			b, err := policy.Sign(k, text)
			if err != nil {
				return fmt.Errorf("sign %s: %w", args[0], err)
			}
			_, p, err := policy.Read(b)
			if err == nil {
				err = knownCollectors(p)
			}
			if err != nil {
				return fmt.Errorf("sign %s: %w", args[0], err)
			}
			if err := writeNew(out, b); err != nil {
				return err
			}
			a.tellWindow(p)
			return nil
		},
	}
	c.Flags().StringVar(&key, "key", "", "file with the private key")
	c.Flags().StringVar(&out, "out", "", "new file for the signed policy")
	return c
}

// knownCollectors refuses a name that would be left out by nobody: a newer agent may
// have collectors that this program does not know, an agent without one ignores it.
func knownCollectors(p policy.Policy) error {
	for _, name := range p.Skip {
		if !slices.Contains(policy.Collectors, name) {
			return fmt.Errorf("skip: there is no collector %q; rollcall-agent once --dry-run lists them", name)
		}
	}
	return nil
}

// tellWindow warns of a policy that does not count today, which may be meant.
func (a *app) tellWindow(p policy.Policy) {
	from, until := p.Window()
	a.say("policy %d counts from %s until %s", p.Version, from.Format(time.RFC3339), until.Format(time.RFC3339))
	if err := p.Judge(a.now()); err != nil {
		fmt.Fprintf(a.err, "rollcall-recovery: note: by the clock of this machine: %v\n", err)
	}
}

func (a *app) policyShowCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "show FILE",
		Short: "Show a signed policy and who signed it",
		Long: `Shows what a signed policy says, and the pin and words of the key that signed it: compare
them with those that 'policy key' printed. The exit status is 1 if the signature
does not fit.`,
		Example: "  rollcall-recovery policy show policy.signed",
		Args:    cmdline.Exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			b, err := readPolicy(args[0])
			if err != nil {
				return err
			}
			key, p, err := policy.Read(b)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			pin, err := identity.PinOf(key)
			if err != nil {
				return err
			}
			from, until := p.Window()
			if asJSON {
				return a.document(signedJSON{pin, identity.Words(key), p.Realm, p.Version, from, until, p.Interval, p.WatchEtc, p.Debsums, p.Skip, p.Exclude, p.NextPin})
			}
			a.say("key        %s\nwords      %s", pin, identity.Words(key))
			a.tellWindow(p)
			_, err = fmt.Fprintf(a.out, "\n%s", policy.Text(b))
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

type signedJSON struct {
	Key      string        `json:"key"`
	Words    string        `json:"words"`
	Realm    string        `json:"realm"`
	Version  int64         `json:"version"`
	From     time.Time     `json:"from"`
	Until    time.Time     `json:"until"`
	Interval time.Duration `json:"interval_ns"`
	WatchEtc bool          `json:"watch_etc"`
	Debsums  bool          `json:"debsums"`
	Skip     []string      `json:"skip"`
	Exclude  []string      `json:"exclude"`
	NextPin  string        `json:"next_pin,omitempty"`
}

// readPolicy reads a policy, signed or not; one that is too long is refused by what
// looks at it.
func readPolicy(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, policy.MaxBundle+1))
	if err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	return b, nil
}
