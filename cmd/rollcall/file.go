package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/fact"
)

func (a *app) fileCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "file",
		Short: "Show a machine's files below /etc as they are and were",
		Long: `Shows files below /etc of any machine at any time, who changed them when, and how.
A file is written as MACHINE:/etc/PATH. The contents of secrets are never shown:
the server has only what the machine sealed, or a fingerprint.`,
		Example: `  rollcall file show tjener:/etc/cups/cupsd.conf
  rollcall file diff tjener:/etc/cups/cupsd.conf --from 7d`,
	}
	c.AddCommand(a.fileShowCommand(), a.fileLogCommand(), a.fileDiffCommand())
	return c
}

// splitFile cuts MACHINE:/etc/PATH.
func splitFile(arg string) (ci, path string, err error) {
	ci, path, ok := strings.Cut(arg, ":")
	if ok && strings.HasPrefix(path, "etc/") {
		path = "/" + path
	}
	if !ok || ci == "" || !strings.HasPrefix(path, "/etc/") {
		return "", "", cmdline.Hinted(cmdline.Usagef("%q is no MACHINE:/etc/PATH", arg), "for example tjener:/etc/hosts; only files below /etc are kept")
	}
	return ci, path, nil
}

// fileJSON is what is known about one file at one time.
type fileJSON struct {
	Kind   string `json:"kind"` // plain, sealed, fingerprint, too-big, dir, link, other; "" where there is none
	Mode   string `json:"mode,omitempty"`
	Owner  string `json:"owner,omitempty"`
	Group  string `json:"group,omitempty"`
	Target string `json:"target,omitempty"`
	Digest string `json:"sha256,omitempty"`
	Since  msTime `json:"since"`

	content string // differs where the content does
}

// kindNames names fact.Kind for people and JSON.
func kindName(k fact.Kind) string {
	switch k {
	case fact.KindPlain:
		return "plain"
	case fact.KindKeyed:
		return "fingerprint"
	case fact.KindTooBig:
		return "too-big"
	}
	return string(k)
}

// parseValue reads a file's value; an empty one is a file that is not there.
func parseValue(value string) (f fact.File, there bool, err error) {
	if value == "" {
		return fact.File{}, false, nil
	}
	f, err = fact.ParseFile(value)
	return f, err == nil, err
}

func fileOf(value string, since int64) (fileJSON, error) {
	f, there, err := parseValue(value)
	out := fileJSON{Since: msTime(since)}
	if err != nil || !there {
		return out, err
	}
	out.Kind, out.Mode, out.Owner, out.Group = kindName(f.Kind), fmt.Sprintf("%04o", fact.UnixMode(f.Mode)), f.Owner, f.Group
	out.Target = fact.Escape(f.Target)
	out.content = f.Digest.String() + f.Fingerprint
	if f.Kind == fact.KindSealed {
		out.content = f.Fingerprint // the same secret sealed anew has other ciphertext
	}
	if !f.Digest.IsZero() {
		out.Digest = f.Digest.String()
	}
	return out, nil
}

// fileWords says what a file is, in one line.
func fileWords(f fact.File) string {
	what := map[fact.Kind]string{
		fact.KindPlain:  "file",
		fact.KindSealed: "secret, sealed on the machine",
		fact.KindKeyed:  "secret, fingerprint only",
		fact.KindTooBig: "file, too big to keep",
		fact.KindDir:    "folder",
		fact.KindLink:   "link to " + fact.Escape(f.Target),
		fact.KindOther:  "neither file, folder nor link",
	}[f.Kind]
	return fmt.Sprintf("%s, %04o %s:%s", what, fact.UnixMode(f.Mode), f.Owner, f.Group)
}

// withheld says why a file has no content to show.
func withheld(f fact.File) string {
	switch f.Kind {
	case fact.KindSealed:
		return "its content is a secret that the machine sealed: only the age identity opens it, see 'rollcall restore'"
	case fact.KindKeyed:
		return "its content is a secret that never left the machine: only a fingerprint is kept"
	case fact.KindTooBig:
		return "its content was too big to keep: only its SHA-256 is known"
	case fact.KindDir, fact.KindLink, fact.KindOther:
		return "it has no content"
	}
	return "the server does not have its content"
}
