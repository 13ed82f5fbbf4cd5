package seal

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
)

// holdsArgument looks for secrets in the way that command lines and protocols
// write them: --password x, curl -u user:x, login=user:x, Authorization: Basic x.
func holdsArgument(line []byte) bool {
	for _, mark := range []string{"Basic ", "Bearer ", "Token "} {
		_, after, ok := bytes.Cut(line, []byte(mark))
		if ok && bytes.Contains(bytes.ToLower(line), []byte("authorization")) && wordLength(after) >= 8 {
			return true
		}
	}
	for _, mark := range []string{" -u ", " --user ", " --user=", " login=", "stats auth ", " -U "} {
		_, after, ok := bytes.Cut(line, []byte(mark))
		if !ok {
			continue
		}
		user, password, ok := bytes.Cut(firstWord(after), []byte(":"))
		if ok && len(user) > 0 && len(password) > 0 && !digits(password) && !bytes.ContainsAny(password, "/") && !placeholder(string(password)) && !isWord(password) {
			return true
		}
	}
	for rest := line; ; {
		_, after, ok := bytes.Cut(rest, []byte("--"))
		if !ok {
			return false
		}
		end := 0
		for end < len(after) && isName(after[end]) {
			end++
		}
		value := bytes.TrimLeft(after[end:], " ")
		if secretName(canonical(after[:end])) && len(value) < len(after[end:]) && len(value) > 0 && value[0] != '-' && !placeholder(string(firstWord(value))) {
			return true
		}
		rest = after
	}
}

// isWord is for "-u user:group": a name in small letters is no password here.
func isWord(b []byte) bool {
	return len(bytes.Trim(b, "abcdefghijklmnopqrstuvwxyz_-")) == 0
}

func digits(b []byte) bool { return len(bytes.Trim(b, "0123456789")) == 0 }

// firstWord is what stands before the next blank, without the quotes around it.
func firstWord(b []byte) []byte {
	b = bytes.TrimLeft(b, "\"'")
	if end := bytes.IndexAny(b, " \t\"'"); end >= 0 {
		b = b[:end]
	}
	return b
}

func canonical(name []byte) string {
	return strings.ToLower(strings.ReplaceAll(string(name), "-", "_"))
}

// noSecrets are names that end as a secret's and hold none: options of PAM's
// modules.
var noSecrets = []string{"try_first_pass", "use_first_pass", "use_authtok", "forward_pass", "challengepassword"}

// secretAttribute judges a name that is a value itself: <property name="password"
// value="x"/>, <entry key="db.password">x</entry>, define('DB_PASSWORD', 'x').
func secretAttribute(name string, before, rest []byte) bool {
	if !secretName(name) || !bytes.HasSuffix(bytes.TrimRight(before, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._"), []byte{'"'}) && !bytes.HasSuffix(before, []byte{'\''}) {
		return false
	}
	if len(rest) == 0 || rest[0] != '"' && rest[0] != '\'' {
		return false
	}
	rest = bytes.TrimLeft(rest[1:], " \t")
	if value, ok := bytes.CutPrefix(rest, []byte(",")); ok && bytes.Contains(before, []byte("define")) {
		return !placeholder(strings.TrimSpace(string(value)))
	}
	if value, ok := bytes.CutPrefix(rest, []byte("value=")); ok {
		return !placeholder(string(value))
	}
	if value, ok := bytes.CutPrefix(rest, []byte(">")); ok {
		value, _, _ = bytes.Cut(value, []byte("<"))
		return !placeholder(string(value))
	}
	return false
}

// compound tells whether a name is more than the word for a secret alone, and so
// may be followed by a value without a separator: mysqlpassword, auth_pass.
func compound(name string) bool {
	return secretName(name) && !slices.Contains(secretEndings, name) && name != "pass"
}

// bareDirective judges "name value" where the value is the rest of the line.
func bareDirective(name string, first bool, value string) bool {
	words := strings.Fields(value)
	switch {
	case len(words) == 0 || strings.ContainsAny(words[0][:1], "=:;,({[\\") || placeholder(words[0]):
		return false
	case first && compound(name), name == "insecure_password":
		return len(words) == 1 && !strings.HasSuffix(words[0], ".so") && !strings.Contains(words[0], "/")
	case !first || name != "password" && name != "passwd" && name != "auth_pass":
		return false
	case len(words) == 1: // PAM's lines have at least two more words
		return true
	case words[0][0] == '"' || words[0][0] == '\'':
		return true
	}
	// grub(7): "password USER CLEARTEXT".
	return len(words) == 2 && words[0][0] != '[' && !strings.Contains(value, ".so") &&
		!slices.Contains([]string{"required", "requisite", "sufficient", "optional", "include", "substack"}, words[0])
}

// holdsSplit looks for a setting whose value stands on the next line, as in XML,
// JSON and YAML.
func holdsSplit(line, next []byte) bool {
	if len(next) == 0 || next[0] == '#' || next[0] == '-' || next[0] == '<' || next[0] == '{' || next[0] == '[' || next[0] == '}' || next[0] == ']' {
		return false
	}
	if value, ok := bytes.CutPrefix(next, []byte("value:")); ok { // - name: DB_PASSWORD
		_, name, ok := bytes.Cut(line, []byte("name:"))
		name = bytes.Trim(name, " \t\"'")
		return ok && len(bytes.Fields(name)) == 1 && secretName(canonical(name)) && !placeholder(strings.TrimSpace(string(value)))
	}
	if bytes.ContainsAny(next, ":=") && next[0] != '"' || bytes.Contains(next, []byte(`":`)) {
		return false // a map, and not a value
	}
	open := bytes.TrimRight(line, " \t")
	name := bytes.TrimRight(open, ":=>\"'")
	if len(name) == len(open) || bytes.HasSuffix(name, []byte("/")) {
		return false
	}
	start := len(name)
	for start > 0 && isName(name[start-1]) {
		start--
	}
	return secretName(canonical(name[start:])) && bytes.ContainsAny(open[len(name):], ":=>") && !placeholder(string(next))
}

// holdsEncoded looks into words of Base64 (RFC 4648) for a key, a setting or a
// URL with a password.
func holdsEncoded(line []byte) bool {
	for len(line) > 0 {
		start := bytes.IndexFunc(line, isBase64)
		if start < 0 {
			return false
		}
		line = line[start:]
		end := bytes.IndexFunc(line, func(r rune) bool { return !isBase64(r) })
		if end < 0 {
			end = len(line)
		}
		if word := line[:min(end, maxEncoded)]; len(word) >= 20 {
			plain := make([]byte, base64.RawStdEncoding.DecodedLen(len(word)))
			n, _ := base64.RawStdEncoding.Decode(plain, word[:len(word)/4*4]) // as far as it goes
			plain = plain[:n]
			if holdsKey(plain) || printable(plain) && (holdsSetting(plain) || holdsURLPassword(plain)) {
				return true
			}
		}
		line = line[end:]
	}
	return false
}

// maxEncoded bounds one word: a key shows in its beginning.
const maxEncoded = 4096

func isBase64(r rune) bool {
	return r < 0x80 && (isAlphanumeric(byte(r)) || r == '+' || r == '/')
}

// printable tells whether decoded bytes are text: a setting in noise is none.
func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\n' && c != '\t' && c != '\r' || c >= 0x7f {
			return false
		}
	}
	return len(b) > 0
}
