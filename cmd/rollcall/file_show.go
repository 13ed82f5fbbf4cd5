package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) fileShowCommand() *cobra.Command {
	var at string
	var asJSON, raw bool
	c := &cobra.Command{
		Use:   "show MACHINE:/etc/PATH",
		Short: "Show one file as it is or was",
		Long: `Writes the content of a file to standard output. Characters that could command a
terminal, and bytes that are not UTF-8, are shown as %XX; --raw writes exactly
the bytes of the file, for a pipe or another file.

As JSON: {"ci", "path", "at", "kind", "mode", "owner", "group", "target",
"sha256", "since", "binary", "content", "content_base64"}: "content" for text,
"content_base64" for what is not, both null where there is none to show.`,
		Example: `  rollcall file show tjener:/etc/cups/cupsd.conf
  rollcall file show tjener:/etc/cups/cupsd.conf --at yesterday --raw > cupsd.conf`,
		Args:              cmdline.Exactly("MACHINE:/etc/PATH"),
		ValidArgsFunction: a.first(a.machineFiles),
		RunE: func(c *cobra.Command, args []string) error {
			return a.showFile(c.Context(), args[0], at, asJSON, raw)
		},
	}
	atFlag(c, &at)
	jsonFlag(c, &asJSON)
	c.Flags().BoolVar(&raw, "raw", false, "exactly the bytes of the file")
	exclusive(c, "json", "raw")
	return c
}

type showFileJSON struct {
	CI   string `json:"ci"`
	Path string `json:"path"`
	At   msTime `json:"at"` // null: now
	fileJSON
	Binary  bool    `json:"binary"`
	Content *string `json:"content"`
	Base64  []byte  `json:"content_base64"`
}

func (a *app) showFile(ctx context.Context, arg, atText string, asJSON, raw bool) error {
	ci, path, err := splitFile(arg)
	if err != nil {
		return err
	}
	at, err := a.parseTime("at", atText, cmdline.End)
	if err != nil {
		return err
	}
	return a.ask(func(s *server) error {
		reply, err := s.File(ctx, &rollcallv1.FileRequest{Ci: ci, Path: path, AtMs: millis(at)})
		if err != nil {
			return fmt.Errorf("show file: %w", err)
		}
		if asJSON {
			doc := showFileJSON{CI: ci, Path: path, At: msTime(millis(at)), Binary: reply.GetBinary()}
			if doc.fileJSON, err = fileOf(reply.GetValue(), reply.GetSinceMs()); err != nil {
				return fmt.Errorf("show file: %w", err)
			}
			switch text := string(reply.GetContent()); {
			case !reply.GetHasContent():
			case reply.GetBinary():
				doc.Base64 = append([]byte{}, reply.GetContent()...)
			default:
				doc.Content = &text
			}
			return a.document(doc)
		}
		return a.showContent(arg, reply, raw)
	})
}

func (a *app) showContent(arg string, reply *rollcallv1.FileReply, raw bool) error {
	f, there, err := parseValue(reply.GetValue())
	switch {
	case err != nil:
		return fmt.Errorf("show file %s: %w", arg, err)
	case !there:
		return cmdline.Hinted(fmt.Errorf("show file %s: it is gone since %s", arg, a.when(reply.GetSinceMs())), "'rollcall file log %s' tells its history", arg)
	}
	a.err.styled(faint, "%s: %s, like this since %s", arg, fileWords(f), a.whenAgo(reply.GetSinceMs()))
	if !reply.GetHasContent() {
		switch f.Kind {
		case fact.KindDir, fact.KindLink, fact.KindOther: // the line above says it all
			return nil
		}
		return fmt.Errorf("show file %s: %s", arg, withheld(f))
	}
	content := string(reply.GetContent())
	switch {
	case raw && a.out.tty && inert(content) != content:
		return cmdline.Hinted(errors.New("show file: it holds control characters, which a terminal would obey"), "send it into a file: rollcall file show %s --raw > FILE", arg)
	case raw:
		a.out.raw(reply.GetContent())
	default:
		a.out.text(plain, content)
		if inert(content) != content {
			a.err.line("rollcall: some bytes are shown as %%XX; --raw gives the file as it is")
		}
	}
	return nil
}
