package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/internal/seal"
)

func (a *app) rewrapCommand() *cobra.Command {
	var key, to string
	c := &cobra.Command{
		Use:   "rewrap REQUEST ANSWER",
		Short: "Re-encrypt what a machine needs for its restore to that machine",
		Long: `Opens the sealed files of a request, which 'rollcall-agent restore --sealed-out'
wrote, and writes an answer that opens on the machine that asked and nowhere else:
'rollcall-agent restore --sealed-in' takes it there.

First it lists what is asked for and asks for the eight words that 'rollcall-agent
restore-key' prints on the console of that machine. Read them there, not from the
request: they are what keeps somebody between from getting the secrets. With other
words nothing is written. --to compares the whole recipient as well.`,
		Example: "  rollcall-recovery rewrap --identity school.key /media/usb/ask.rc /media/usb/answer.rc",
		Args:    cmdline.Exactly("REQUEST", "ANSWER"),
		RunE: func(_ *cobra.Command, args []string) error {
			if key == "" {
				return cmdline.Usagef("rewrap needs --identity FILE")
			}
			return a.rewrap(key, to, args[0], args[1])
		},
	}
	c.Flags().StringVar(&key, "identity", "", "file with the private key")
	c.Flags().StringVar(&to, "to", "", "recipient of the machine that the request must name")
	return c
}

func (a *app) rewrap(key, to, from, into string) error {
	ids, err := identities(key)
	if err != nil {
		return err
	}
	r, err := request(from)
	if err != nil {
		return err
	}
	if to != "" && to != r.Target {
		return fmt.Errorf("%s: it asks for the recipient %s, not the one of --to", from, r.Target)
	}
	fmt.Fprintf(a.err, "%s asks for %d sealed contents of %s (%s):\n", from, len(r.Files), fact.Value(r.Name), fact.Value(r.CI))
	for _, f := range r.Files {
		for _, p := range f.Paths {
			fmt.Fprintf(a.err, "  /%s\n", fact.Value(p))
		}
	}
	if err := a.confirm(r.Target); err != nil {
		return err
	}
	answer, left, err := r.Answer(ids)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	if err := writeNew(into, answer); err != nil {
		return err
	}
	for _, u := range left {
		for _, p := range u.Paths {
			fmt.Fprintf(a.err, "rollcall-recovery: /%s is left out: %v\n", fact.Value(p), u.Err)
		}
	}
	a.say("%d contents in %s open on the machine with these words alone", len(r.Files)-len(left), into)
	if len(left) > 0 {
		return fmt.Errorf("%d of %d contents could not be opened", len(left), len(r.Files))
	}
	return nil
}

// confirm lets the operator type in the words of the machine.
func (a *app) confirm(target string) error {
	fmt.Fprint(a.err, "The eight words on that machine's console (rollcall-agent restore-key): ")
	line, err := bufio.NewReader(io.LimitReader(a.in, 4096)).ReadString('\n')
	if err != nil && err != io.EOF {
		return fmt.Errorf("read words: %w", err)
	}
	typed := strings.FieldsFunc(strings.ToLower(line), func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("-,.", r) })
	if strings.Join(typed, "-") != identity.WordsOf([]byte(target)) {
		return cmdline.Hinted(fmt.Errorf("these are not the words of the key that the request names; nothing was written"),
			"read them once more from the console of the machine itself; if they still differ, the request is not from that machine")
	}
	return nil
}

func request(name string) (seal.Request, error) {
	f, err := os.Open(name)
	if err != nil {
		return seal.Request{}, fmt.Errorf("read request: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, seal.MaxRequest+1))
	if err != nil {
		return seal.Request{}, fmt.Errorf("read request %s: %w", name, err)
	}
	if len(b) > seal.MaxRequest {
		return seal.Request{}, fmt.Errorf("read request %s: larger than %d MiB", name, seal.MaxRequest>>20)
	}
	r, err := seal.ParseRequest(b)
	if err != nil {
		return seal.Request{}, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}
