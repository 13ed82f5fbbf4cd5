package seal

import (
	"bytes"
	"slices"
	"strings"
)

// nearby bounds what is read around a name. Without it a long line of names, as
// in JSON without line breaks, would be read once for each of them.
const nearby = 512

// holdsSetting looks for "name separator value" with the name of a secret
// anywhere in a line: one line may hold several, as in XML attributes or
// slapd's syncrepl directive.
func holdsSetting(line []byte) bool {
	if !mentions(line) {
		return false
	}
	for end := 0; end < len(line); {
		start := end
		for start < len(line) && !isName(line[start]) {
			start++
		}
		end = start
		for end < len(line) && isName(line[end]) {
			end++
		}
		if start == end {
			return false
		}
		name := canonical(line[start:end])
		before, after := line[max(0, start-nearby):start], line[end:min(end+nearby, len(line))]
		switch {
		case secretSetting(name, after),
			secretDirective(name, first(before), after),
			bytes.HasSuffix(before, []byte("<")) && secretElement(name, after),
			secretAttribute(name, before, after),
			name == "password" && bytes.Contains(before, []byte("login ")) && !placeholder(string(after)): // netrc(5)
			return true
		}
	}
	return false
}

// mentions is a cheap test that most lines fail: whether one of a few groups of
// letters occurs. Each of secretEndings and secretDirectives holds one of them.
// It reads each byte once; all of /etc passes through it.
func mentions(line []byte) bool {
	const (
		pas, psk, sec, tok = 'p'<<16 | 'a'<<8 | 's', 'p'<<16 | 's'<<8 | 'k', 's'<<16 | 'e'<<8 | 'c', 't'<<16 | 'o'<<8 | 'k'
		key, cre, uth, mmu = 'k'<<16 | 'e'<<8 | 'y', 'c'<<16 | 'r'<<8 | 'e', 'u'<<16 | 't'<<8 | 'h', 'm'<<16 | 'm'<<8 | 'u'
		pw                 = 'p'<<8 | 'w'
	)
	last := uint32(0) // the last three bytes in lower case
	for _, c := range line {
		last = (last<<8 | uint32(c|0x20)) & 0xffffff
		switch last {
		case pas, psk, sec, tok, key, cre, uth, mmu:
			return true
		}
		if last&0xffff == pw {
			return true
		}
	}
	return false
}

func isName(c byte) bool { return isAlphanumeric(c) || c == '_' || c == '-' }

// first tells whether only quotes and the like stand before a name.
func first(before []byte) bool {
	return len(bytes.Trim(bytes.TrimSuffix(before, []byte("env.")), " \t\"'$<")) == 0 // env.: munin-node's
}

// secretElement judges an XML element on one line: <password>x</password>.
func secretElement(name string, rest []byte) bool {
	value, ok := bytes.CutPrefix(rest, []byte(">"))
	value, _, _ = bytes.Cut(value, []byte("<"))
	return ok && secretName(name) && !placeholder(string(value))
}

// secretEndings are the ends of names of settings that hold a secret.
var secretEndings = []string{
	"password", "passwd", "passphrase", "passwort", "passord", "psk", "bindpw", "rootpw", "modpw", "_pw", "userpw", "adminpw",
	"_pass", "dbpass", "authpass", "dnpass", "requirepass", "masterauth", "authtok", "secret", "_pwd", "rootpwd",
	"api_key", "apikey", "access_key", "secret_key", "secretkey", "preshared_key", "presharedkey", "auth_key", "authkey",
	"token", "credentials", "wep_key0", "wep_key1",
}

// secretDirectives are names whose value follows a blank, as the first name of
// a line. "password" is none: PAM's lines begin with it.
var secretDirectives = []string{
	"bindpw", "rootpw", "rootpwmodpw", "wpa_psk", "wpa_password", "wpa_passphrase", "wireless_key", "wireless_key1",
	"requirepass", "masterauth", "authpass", "authldapbindpassword", "createuser", "secret",
}

// secretName tells whether a setting of this name holds a secret.
func secretName(name string) bool {
	if name == "pass" {
		return true
	}
	return !slices.Contains(noSecrets, name) &&
		slices.ContainsFunc(secretEndings, func(end string) bool { return strings.HasSuffix(name, end) })
}

// secretSetting judges a name and what follows it: a separator and a value.
func secretSetting(name string, rest []byte) bool {
	if !secretName(name) {
		return false
	}
	// Between name and separator stand at most the rest of a quoted key, of an
	// index ($conf['db_pass'] = …) and blanks.
	rest = bytes.TrimLeft(rest, "\"')] \t")
	separator := byte(0)
	for _, s := range []string{":=", "=>", "==", "::", "+=", "=", ":"} {
		if after, ok := bytes.CutPrefix(rest, []byte(s)); ok {
			separator, rest = s[0], after
			if s == "==" {
				return false // a comparison in a script
			}
			break
		}
	}
	if separator == 0 {
		return false
	}
	value := strings.TrimSpace(string(rest))
	if separator == ':' && name == "pass" {
		return false // "spf = pass:softfail"
	}
	if separator == ':' && name == "passwd" && !strings.HasPrefix(value, "$") && !strings.HasPrefix(value, `"`) {
		return false // nsswitch.conf(5): "passwd: files ldap"
	}
	return !placeholder(value)
}

// secretDirective judges a name, whether it is the first of its line, and the value that follows it behind a blank.
func secretDirective(name string, first bool, rest []byte) bool {
	value := strings.TrimSpace(string(rest))
	switch {
	case value == string(rest): // nothing, or no blank
		return false
	case first && slices.Contains(secretDirectives, name):
		return !strings.HasPrefix(value, "=") && !placeholder(value)
	case first && (strings.HasPrefix(name, "rocommunity") || strings.HasPrefix(name, "rwcommunity")): // snmpd.conf(5)
		return !strings.Contains(value, "public") && !placeholder(value)
	}
	return bareDirective(name, first, value)
}

// placeholder tells whether a value is certainly no secret: nothing, a switch,
// a reference to a variable or a file, or a name that stands for "fill in".
func placeholder(value string) bool {
	if end := strings.IndexAny(value, "\"'"); end == 0 {
		value = value[1:]
		if end := strings.IndexAny(value, "\"'"); end >= 0 {
			value = value[:end]
		}
	}
	value = strings.TrimRight(strings.TrimSpace(value), ",;})]>/ \t")
	for _, file := range []string{"/etc/", "/run/", "/var/", "/usr/", "/srv/", "/dev/", "/home/", "/root/", "/path/", "~/", "file:", "${", "$(", "%(", "@@", "{{", "<", "hash:", "lmdb:", "#"} {
		if strings.HasPrefix(value, file) {
			return true
		}
	}
	if strings.HasPrefix(value, "*") || len(value) == 2 && value[0] == '%' || variable(value) {
		return true
	}
	switch strings.ToLower(value) {
	case "", "yes", "no", "true", "false", "on", "off", "0", "1", "none", "null", "nil", "ask", "prompt", "undef", "x", "*", "!", "!!", "required", "optional",
		"sufficient", "requisite", "xxx", "xxxx", "xxxxxx", "xxxxxxxx", "***", "****", "********", "...", "…", "files", "-", "{", "[":
		return true
	}
	return false
}

// variable tells whether a value is a shell variable in capitals: $ROOTPWD.
// Other words behind a dollar sign may be passwords.
func variable(value string) bool {
	name, ok := strings.CutPrefix(value, "$")
	return ok && len(name) > 2 && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == ""
}
