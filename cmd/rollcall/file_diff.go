package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) fileDiffCommand() *cobra.Command {
	var at, from string
	var asJSON bool
	c := &cobra.Command{
		Use:   "diff MACHINE:/etc/PATH",
		Short: "Show how one file changed, as a unified diff",
		Long: `Shows how a file differs from what it was before its last change, or at another
time (--from), as a unified diff; changes of mode, owner and group stand above
it. Of secrets and binary files it says that they differ.

As JSON: {"ci", "path", "old", "new", "binary", "same", "diff"}; "old" and "new"
as "file" in 'rollcall file log'.`,
		Example: `  rollcall file diff tjener:/etc/cups/cupsd.conf
  rollcall file diff tjener:/etc/cups/cupsd.conf --from 2026-11-01 --at yesterday`,
		Args:              cmdline.Exactly("MACHINE:/etc/PATH"),
		ValidArgsFunction: a.first(a.machineFiles),
		RunE: func(c *cobra.Command, args []string) error {
			return a.diffFile(c.Context(), args[0], from, at, asJSON)
		},
	}
	atFlag(c, &at)
	jsonFlag(c, &asJSON)
	c.Flags().StringVar(&from, "from", "", "compare with this `TIME` instead of the change before")
	return c
}

type diffJSON struct {
	CI     string   `json:"ci"`
	Path   string   `json:"path"`
	Old    fileJSON `json:"old"`
	New    fileJSON `json:"new"`
	Binary bool     `json:"binary"`
	Same   bool     `json:"same"`
	Diff   string   `json:"diff"`
}

func (a *app) diffFile(ctx context.Context, arg, fromText, atText string, asJSON bool) error {
	ci, path, err := splitFile(arg)
	if err != nil {
		return err
	}
	at, err := a.parseTime("at", atText, cmdline.End)
	if err != nil {
		return err
	}
	from, err := a.parseTime("from", fromText, cmdline.End)
	if err != nil {
		return err
	}
	if !at.IsZero() && from.After(at) {
		return cmdline.Usagef("--from is after --at: write them the other way round")
	}
	return a.ask(func(s *server) error {
		reply, err := s.File(ctx, &rollcallv1.FileRequest{Ci: ci, Path: path, AtMs: millis(at), FromMs: millis(from), Diff: true})
		if err != nil {
			return fmt.Errorf("file diff: %w", err)
		}
		doc := diffJSON{CI: ci, Path: path, Binary: reply.GetBinary(), Same: reply.GetOldValue() == reply.GetValue()}
		if doc.Old, err = fileOf(reply.GetOldValue(), reply.GetOldSinceMs()); err == nil {
			doc.New, err = fileOf(reply.GetValue(), reply.GetSinceMs())
		}
		if err != nil {
			return fmt.Errorf("file diff %s: %w", arg, err)
		}
		if !doc.Binary {
			doc.Diff = unified(path, reply)
		}
		if asJSON {
			return a.document(doc)
		}
		a.showDiff(doc, reply)
		return nil
	})
}

// unified returns the differing lines, or "" where a side has no content to
// compare. A side that is not there counts as empty.
func unified(path string, reply *rollcallv1.FileReply) string {
	if reply.GetOldValue() != "" && !reply.GetOldHasContent() || reply.GetValue() != "" && !reply.GetHasContent() {
		return ""
	}
	old, now := "a"+path, "b"+path
	if reply.GetOldValue() == "" {
		old = "/dev/null"
	}
	if reply.GetValue() == "" {
		now = "/dev/null"
	}
	text := diff.Diff(old, reply.GetOldContent(), now, reply.GetContent())
	_, text, _ = bytes.Cut(text, []byte("\n")) // the line "diff old new" says nothing more
	return string(text)
}

func (a *app) showDiff(doc diffJSON, reply *rollcallv1.FileReply) {
	a.err.styled(faint, "%s:%s: %s → %s", doc.CI, doc.Path, sideWords(a, doc.Old), sideWords(a, doc.New))
	if doc.Same {
		a.err.line("rollcall: no difference")
		return
	}
	for _, d := range []struct{ what, old, now string }{
		{"kind", doc.Old.Kind, doc.New.Kind},
		{"target", doc.Old.Target, doc.New.Target},
		{"mode", doc.Old.Mode, doc.New.Mode},
		{"owner", doc.Old.Owner, doc.New.Owner},
		{"group", doc.Old.Group, doc.New.Group},
	} {
		if d.old != d.now && doc.Old.Kind != "" && doc.New.Kind != "" {
			a.out.line("%s %s → %s", d.what, orDash(d.old), orDash(d.now))
		}
	}
	switch {
	case doc.Diff != "":
		for l := range strings.Lines(doc.Diff) {
			a.out.text(diffStyle(l), strings.TrimSuffix(l, "\n"))
			a.out.text(plain, "\n")
		}
	case doc.Binary:
		a.out.line("binary contents differ: %d → %d bytes; 'rollcall file show --raw' gives each", len(reply.GetOldContent()), len(reply.GetContent()))
	case doc.Old.content != doc.New.content || doc.Old.Kind != doc.New.Kind:
		a.out.line("the contents differ; %s", whyNoDiff(reply))
	case doc.Old.Digest != doc.New.Digest:
		a.err.line("rollcall: the same secret, sealed anew")
	}
}

// whyNoDiff says which side cannot be shown, and why.
func whyNoDiff(reply *rollcallv1.FileReply) string {
	value := reply.GetValue()
	if value == "" || reply.GetHasContent() {
		value = reply.GetOldValue()
	}
	f, there, err := parseValue(value)
	if err != nil || !there {
		return "there is nothing to show"
	}
	return withheld(f)
}

func sideWords(a *app, f fileJSON) string {
	switch {
	case f.Kind == "" && f.Since == 0:
		return "not there"
	case f.Kind == "":
		return "gone since " + a.when(int64(f.Since))
	}
	return "since " + a.when(int64(f.Since))
}

func diffStyle(line string) style {
	switch {
	case strings.HasPrefix(line, "---"), strings.HasPrefix(line, "+++"):
		return bold
	case strings.HasPrefix(line, "@@"):
		return cyan
	case strings.HasPrefix(line, "+"):
		return green
	case strings.HasPrefix(line, "-"):
		return red
	}
	return plain
}
