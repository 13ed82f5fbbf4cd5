package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) enrolTokenCommand() *cobra.Command {
	req := &rollcallv1.NewTokenRequest{}
	var out string
	var asJSON, netboot bool
	var batch, seats, days uint32
	c := &cobra.Command{
		Use:   "token",
		Short: "Make a token that admits machines",
		Long: `Makes a token that admits one machine, once. With --ci the machine takes over that
CI: for one that was installed anew or has a new disk; valid for a day. With
--batch N it admits N workstations or laptops of one site within a week: at once
from the networks of --net, else after approval.

With --netboot it lies in the boot image of machines without a disk, for up to
400 days. Everybody in the building can read it there, so it admits only from the
networks of --net, and what comes with it is a claim (trust class T0): it never
touches another CI, is given nothing sealed, and is no source of a restore. With
--image it names the CI of that image: seats say only what they have otherwise.

A token for a server, by --class or --ci, lets it wait until somebody else has
approved it. The token is a secret until it is used; it goes to standard output
or, with --out, into a file that you alone can read.

As JSON: {"token", "id", "expires", "file"}; with --out "token" is empty.`,
		Example: `  rollcall enrol token --site elm/north/b1/room12 --class workstation --out pc07.token
  rollcall enrol token --ci tjener --hours 2
  rollcall enrol token --needs-approval --name "loan laptops"
  rollcall enrol token --batch 30 --site elm/north/b1/room12 --class workstation --net 10.20.0.0/16
  rollcall enrol token --netboot --site elm/north --class diskless --net 10.20.0.0/16 --days 400`,
		Args: cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case netboot:
				req.Kind = "netboot"
				req.Uses = seats
			case c.Flags().Changed("batch"):
				req.Kind, req.Uses = "batch", batch
			}
			if days > 0 {
				req.ValidHours = 24 * min(days, 1000)
			}
			return a.newToken(c.Context(), req, out, asJSON)
		},
	}
	c.Flags().StringVar(&req.Site, "site", "", "`SITE` that the machine is put into")
	c.Flags().StringVar(&req.Class, "class", "", "`CLASS` of the machine")
	c.Flags().StringVar(&req.Ci, "ci", "", "the machine takes over the CI of this `NAME`")
	c.Flags().StringVar(&req.Name, "name", "", "a note for people")
	c.Flags().Uint32Var(&req.ValidHours, "hours", 24, "valid for `N` hours")
	c.Flags().Uint32Var(&days, "days", 0, "valid for `N` days, instead of --hours")
	c.Flags().Uint32Var(&batch, "batch", 0, "admits `N` machines, at most 500")
	c.Flags().BoolVar(&netboot, "netboot", false, "for the boot image of machines without a disk")
	c.Flags().Uint32Var(&seats, "seats", 500, "with --netboot: for at most `N` seats")
	c.Flags().StringVar(&req.Image, "image", "", "with --netboot: the token lies in the image of this `NAME`, a CI of class image")
	c.Flags().StringArrayVar(&req.Nets, "net", nil, "admits from this `CIDR` only; may be given several times")
	exclusive(c, "batch", "netboot", "ci")
	exclusive(c, "hours", "days")
	c.Flags().BoolVar(&req.NeedsApproval, "needs-approval", false, "the machine waits for an operator")
	c.Flags().StringVar(&out, "out", "", "write the token into this new `FILE`")
	jsonFlag(c, &asJSON)
	a.complete(c, "site", a.sites)
	a.complete(c, "class", fixed(classes...))
	a.complete(c, "ci", a.cis)
	a.complete(c, "image", a.cis)
	return c
}

type tokenJSON struct {
	Token   string `json:"token"`
	ID      string `json:"id"`
	Expires msTime `json:"expires"`
	File    string `json:"file"`
}

func (a *app) newToken(ctx context.Context, req *rollcallv1.NewTokenRequest, out string, asJSON bool) error {
	return a.ask(func(s *server) error {
		keep, err := secretFile(out)
		if err != nil {
			return err
		}
		reply, err := s.NewToken(ctx, req)
		if err != nil {
			return errors.Join(fmt.Errorf("make token: %w", err), keep.drop())
		}
		doc := tokenJSON{Token: reply.GetToken(), ID: reply.GetId(), Expires: msTime(reply.GetExpiresMs()), File: out}
		if out != "" {
			doc.Token = ""
			if err := keep.write(reply.GetToken()); err != nil {
				return err
			}
		}
		switch {
		case asJSON:
			return a.document(doc)
		case out == "":
			a.out.line("%s", reply.GetToken())
		default:
			a.out.line("token %s is in %s", reply.GetId(), out)
		}
		a.err.line("rollcall: it admits %s until %s; there: rollcall-agent enrol --token-file FILE", whom(req), a.when(reply.GetExpiresMs()))
		return nil
	})
}

// whom says what a token admits.
func whom(req *rollcallv1.NewTokenRequest) string {
	switch req.GetKind() {
	case "batch":
		return plural(req.GetUses(), "machine")
	case "netboot":
		return plural(req.GetUses(), "seat")
	}
	return "one machine"
}

// newSecret is a file that is made before the secret is, so that no secret is
// lost because it cannot be kept. It never replaces a file.
type newSecret struct{ f *os.File }

// secretFile makes the file; an empty name makes none.
func secretFile(name string) (newSecret, error) {
	if name == "" {
		return newSecret{}, nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return newSecret{}, cmdline.Hinted(fmt.Errorf("write token: %s is there already", name), "choose another file, or remove it")
	}
	if err != nil {
		return newSecret{}, fmt.Errorf("write token: %w", err)
	}
	return newSecret{f}, nil
}

func (n newSecret) write(secret string) error {
	_, err := n.f.WriteString(secret + "\n")
	if err == nil {
		err = n.f.Sync()
	}
	if err = errors.Join(err, n.f.Close()); err != nil {
		return fmt.Errorf("write token: %w", err)
	}
	return nil
}

// drop removes the file again.
func (n newSecret) drop() error {
	if n.f == nil {
		return nil
	}
	return errors.Join(n.f.Close(), os.Remove(n.f.Name()))
}
