package collect

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"
)

const maxAccounts = 20_000

func accounts() Collector {
	return Collector{Name: "accounts", Owns: []string{"user/", "group/"}, Collect: collectAccounts}
}

// collectAccounts reads the local users and groups from their files (passwd(5),
// group(5), shadow(5)). The name service is never asked: it may be LDAP with
// thousands of pupils. Of a password it says whether there is one, whether it is
// locked and on which day (since 1970) it was changed; of a user's real name and
// address it says nothing.
func collectAccounts(_ context.Context, h Host, s *Sink) error {
	shadow := map[string]string{}
	err := h.Lines("etc/shadow", func(line string) bool {
		if name, state, ok := parseShadow(line); ok {
			shadow[name] = state
		}
		return len(shadow) < maxAccounts
	})
	switch {
	case errors.Is(err, fs.ErrPermission):
		s.Denied("etc/shadow")
	case err != nil && !Absent(err):
		return err
	}
	users := 0
	err = h.Lines("etc/passwd", func(line string) bool {
		if name, value, ok := parsePasswd(line, shadow); ok {
			s.Fact(Path("user", name), value)
			users++
		}
		return users < maxAccounts
	})
	if err != nil {
		return err
	}
	groups := 0
	err = h.Lines("etc/group", func(line string) bool {
		if name, value, ok := parseGroup(line); ok {
			s.Fact(Path("group", name), value)
			groups++
		}
		return groups < maxAccounts
	})
	if Absent(err) {
		return nil
	}
	return err
}

// parsePasswd reads a line of passwd(5). The password field says "x" where
// shadow holds the password.
func parsePasswd(line string, shadow map[string]string) (name, value string, ok bool) {
	f := strings.Split(line, ":")
	if len(f) != 7 || !accountName(f[0]) || !decimal(f[2]) || !decimal(f[3]) {
		return "", "", false
	}
	value = "uid=" + f[2] + " gid=" + f[3] + " home=" + f[5] + " shell=" + f[6]
	if f[1] != "x" {
		return f[0], value + " password=" + passwordState(f[1]), true
	}
	if state := shadow[f[0]]; state != "" {
		value += " " + state
	}
	return f[0], value, true
}

// parseShadow reads a line of shadow(5).
func parseShadow(line string) (name, state string, ok bool) {
	f := strings.Split(line, ":")
	if len(f) < 3 || !accountName(f[0]) {
		return "", "", false
	}
	state = "password=" + passwordState(f[1])
	if decimal(f[2]) {
		state += " changed=" + f[2]
	}
	return f[0], state, true
}

func passwordState(hash string) string {
	switch {
	case hash == "":
		return "none"
	case hash[0] == '!' || hash[0] == '*':
		return "locked"
	}
	return "set"
}

func parseGroup(line string) (name, value string, ok bool) {
	f := strings.Split(line, ":")
	if len(f) != 4 || !accountName(f[0]) || !decimal(f[2]) {
		return "", "", false
	}
	value = "gid=" + f[2]
	if f[3] != "" {
		value += " members=" + f[3]
	}
	return f[0], value, true
}

// accountName refuses comments and the "+" and "-" lines of NIS.
func accountName(s string) bool { return s != "" && s[0] != '+' && s[0] != '-' && s[0] != '#' }

func decimal(s string) bool {
	_, err := strconv.ParseUint(s, 10, 32)
	return err == nil
}
