package main

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"rollcall/agent"
	"rollcall/cmd/internal/cmdline"
)

// Where a boot image has its token, and what it tells of itself.
const (
	imageToken = "/etc/rollcall/netboot.token"
	imageFile  = "/etc/rollcall/image"
)

// booting is how a machine without a disk reports.
type booting struct {
	stateless   bool
	token, file string
	patience    time.Duration
}

func (b *booting) flags(c *cobra.Command) {
	c.Flags().BoolVar(&b.stateless, "stateless", false, "claim a seat with the token of the boot image; keep nothing")
	c.Flags().StringVar(&b.token, "token-file", imageToken, "with --stateless: `FILE` that holds the token")
	c.Flags().StringVar(&b.file, "image", imageFile, "with --stateless: `FILE` that 'rollcall-agent image' wrote; it may be missing")
	c.Flags().DurationVar(&b.patience, "patience", 10*time.Minute, "with --stateless: how long to try")
}

// seat reads what a boot image brings along; nil without --stateless.
func (a *app) seat(b booting) (*agent.Seat, error) {
	if !b.stateless {
		return nil, nil
	}
	token, err := a.token(b.token)
	if err != nil {
		return nil, err
	}
	s := &agent.Seat{Token: token, Patience: b.patience}
	image, err := agent.ReadImage(b.file)
	switch {
	case err == nil:
		s.Image = &image
	case errors.Is(err, fs.ErrNotExist) && b.file == imageFile:
	default:
		return nil, err
	}
	return s, nil
}

func (a *app) imageCommand() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "image",
		Short: "Write what a boot image tells of itself, into the image",
		Long: `Writes what the server has of a boot image into a file of that image, so that a
machine which boots it ("rollcall-agent once --stateless") says only what is
different. The image is a CI of class image: enrol its folder with a state folder of
its own, on the machine where it is made, and report it first. The file holds what
the CI holds, and no secret.`,
		Example: `  rollcall-agent enrol --root /srv/ltsp/x86_64 --state /var/lib/rollcall-image --token-file image.token
  rollcall-agent once --root /srv/ltsp/x86_64 --state /var/lib/rollcall-image
  rollcall-agent image --state /var/lib/rollcall-image --out /srv/ltsp/x86_64/etc/rollcall/image`,
		Args: cmdline.Exactly(),
		RunE: func(*cobra.Command, []string) error {
			if out == "" {
				return cmdline.Usagef("image needs --out FILE")
			}
			cfg, err := a.settings()
			if err != nil {
				return err
			}
			i, err := agent.ImageOf(cfg)
			if err == nil {
				err = agent.WriteImage(out, i)
			}
			if err != nil {
				return err
			}
			n := 0
			for _, set := range i.Sets {
				n += len(set)
			}
			fmt.Fprintf(a.out, "%s: %d facts of image %s\n", out, n, i.CI)
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "", "the `FILE`, below the folder of the image")
	return c
}
