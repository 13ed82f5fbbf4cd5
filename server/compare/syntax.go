package compare

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"slices"
	"strings"
)

// item is one thing that a config file says: a key with its value in its
// section, a mount option, a line. Comments, blank lines and, where it does not
// matter, order and spacing say nothing.
type item struct {
	text  string // "[General] Domain = localdomain"
	raw   bool   // a twin with host-specific values masked exists
	whole bool   // stands for a whole content or for the order of lines
}

// words says in words that a file has the item or lacks it.
func (it item) words(shown string) (yes, no string) {
	switch {
	case it.whole && strings.HasPrefix(it.text, "order "):
		return "order of the lines in " + shown + " differs", "order of the lines in " + shown + " differs"
	case it.whole:
		return shown + " has " + it.text, shown + " has another content"
	}
	return "line " + quote(it.text) + " in " + shown, "no line " + quote(it.text) + " in " + shown
}

func (it item) prior() float64 {
	if it.whole {
		return 0.9
	}
	return 1
}

// maxItem is the longest item in bytes; of longer ones the rest is hashed.
const maxItem = 600

// parse returns what a config file says, each thing once. The path below / tells
// the syntax, or the content does.
func parse(name, content string) []item {
	lines := join(content)
	var texts []string
	switch base := path.Base(name); {
	case base == "fstab", base == "mtab", base == "crypttab":
		texts = parseFstab(lines)
	case strings.HasPrefix(strings.TrimSpace(content), "<?xml"), strings.HasSuffix(base, ".xml"):
		texts = parseXML(content)
	case strings.HasSuffix(base, ".json"), strings.HasSuffix(base, ".jsonc"):
		texts = parseJSON(lines)
	case strings.HasPrefix(content, "-----BEGIN "):
		return []item{{text: "content " + sum(content), whole: true}}
	case isINI(lines):
		texts = parseINI(lines)
	default:
		texts = parseLines(name, lines)
	}
	return unite(texts, ordered(name))
}

// unite drops repetitions and, where order matters, adds an item for the order.
func unite(texts []string, keepOrder bool) []item {
	if len(texts) > maxItems {
		return []item{{text: "content " + sum(strings.Join(texts, "\n")), whole: true}}
	}
	seen := map[string]bool{}
	out := make([]item, 0, len(texts))
	for i, s := range texts {
		if len(s) > maxItem {
			s = strings.ToValidUTF8(s[:maxItem], "") + "… " + sum(s)
			texts[i] = s
		}
		if !seen[s] {
			seen[s] = true
			out = append(out, item{text: s})
		}
	}
	if keepOrder {
		out = append(out, item{text: "order " + sum(strings.Join(texts, "\n")), whole: true})
	}
	return out
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:8])
}

// orderMatters names files in which the first or the last of several lines wins.
var orderMatters = []string{
	"etc/pam.d/", "etc/security/", "etc/sudoers", "etc/hosts.allow", "etc/hosts.deny", "etc/nftables", "etc/iptables",
	"etc/ssh/sshd_config", "etc/resolv.conf", "etc/exports", "etc/pf",
}

func ordered(name string) bool {
	return slices.ContainsFunc(orderMatters, func(p string) bool { return strings.HasPrefix(name, p) })
}

// join cuts the content into lines without trailing space; a backslash at the
// end continues a line.
func join(content string) []string {
	var out []string
	held := ""
	for line := range strings.SplitSeq(content, "\n") {
		line = strings.TrimRight(line, " \t\r")
		if rest, ok := strings.CutSuffix(line, `\`); ok && len(held) < maxContent {
			held += rest + " "
			continue
		}
		out = append(out, held+line)
		held = ""
	}
	if held != "" {
		out = append(out, held)
	}
	return out
}

// squeeze trims and makes every run of blanks outside quotes one space.
func squeeze(s string) string {
	return strings.Join(strings.Fields(s), " ")
}

// uncomment cuts off a comment that begins with "#" at the start or after a
// blank, outside quotes.
func uncomment(s string) string {
	quoted := byte(0)
	for i := range len(s) {
		switch c := s[i]; {
		case quoted != 0:
			if c == quoted {
				quoted = 0
			}
		case c == '"' || c == '\'' && (i == 0 || !alnum(s[i-1])):
			quoted = c
		case c == '#' && (i == 0 || s[i-1] == ' ' || s[i-1] == '\t'):
			return strings.TrimRight(s[:i], " \t")
		}
	}
	return s
}

// equals writes "key=value" with one space around the first "=" if what stands
// before it can be a key, and without quotes that change nothing.
func equals(s string) string {
	key, value, ok := strings.Cut(s, "=")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	if !ok || key == "" || strings.ContainsAny(key, " \t\"'<>(){}:,;") {
		return squeeze(s)
	}
	if n := len(value); n > 1 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] && !strings.ContainsAny(value[1:n-1], "\"'$`\\") {
		value = value[1 : n-1]
	}
	return key + " = " + squeeze(value)
}
