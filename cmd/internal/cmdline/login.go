package cmdline

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"rollcall/internal/conf"
	"rollcall/internal/identity"
)

// LoginFile tells where a person's login is kept, unless another file is named:
// ROLLCALL_CONFIG, else below the configuration folder (XDG Base Directory
// Specification).
func LoginFile(getenv func(string) string) (string, error) {
	if f := getenv("ROLLCALL_CONFIG"); f != "" {
		return f, nil
	}
	dir := getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(dir) {
		home := getenv("HOME")
		if home == "" {
			return "", Hinted(errors.New("where is your login kept? neither HOME nor XDG_CONFIG_HOME is set"), "name a file with --login")
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "rollcall", "login"), nil
}

// LoadLogin reads a login. It refuses a file that others can read.
func LoadLogin(name string) (identity.Token, error) {
	text, err := conf.ReadSecret(name)
	if errors.Is(err, fs.ErrNotExist) {
		return identity.Token{}, Hinted(fmt.Errorf("you are not logged in: no %s", name), "run 'rollcall login'; an admin makes a login with 'rollcall operator add NAME'")
	}
	if err != nil {
		return identity.Token{}, err
	}
	t, err := identity.ParseToken(identity.LoginPrefix, string(text))
	if err != nil {
		return t, Hinted(fmt.Errorf("login %s: %w", name, err), "log in again: rollcall login")
	}
	return t, nil
}
