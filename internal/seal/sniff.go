package seal

import (
	"bytes"
	"strings"
)

// maxSniff bounds how much of a content is looked at. Configuration is far
// smaller; what is larger and secret must be listed by path.
const maxSniff = 4 << 20

// Sniff tells whether a content probably holds a secret that its path does not
// give away, and so must be sealed. It errs on the side of sealing. It knows
//
//   - private keys: PEM and OpenPGP armour ("-----BEGIN … PRIVATE KEY"), PuTTY,
//     age, and the client keys of a kubeconfig;
//   - password hashes: crypt(5) ("$6$…", "$y$…", "$apr1$…"), OpenLDAP
//     ("{SSHA}…"), GRUB ("grub.pbkdf2.…");
//   - settings of a password: a name that ends as in "password", "psk",
//     "bindpw", "dbpass", "api_key" or "secret", then "=", ":", ":=" or "=>",
//     then a value (password = x, <conn adminPassword="x">, $dbpass='x'),
//     <password>x</password>, the few that use a blank (bindpw x, rootpw x,
//     wpa-psk x, secret "x";), and netrc's "login x password y";
//   - URLs with a password: scheme://user:password@host;
//   - what command lines and protocols write: --password x, curl -u user:x,
//     Authorization: Bearer x;
//   - keys, settings and URLs of these kinds in a word of Base64.
//
// UTF-16 is read too. Comment lines (#, ;, //) do not count here, except for keys
// (see SniffComments), and neither do values that are obviously no secret: empty,
// yes, no, none, ask, a file name.
//
// It cannot know a secret that nothing around it names (a password as the only
// word of a file with an ordinary name, "-p x", host/database/user/x), one in another
// encoding (compressed, encrypted with a key beside it, in Base64 without a name),
// or one that is split over lines. Such files must be listed:
// "secret" in agent.conf.
func Sniff(content []byte) bool {
	content = plainBytes(content[:min(len(content), maxSniff)])
	if holdsKey(content) {
		return true
	}
	var last []byte
	for line := range bytes.Lines(content) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' || line[0] == ';' || slashes(line) {
			continue
		}
		if holdsHash(line) || holdsURLPassword(line) || holdsSetting(line) || holdsArgument(line) || holdsEncoded(line) || holdsSplit(last, line) {
			return true
		}
		last = line
	}
	return false
}

func holdsKey(content []byte) bool {
	for _, mark := range []string{"AGE-SECRET-KEY-", "PuTTY-User-Key-File-", "client-key-data:", "PrivateKey = ", "PrivateKey="} {
		if bytes.Contains(content, []byte(mark)) {
			return true
		}
	}
	for rest := content; ; {
		_, after, found := bytes.Cut(rest, []byte("-----BEGIN "))
		if !found {
			return false
		}
		// The longest label in use is "ENCRYPTED PRIVATE KEY".
		if label := after[:min(len(after), 64)]; bytes.Contains(label, []byte("PRIVATE KEY")) || bytes.Contains(label, []byte("OpenVPN Static key")) {
			return true
		}
		rest = after
	}
}

// holdsHash looks for a hash of a password anywhere in a line.
func holdsHash(line []byte) bool {
	if bytes.Contains(line, []byte("grub.pbkdf2.")) {
		return true
	}
	for i, c := range line {
		if c != '$' && c != '{' {
			continue
		}
		rest := line[i:]
		for _, scheme := range []string{
			"$1$", "$2a$", "$2b$", "$2y$", "$5$", "$6$", "$7$", "$y$", "$gy$", "$apr1$", "$argon2", "$pbkdf2",
			"{SSHA", "{SHA}", "{SMD5}", "{MD5}", "{CRYPT}", "{ARGON2}", "{PBKDF2", "{PLAIN}",
		} {
			// Behind the scheme a hash has salt and sum; a shell's "$1$2" has not.
			if len(rest) >= len(scheme)+8 && strings.EqualFold(string(rest[:len(scheme)]), scheme) && wordLength(rest[len(scheme):]) >= 8 {
				return true
			}
		}
	}
	return false
}

// wordLength counts the leading bytes that hashes are made of.
func wordLength(b []byte) int {
	for i, c := range b {
		if !isAlphanumeric(c) && !bytes.ContainsRune([]byte("./$+=,-"), rune(c)) {
			return i
		}
	}
	return len(b)
}

func holdsURLPassword(line []byte) bool {
	for rest := line; ; {
		_, after, found := bytes.Cut(rest, []byte("://"))
		if !found {
			return false
		}
		authority := after
		if end := bytes.IndexAny(authority, "/ \t\"'<>"); end >= 0 {
			authority = authority[:end]
		}
		if at := bytes.LastIndexByte(authority, '@'); at > 0 {
			user, password, ok := bytes.Cut(authority[:at], []byte(":"))
			if ok && len(user) > 0 && len(password) > 0 && !placeholder(string(password)) {
				return true
			}
		}
		rest = after
	}
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
