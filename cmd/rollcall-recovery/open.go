package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
)

func (a *app) openCommand() *cobra.Command {
	var key, out string
	c := &cobra.Command{
		Use:   "open FILE",
		Short: "Open one sealed file",
		Long: `Opens a sealed file, NAME.age of the git mirror, and writes its content into a new
file that nobody else may read. With --out - it goes to standard output, but not
to a terminal, which would act upon what stands in it.

"age -d -i IDENTITY FILE | gunzip" does the same.`,
		Example: "  rollcall-recovery open --identity school.key --out shadow etc/shadow.age",
		Args:    cmdline.Exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			if key == "" || out == "" {
				return cmdline.Usagef("open needs --identity FILE and --out FILE, - for standard output")
			}
			if out == "-" && terminal(a.out) {
				return cmdline.Usagef("open: a secret is not written to a terminal; name a file with --out")
			}
			ids, err := identities(key)
			if err != nil {
				return err
			}
			content, err := openFile(args[0], ids)
			if err != nil {
				return err
			}
			if out != "-" {
				return writeNew(out, content)
			}
			if _, err := a.out.Write(content); err != nil {
				return fmt.Errorf("print: %w", err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&key, "identity", "", "file with the private key")
	c.Flags().StringVar(&out, "out", "", "new file for the content, - for standard output")
	return c
}
