package cmdline

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/internal/identity"
)

func TestTheLoginIsWhereTheEnvironmentSays(t *testing.T) {
	for _, tt := range []struct {
		env  map[string]string
		want string // empty: refused
	}{
		{map[string]string{"ROLLCALL_CONFIG": "x", "XDG_CONFIG_HOME": "/c", "HOME": "/h"}, "x"},
		{map[string]string{"XDG_CONFIG_HOME": "/c", "HOME": "/h"}, "/c/rollcall/login"},
		{map[string]string{"XDG_CONFIG_HOME": "relative", "HOME": "/h"}, "/h/.config/rollcall/login"},
		{map[string]string{"HOME": "/h"}, "/h/.config/rollcall/login"},
		{map[string]string{}, ""},
	} {
		got, err := LoginFile(func(name string) string { return tt.env[name] })
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%v: got %q, %v, want %q", tt.env, got, err, tt.want)
		}
	}
}

func TestALoginThatCannotBeUsedSaysWhy(t *testing.T) {
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	token := identity.Token{ID: "01", URLs: []string{"127.0.0.1:1"}, Pins: []string{"sha256:00"}, Secret: []byte("0123456789abcdef"), Server: identity.Public(key)}
	text, err := token.Encode(identity.LoginPrefix)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "login")
	if _, err := LoadLogin(name); err == nil || !strings.Contains(err.Error(), "not logged in") {
		t.Errorf("no login: %v", err)
	}
	for _, tt := range []struct {
		content string
		mode    os.FileMode
		want    string // empty: it is taken
	}{
		{text + "\n", 0o600, ""},
		{text, 0o640, "mode 0640 lets others in"},
		{text[:len(text)-3], 0o600, "log in again"},
	} {
		if err := os.WriteFile(name, []byte(tt.content), tt.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, tt.mode); err != nil {
			t.Fatal(err)
		}
		got, err := LoadLogin(name)
		switch {
		case tt.want == "" && (err != nil || got.ID != token.ID):
			t.Errorf("a good login: %v, %v", got.ID, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), text[8:40])):
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
}
