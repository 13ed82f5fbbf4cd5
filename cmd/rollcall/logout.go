package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
)

func (a *app) logoutCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "logout",
		Short: "Forget the login",
		Long: `Removes the login that 'rollcall login' kept. The token itself stays valid: an
admin ends it with 'rollcall operator remove NAME'.`,
		Example: `  rollcall logout`,
		Args:    cmdline.Exactly(),
		RunE: func(*cobra.Command, []string) error {
			name, err := a.loginPath()
			if err != nil {
				return err
			}
			err = os.Remove(name)
			if errors.Is(err, fs.ErrNotExist) {
				a.err.line("rollcall: there is no login at %s", name)
				return nil
			}
			if err != nil {
				return fmt.Errorf("log out: %w", err)
			}
			a.out.line("logged out; %s is gone", name)
			return nil
		},
	}
}
