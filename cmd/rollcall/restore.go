package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) restoreCommand() *cobra.Command {
	var at string
	var asJSON bool
	c := &cobra.Command{
		Use:   "restore NAME",
		Short: "Show what a restore would bring back, and the commands for it",
		Long: `Shows what the server holds of a machine's /etc, as it is or was, and prints the
commands that bring it back. This command changes nothing.

The restore itself runs on the machine, with rollcall-agent: the server can ask
nothing of an agent. It first shows a plan, then changes only what you approve,
keeps a backup of what it replaces, and compares the result. Sealed secrets need
the age identity that opens them; withheld ones have to be set by hand. It asks
the server with an operator's login, or needs no server at all with a clone of
the git mirror: 'rollcall-agent restore --mirror FOLDER'.

As JSON: {"ci", "name", "at", "recorded", "revision", "report", "plain",
"sealed", "withheld", "too_big", "links", "folders", "other",
"changed_conffiles", "withheld_paths", "commands"}.`,
		Example: `  rollcall restore tjener
  rollcall restore tjener --at "2026-11-20 14:00"`,
		Args:              cmdline.Exactly("NAME"),
		ValidArgsFunction: a.first(a.cis),
		RunE: func(c *cobra.Command, args []string) error {
			return a.restore(c.Context(), args[0], at, asJSON)
		},
	}
	atFlag(c, &at)
	jsonFlag(c, &asJSON)
	return c
}

type restoreJSON struct {
	CI            string   `json:"ci"`
	Name          string   `json:"name"`
	At            msTime   `json:"at"` // null: now
	Recorded      msTime   `json:"recorded"`
	Revision      uint64   `json:"revision"`
	Report        string   `json:"report"`
	Plain         int      `json:"plain"`
	Sealed        int      `json:"sealed"`
	Withheld      int      `json:"withheld"`
	TooBig        int      `json:"too_big"`
	Links         int      `json:"links"`
	Folders       int      `json:"folders"`
	Other         int      `json:"other"`
	Drifted       int      `json:"changed_conffiles"`
	WithheldPaths []string `json:"withheld_paths"`
	Commands      []string `json:"commands"`
}

func (a *app) restore(ctx context.Context, name, atText string, asJSON bool) error {
	at, err := a.parseTime("at", atText, cmdline.End)
	if err != nil {
		return err
	}
	return a.ask(func(s *server) error {
		m, err := s.Manifest(ctx, &rollcallv1.ManifestRequest{Ci: name, AtMs: millis(at)})
		if err != nil {
			return fmt.Errorf("restore: %w", err)
		}
		doc, err := manifestOf(m)
		if err != nil {
			return fmt.Errorf("restore %s: %w", name, err)
		}
		doc.At = msTime(millis(at))
		doc.Commands = restoreCommands(doc)
		if asJSON {
			return a.document(doc)
		}
		a.showManifest(doc)
		return nil
	})
}

func manifestOf(m *rollcallv1.ManifestReply) (restoreJSON, error) {
	doc := restoreJSON{
		CI: m.GetCi(), Name: m.GetName(), Recorded: msTime(m.GetRecordedMs()), Revision: m.GetRevision(), Report: m.GetReport(),
		WithheldPaths: []string{},
	}
	for _, b := range m.GetSets() {
		set, err := fact.DecodeSet(b)
		if err != nil {
			return doc, err
		}
		for _, f := range set {
			if f.Section() == "conffile" {
				doc.Drifted++
				continue
			}
			if err := doc.count(f); err != nil {
				return doc, err
			}
		}
	}
	return doc, nil
}

func (d *restoreJSON) count(f fact.Fact) error {
	file, err := fact.ParseFile(f.Value)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	counters := map[fact.Kind]*int{
		fact.KindPlain: &d.Plain, fact.KindSealed: &d.Sealed, fact.KindKeyed: &d.Withheld, fact.KindTooBig: &d.TooBig,
		fact.KindLink: &d.Links, fact.KindDir: &d.Folders, fact.KindOther: &d.Other,
	}
	*counters[file.Kind]++
	if file.Kind == fact.KindKeyed || file.Kind == fact.KindTooBig {
		d.WithheldPaths = append(d.WithheldPaths, "/"+f.Path)
	}
	return nil
}

// restoreCommands are to be typed in this order, the first by the operator, the
// others on the machine.
func restoreCommands(d restoreJSON) []string {
	from := "rollcall-agent restore --from " + shellWord(d.Name)
	if d.At != 0 {
		b, _ := d.At.MarshalJSON() // a time always has a text
		from += " --at " + strings.Trim(string(b), `"`)
	}
	if d.Sealed > 0 {
		from += " --identity KEYFILE"
	}
	return []string{
		"rollcall enrol token --ci " + shellWord(d.Name) + " --out reinstall.token",
		"rollcall-agent enrol --token-file reinstall.token",
		from,
		from + " --apply",
	}
}

func (a *app) showManifest(d restoreJSON) {
	a.out.styled(bold, "%s, /etc as of revision %d", d.Name, d.Revision)
	rows := [][2]string{
		{"recorded", a.whenAgo(int64(d.Recorded))},
		{"report", orDash(d.Report)},
		{"plain files", fmt.Sprint(d.Plain)},
		{"sealed", fmt.Sprintf("%d (need the age identity)", d.Sealed)},
		{"withheld", fmt.Sprintf("%d (to be set by hand)", d.Withheld+d.TooBig)},
		{"links", fmt.Sprint(d.Links)},
		{"folders", fmt.Sprint(d.Folders)},
		{"conffiles", fmt.Sprintf("%d differ from their package", d.Drifted)},
	}
	if len(d.WithheldPaths) > 0 {
		rows = append(rows, [2]string{"by hand", some(d.WithheldPaths, 12)})
	}
	a.fields("  ", rows)
	a.out.line("\nThe machine restores itself; the server can ask nothing of it.")
	for i, step := range []string{
		"If it was installed anew, here: make a token that gives it its CI back",
		"and on the machine, with that token:",
		"On the machine: see the plan, nothing is changed (with your login: --login FILE)",
		"On the machine: do it, with a backup of what is replaced",
	} {
		a.out.line("\n%s", step)
		a.out.styled(cyan, "    %s", d.Commands[i])
	}
}

// shellWord quotes a word for a shell where that is needed (POSIX shell, 2.2.2).
func shellWord(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
