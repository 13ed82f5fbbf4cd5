package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) fileLogCommand() *cobra.Command {
	var asJSON bool
	var limit uint32
	c := &cobra.Command{
		Use:   "log MACHINE:/etc/PATH",
		Short: "Show who changed one file when, newest first",
		Long: `Shows the revisions of a machine that changed one file, newest first.

As JSON: {"ci", "path", "entries": [{"revision", "recorded", "by", "reason",
"summary", "file": {"kind", "mode", "owner", "group", "target", "sha256",
"since"}}]}; "kind" is empty where the file went away.`,
		Example: `  rollcall file log tjener:/etc/cups/cupsd.conf
  rollcall file log tjener:/etc/hosts --limit 5 --json`,
		Args:              cmdline.Exactly("MACHINE:/etc/PATH"),
		ValidArgsFunction: a.first(a.machineFiles),
		RunE: func(c *cobra.Command, args []string) error {
			return a.fileLog(c.Context(), args[0], limit, asJSON)
		},
	}
	jsonFlag(c, &asJSON)
	c.Flags().Uint32Var(&limit, "limit", 100, "at most `N` revisions")
	return c
}

type logEntryJSON struct {
	Revision uint64   `json:"revision"`
	Recorded msTime   `json:"recorded"`
	By       string   `json:"by"`
	Reason   string   `json:"reason"`
	Summary  string   `json:"summary"`
	File     fileJSON `json:"file"`
}

type fileLogJSON struct {
	CI      string         `json:"ci"`
	Path    string         `json:"path"`
	Entries []logEntryJSON `json:"entries"`
}

func (a *app) fileLog(ctx context.Context, arg string, limit uint32, asJSON bool) error {
	ci, path, err := splitFile(arg)
	if err != nil {
		return err
	}
	return a.ask(func(s *server) error {
		reply, err := s.FileLog(ctx, &rollcallv1.FileLogRequest{Ci: ci, Path: path, Limit: limit})
		if err != nil {
			return fmt.Errorf("file log: %w", err)
		}
		doc := fileLogJSON{CI: ci, Path: path, Entries: []logEntryJSON{}}
		t := table{header: []string{"WHEN", "REV", "BY", "FILE"}, right: map[int]bool{1: true}, elastic: 3}
		for _, e := range reply.GetEntries() {
			f, there, err := parseValue(e.GetValue())
			if err != nil {
				return fmt.Errorf("file log %s: revision %d: %w", arg, e.GetRevision(), err)
			}
			what := "removed"
			if there {
				what = fileWords(f)
			}
			t.row(a.when(e.GetRecordedMs()), fmt.Sprint(e.GetRevision()), byWords(e.GetBy()), what)
			entry := logEntryJSON{e.GetRevision(), msTime(e.GetRecordedMs()), e.GetBy(), e.GetReason(), e.GetSummary(), fileJSON{}}
			if entry.File, err = fileOf(e.GetValue(), e.GetRecordedMs()); err != nil {
				return fmt.Errorf("file log %s: revision %d: %w", arg, e.GetRevision(), err)
			}
			doc.Entries = append(doc.Entries, entry)
		}
		if asJSON {
			return a.document(doc)
		}
		t.write(a.out)
		return nil
	})
}
