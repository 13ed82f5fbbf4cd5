package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/identity"
)

func (a *app) joinCommand() *cobra.Command {
	var out string
	var show bool
	c := &cobra.Command{
		Use:   "join [SHARE...]",
		Short: "Restore an identity from its shares",
		Long: `Puts shares together and writes the private key into a new file that nobody else
may read. Without file names the shares are typed in, line by line; each line is
checked at once, and only as many are asked for as are needed. A share that is
damaged, of another set, there twice, or (with more than are needed) forged is
named.

With --show-private-key the key goes to standard output instead.`,
		Example: "  rollcall-recovery join --out school.key\n  rollcall-recovery join --out school.key share-1.txt share-4.txt share-5.txt",
		Args:    cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, files []string) error {
			if (out == "") == !show {
				return cmdline.Usagef("join needs --out FILE for the private key")
			}
			read := a.typedShares
			if len(files) > 0 {
				read = func() ([]named, error) { return sheetFiles(files) }
			}
			shares, err := read()
			if err != nil {
				return err
			}
			j, err := joinShares(shares)
			if err != nil {
				return err
			}
			if text := identityFile(j.private, j.public, a.now()); show {
				_, err = a.out.Write(text)
			} else if err = writeNew(out, text); err == nil {
				a.say("recipient  %s\nwords      %s", j.public, identity.WordsOf([]byte(j.public)))
			}
			return err
		},
	}
	c.Flags().StringVar(&out, "out", "", "new file for the private key")
	c.Flags().BoolVar(&show, "show-private-key", false, "print the private key")
	return c
}

// typedShares asks for shares until there are enough. A line that is wrong is
// asked for again, and so is a share that does not fit.
func (a *app) typedShares() ([]named, error) {
	in := bufio.NewScanner(io.LimitReader(a.in, 1<<20))
	var all []named
	for len(all) == 0 || len(all) < int(all[0].k) {
		if len(all) > 0 {
			fmt.Fprintf(a.err, "%d of %d shares of the set %s.\n", len(all), all[0].k, all[0].setName())
		}
		fmt.Fprintf(a.err, "The next share: %d lines of %d words each.\n", shareLines, perLine+1)
		s, err := a.typedShare(in, len(all)+1)
		if err != nil {
			return nil, err
		}
		if err := s.fits(all); err != nil {
			fmt.Fprintf(a.err, "rollcall-recovery: %v\n", err)
			continue
		}
		all = append(all, s)
	}
	return all, nil
}

// typedShare asks for one share.
func (a *app) typedShare(in *bufio.Scanner, number int) (named, error) {
	from := fmt.Sprintf("share %d that was typed in", number)
	for {
		var code []byte
		for len(code) < shareSize {
			line := len(code)/perLine + 1
			fmt.Fprintf(a.err, "%2d: ", line)
			if !in.Scan() {
				return named{}, errors.Join(fmt.Errorf("%s: the input ends at line %d", from, line), in.Err())
			}
			if strings.TrimSpace(in.Text()) == "" {
				continue
			}
			four, err := parseLine(line, in.Text())
			if err != nil {
				fmt.Fprintf(a.err, "rollcall-recovery: %v\n", err)
				continue
			}
			code = append(code, four...)
		}
		s, err := decodeShare(code)
		if err == nil {
			return named{s, from}, nil
		}
		fmt.Fprintf(a.err, "rollcall-recovery: %s: %v\n", from, err)
	}
}
