package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/conf"
)

type splitting struct {
	shares, need int
	dir          string
	print        bool
}

func (a *app) splitCommand() *cobra.Command {
	var s splitting
	c := &cobra.Command{
		Use:   "split IDENTITY",
		Short: "Split an identity into shares for paper",
		Long: `Splits the private key in a file into shares (Shamir's secret sharing): any --need
of them restore it, fewer say nothing about it. Each share is a sheet of numbered
lines of words, made to be printed, read aloud and typed in; it names its set, how
many are needed, and the recipient that it belongs to. Before anything is written
the shares are read back and joined.

They go into new files share-1.txt and so on in --out-dir, or with --print to
standard output, one page each, for a printer that keeps no copies.`,
		Example: "  rollcall-recovery split --shares 5 --need 3 --out-dir /media/usb school.key\n  rollcall-recovery split --print school.key | lp",
		Args:    cmdline.Exactly("IDENTITY"),
		RunE: func(_ *cobra.Command, args []string) error {
			if (s.dir == "") == !s.print {
				return cmdline.Usagef("split needs --out-dir FOLDER or --print")
			}
			if s.need < 2 || s.shares < s.need || s.shares > maxShares {
				return cmdline.Usagef("--need %d of --shares %d: want at least 2, and at most %d shares", s.need, s.shares, maxShares)
			}
			return a.split(s, args[0])
		},
	}
	c.Flags().IntVar(&s.shares, "shares", 5, "how many shares to make")
	c.Flags().IntVar(&s.need, "need", 3, "how many of them restore the key")
	c.Flags().StringVar(&s.dir, "out-dir", "", "folder for the files of the shares")
	c.Flags().BoolVar(&s.print, "print", false, "print the shares to standard output")
	return c
}

func (a *app) split(s splitting, file string) error {
	private, public, err := single(file)
	if err != nil {
		return err
	}
	shares, err := splitIdentity(private, public, s.need, s.shares, a.random)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	sheets := make([][]byte, len(shares))
	for i, sh := range shares {
		sheets[i] = sh.sheet(public, a.now())
	}
	if err := proof(sheets, s.need, private); err != nil {
		return err
	}
	if s.print {
		_, err := a.out.Write(append(bytes.Join(sheets, []byte("\f")), '\f'))
		return err
	}
	for i, sheet := range sheets {
		if err := writeNew(filepath.Join(s.dir, fmt.Sprintf("share-%d.txt", shares[i].x)), sheet); err != nil {
			return err
		}
	}
	a.say("%d shares of the set %s are in %s; any %d restore the key of\n%s", len(shares), shares[0].setName(), s.dir, s.need, public)
	return nil
}

// proof joins what was made, as it was printed, before anybody relies on it:
// each window of as many sheets as are needed, so that each sheet is in one.
func proof(sheets [][]byte, need int, private string) error {
	for i := range sheets {
		var all []named
		for j := range need {
			some, err := parseSheets(string(sheets[(i+j)%len(sheets)]), "the new share")
			if err != nil {
				return err
			}
			all = append(all, some...)
		}
		j, err := joinShares(all)
		if err != nil {
			return err
		}
		if j.private != private {
			return fmt.Errorf("the new shares do not restore the key; nothing was written")
		}
	}
	return nil
}

// single reads a file with one private key and returns its text and recipient.
func single(file string) (private, public string, err error) {
	ids, err := identities(file)
	if err != nil {
		return "", "", err
	}
	if ids.Len() != 1 {
		return "", "", fmt.Errorf("%s: %d private keys in it: split one at a time", file, ids.Len())
	}
	text, err := conf.ReadSecret(file)
	if err != nil {
		return "", "", err
	}
	defer clear(text)
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			private = strings.ToUpper(line)
		}
	}
	return private, ids.Recipients()[0], nil
}

// sheetFiles reads files with shares.
func sheetFiles(files []string) ([]named, error) {
	var all []named
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read share: %w", err)
		}
		some, err := parseSheets(string(text), name)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}
