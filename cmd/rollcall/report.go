package main

import (
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) reportCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "report",
		Short: "Questions that are asked again and again",
		Long: `Reports are questions that are written down on the server, with parameters: for
the operator on the phone, the technician before a dead server, the auditor with a
list of barcodes, the principal and the change board. docs/reports.md lists them.`,
		Example: `  rollcall report list
  rollcall report run silent days=30
  rollcall report run inventory --site elm/north --format csv --out inventory.csv`,
	}
	c.AddCommand(a.reportListCommand(), a.reportRunCommand())
	return c
}

// language is that of who runs the program, as POSIX says it (setlocale(3)).
func (a *app) language(flag string) string {
	for _, lang := range []string{flag, a.getenv("LC_ALL"), a.getenv("LC_MESSAGES"), a.getenv("LANG")} {
		if lang != "" {
			return lang
		}
	}
	return ""
}

func (a *app) langFlag(c *cobra.Command, lang *string) {
	c.Flags().StringVar(lang, "lang", "", "titles and headings in this `LANGUAGE`: en, nb (default: that of LANG)")
	a.complete(c, "lang", fixed("en", "nb"))
}

// paramsOf reads "days=30 model=*".
func paramsOf(words []string) (params map[string]string, bad string) {
	params = map[string]string{}
	for _, w := range words {
		name, value, ok := strings.Cut(w, "=")
		if _, twice := params[name]; !ok || name == "" || twice {
			return nil, w
		}
		params[name] = value
	}
	return params, ""
}
