package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"rollcall/agent"
	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/conf"
	"rollcall/internal/identity"
)

func (a *app) enrolCommand() *cobra.Command {
	var file string
	var wait, carried, asJSON bool
	c := &cobra.Command{
		Use:   "enrol",
		Short: "Make this machine known to a server",
		Long: `Asks the server that a token names for admission. The token comes from a file
that nobody else may read, or from standard input; never from the command line or
the environment, which others can see. It tells where the server is and how to
recognise it: no other server gets to see anything.

If an operator has to approve the machine, this says so, with the words of the
machine's key for both to compare. Reports are taken once it is approved; --wait
waits for that.

A machine without a line to the server enrols with --offline: the request goes into
the next file of "rollcall-agent export", with what the machine reports meanwhile,
and the answer comes back with "rollcall-agent import".

Once the machine is enrolled the token is of no more use: its file is overwritten
and removed. Only the token of a boot image stays, which many machines read.`,
		Example: "  rollcall-agent enrol --token-file /root/token\n  ssh tjener rollcall enrol token --site elm/north | rollcall-agent enrol --token-file -",
		Args:    cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := a.settings()
			if err != nil {
				return err
			}
			token, err := a.token(file)
			if err != nil {
				return err
			}
			var adm agent.Admission
			if carried {
				adm, err = agent.EnrolCarried(c.Context(), cfg, version, token)
			} else {
				adm, err = a.enrol(c.Context(), cfg, token, wait)
			}
			if err != nil {
				return err
			}
			switch {
			case asJSON:
				err = a.document(adm)
			case carried:
				fmt.Fprintf(a.out, "not asked yet: %s\nkey words: %s\n", adm.Note, adm.Words)
			default:
				a.printAdmission(adm)
			}
			if err == nil && !adm.Pending && file != "-" && !token.Public {
				err = agent.Shred(file)
			}
			return err
		},
	}
	c.Flags().StringVar(&file, "token-file", "", "file that holds the token, - for standard input")
	c.Flags().BoolVar(&wait, "wait", false, "wait until an operator has approved the machine")
	c.Flags().BoolVar(&carried, "offline", false, "ask by a file on a stick, for a machine without a line to the server")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.MarkFlagsMutuallyExclusive("wait", "offline")
	return c
}

func (a *app) token(file string) (identity.Token, error) {
	var text []byte
	var err error
	switch file {
	case "":
		return identity.Token{}, cmdline.Usagef("enrol needs --token-file FILE, - for standard input")
	case "-":
		if text, err = io.ReadAll(io.LimitReader(a.in, 64<<10)); err != nil {
			err = fmt.Errorf("read token: %w", err)
		}
	default:
		text, err = conf.ReadSecret(file)
	}
	if err != nil {
		return identity.Token{}, err
	}
	return identity.ParseToken(identity.EnrolPrefix, string(text))
}

func (a *app) enrol(ctx context.Context, cfg agent.Config, token identity.Token, wait bool) (agent.Admission, error) {
	for {
		adm, err := agent.Enrol(ctx, cfg, version, token, nil)
		if err != nil || !adm.Pending || !wait {
			return adm, err
		}
		fmt.Fprintf(a.err, "rollcall-agent: waiting for an operator: %s; key words: %s\n", adm.Note, adm.Words)
		select {
		case <-ctx.Done():
			return adm, errors.New("interrupted while waiting; the machine stays on the list of those that wait")
		case <-time.After(max(adm.Retry, 5*time.Second)):
		}
	}
}

func (a *app) printAdmission(adm agent.Admission) {
	if adm.Pending {
		fmt.Fprintf(a.out, "pending: an operator has to approve this machine: %s\n", adm.Note)
	} else {
		fmt.Fprintf(a.out, "enrolled as CI %s\n", adm.CI)
	}
	fmt.Fprintf(a.out, "key words: %s\n", adm.Words)
	if exe, err := os.Executable(); err == nil && !adm.Pending {
		fmt.Fprintf(a.err, "rollcall-agent: hint: send the first report with: %s once\n", exe)
	}
}
