package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/identity"
	"rollcall/internal/seal"
)

type checking struct {
	recipient string
	sealed    []string
	shares    []string
}

func (a *app) checkCommand() *cobra.Command {
	var k checking
	c := &cobra.Command{
		Use:   "check [IDENTITY]",
		Short: "Check that an identity, its shares and sealed files belong together",
		Long: `Checks that a private key belongs to a --recipient, that it opens --sealed files,
and that --share files restore it. Without an IDENTITY the shares alone are
checked; they stay in memory. Nothing of a key or of a secret is printed. Do this
once a year, with sheets that are taken out of their envelopes for it.`,
		Example: `  rollcall-recovery check school.key --recipient age1… --sealed shadow.age
  rollcall-recovery check --share share-1.txt --share share-2.txt --share share-5.txt --sealed shadow.age`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 0 && len(k.shares) == 0 {
				return cmdline.Usagef("check: IDENTITY or --share FILE is missing")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return a.check(k, args) },
	}
	c.Flags().StringVar(&k.recipient, "recipient", "", "recipient that the identity must belong to")
	c.Flags().StringArrayVar(&k.sealed, "sealed", nil, "sealed file that it must open")
	c.Flags().StringArrayVar(&k.shares, "share", nil, "file with a share; give as many as are needed")
	return c
}

func (a *app) check(k checking, args []string) error {
	var ids seal.Identities
	var err error
	if len(args) > 0 {
		if ids, err = identities(args[0]); err != nil {
			return err
		}
		for _, r := range ids.Recipients() {
			a.say("identity   belongs to %s\n           %s", r, identity.WordsOf([]byte(r)))
		}
	}
	var bad []error
	if len(k.shares) > 0 {
		j, n, err := a.checkShares(k.shares)
		switch {
		case err != nil:
			bad = append(bad, err)
		case len(args) == 0:
			if ids, err = seal.ParseIdentities(strings.NewReader(j.private)); err != nil {
				return err
			}
		case !slices.Contains(ids.Recipients(), j.public):
			bad = append(bad, fmt.Errorf("the %d shares restore another key than that of %s: that of %s", n, args[0], j.public))
		}
	}
	if k.recipient != "" {
		if slices.Contains(ids.Recipients(), strings.TrimSpace(k.recipient)) {
			a.say("recipient  is that of the identity")
		} else {
			bad = append(bad, fmt.Errorf("recipient %.80q is not that of the identity", k.recipient))
		}
	}
	for _, name := range k.sealed {
		content, err := openFile(name, ids)
		if err != nil {
			bad = append(bad, err)
			continue
		}
		a.say("sealed     %s opens: %d bytes", name, len(content))
		clear(content)
	}
	return errors.Join(bad...)
}

func (a *app) checkShares(files []string) (joined, int, error) {
	shares, err := sheetFiles(files)
	if err != nil {
		return joined{}, 0, err
	}
	j, err := joinShares(shares)
	if err != nil {
		return joined{}, len(shares), err
	}
	a.say("shares     %d of the set %s, %d are needed: restore the key of\n           %s", len(shares), shares[0].setName(), shares[0].k, j.public)
	return j, len(shares), nil
}

// maxSealed bounds a sealed file: what agents keep has 16 MiB.
const maxSealed = 17 << 20

func openFile(name string, ids seal.Identities) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("open sealed file: %w", err)
	}
	if info.Size() > maxSealed {
		return nil, fmt.Errorf("open sealed file %s: larger than %d MiB", name, maxSealed>>20)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("open sealed file: %w", err)
	}
	content, err := seal.Open(b, ids, maxSealed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return content, nil
}
