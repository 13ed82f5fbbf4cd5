package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/identity"
)

var errNotLoggedIn = errors.New("you are not logged in")

// loginPath tells where the login is kept: --login, else ROLLCALL_CONFIG, else
// the user's configuration folder (XDG Base Directory Specification).
func (a *app) loginPath() (string, error) {
	if a.loginFile != "" {
		return a.loginFile, nil
	}
	if f := a.getenv("ROLLCALL_CONFIG"); f != "" {
		return f, nil
	}
	dir := a.getenv("XDG_CONFIG_HOME")
	if dir == "" || !filepath.IsAbs(dir) {
		home := a.getenv("HOME")
		if home == "" {
			return "", errors.New("where is your login kept? neither HOME nor XDG_CONFIG_HOME is set" + cmdline.HintMark + "name a file with --login")
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "rollcall", "login"), nil
}

// loadLogin reads the login. It refuses a file that others can read.
func (a *app) loadLogin() (identity.Token, error) {
	name, err := a.loginPath()
	if err != nil {
		return identity.Token{}, err
	}
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return identity.Token{}, cmdline.Hinted(errNotLoggedIn, "run 'rollcall login'; an admin makes a login with 'rollcall operator add NAME'")
	}
	if err != nil {
		return identity.Token{}, fmt.Errorf("read login: %w", err)
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return identity.Token{}, cmdline.Hinted(fmt.Errorf("login %s: mode %04o lets others read it", name, perm), "chmod 600 %s, or better ask an admin for a new login", name)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return identity.Token{}, fmt.Errorf("read login: %w", err)
	}
	t, err := identity.ParseToken(identity.LoginPrefix, string(b))
	if err != nil {
		return t, cmdline.Hinted(fmt.Errorf("login %s: %w", name, err), "log in again: rollcall login")
	}
	return t, nil
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
