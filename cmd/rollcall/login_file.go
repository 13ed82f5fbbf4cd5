package main

import (
	"fmt"
	"os"
	"path/filepath"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/identity"
)

// loginPath tells where the login is kept.
func (a *app) loginPath() (string, error) {
	if a.loginFile != "" {
		return a.loginFile, nil
	}
	return cmdline.LoginFile(a.getenv)
}

// loadLogin reads the login. It refuses a file that others can read.
func (a *app) loadLogin() (identity.Token, error) {
	name, err := a.loginPath()
	if err != nil {
		return identity.Token{}, err
	}
	return cmdline.LoadLogin(name)
}

// saveLogin keeps a login for the next commands, readable by its owner alone.
func (a *app) saveLogin(text string) (name string, err error) {
	if name, err = a.loginPath(); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return "", fmt.Errorf("keep login: %w", err)
	}
	return name, identity.WriteFile(name, []byte(text+"\n"))
}
