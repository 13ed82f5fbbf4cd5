package compare

import (
	"cmp"
	"slices"
	"strings"
)

// masker replaces what is special to one machine by placeholders, so that lines
// which mean the same on every machine read the same.
type masker struct {
	own []replacement // longest first
}

type replacement struct{ text, with string }

// domainPath is where the domain of a machine stands.
const domainPath = "id/domain"

// domainOf returns the domain that a machine is in, "" if it is not known.
func domainOf(m Machine) string {
	domain, _ := m.Sections["id"].Get(domainPath)
	return domain
}

// domainMasker knows what is special to the machines of one domain: its name, and
// the base of a directory that is named after it.
func domainMasker(domain string) *masker {
	k := &masker{}
	if strings.Contains(domain, ".") {
		k.learn("dc="+strings.ReplaceAll(domain, ".", ",dc="), "<base>")
		k.learn(domain, "<domain>")
	}
	return k
}

// newMasker learns a machine's own values from its name and facts, beside those
// of its domain.
func newMasker(m Machine, domain *masker) *masker {
	k := &masker{own: slices.Clone(domain.own)}
	k.learn(m.Name, "<host>")
	for _, f := range m.Sections["id"] {
		switch f.Path {
		case "id/hostname":
			k.learn(f.Value, "<host>")
			if domain, ok := m.Sections["id"].Get(domainPath); ok && domain != "" {
				k.learn(f.Value+"."+domain, "<fqdn>")
			}
		case "id/machine-id", "id/uuid":
			k.learn(f.Value, "<id>")
		}
		if strings.HasPrefix(f.Path, "id/serial/") && len(f.Value) > 5 {
			k.learn(f.Value, "<serial>")
		}
	}
	for _, f := range m.Sections["net"] {
		parts := strings.Split(f.Path, "/")
		switch {
		case len(parts) == 3 && (parts[2] == "mac" || parts[2] == "permanent"):
			k.learn(f.Value, "<mac>")
			k.learn(strings.ReplaceAll(f.Value, ":", ""), "<mac>")
		case len(parts) >= 4 && parts[2] == "addr":
			address := strings.NewReplacer("%2F", "/").Replace(parts[3])
			address, _, _ = strings.Cut(address, "/")
			k.learn(address, "<address>")
		}
	}
	slices.SortStableFunc(k.own, func(a, b replacement) int { return cmp.Compare(len(b.text), len(a.text)) })
	return k
}

func (k *masker) learn(text, with string) {
	if len(text) < 3 || text == "localhost" || text == "127.0.0.1" || text == "::1" {
		return
	}
	for _, form := range []string{text, strings.ToLower(text), strings.ToUpper(text)} {
		if !slices.ContainsFunc(k.own, func(r replacement) bool { return r.text == form }) {
			k.own = append(k.own, replacement{form, with})
		}
	}
	if short, _, ok := strings.Cut(text, "."); ok && with == "<host>" {
		k.learn(short, with)
	}
}

// mask returns line with own values and, whatever the machine, UUIDs, MAC
// addresses, dates, times and long hexadecimal numbers replaced.
func (k *masker) mask(line string) string {
	for _, r := range k.own {
		line = replaceWord(line, r.text, r.with)
	}
	return maskNumbers(line)
}

// replaceWord replaces old where it does not stand inside a longer word.
func replaceWord(s, old, with string) string {
	if !strings.Contains(s, old) {
		return s
	}
	var b strings.Builder
	for {
		i := strings.Index(s, old)
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		end := i + len(old)
		if i > 0 && alnum(s[i-1]) || end < len(s) && alnum(s[end]) {
			b.WriteString(s[:end])
		} else {
			b.WriteString(s[:i])
			b.WriteString(with)
		}
		s = s[end:]
	}
}

func alnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func hexDigit(c byte) bool {
	return digit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// maskNumbers replaces every word that looks like an identifier or a time.
func maskNumbers(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r >= '0' && r <= '9' }) < 0 {
		return s
	}
	var b strings.Builder
	changed := false
	for i := 0; i < len(s); {
		if !wordByte(s[i]) {
			b.WriteByte(s[i])
			i++
			continue
		}
		j := i
		for j < len(s) && wordByte(s[j]) {
			j++
		}
		if with := maskWord(s[i:j]); with != "" {
			b.WriteString(with)
			changed = true
		} else {
			b.WriteString(s[i:j])
		}
		i = j
	}
	if !changed {
		return s
	}
	return b.String()
}

func wordByte(c byte) bool { return alnum(c) || c == '-' || c == ':' }

// maskWord returns the placeholder for w, or "" if w is an ordinary word.
func maskWord(w string) string {
	w = strings.Trim(w, ":-")
	switch {
	case isUUID(w):
		return "<uuid>"
	case strings.Contains(w, "uuid:") && isUUID(w[strings.LastIndexByte(w, ':')+1:]):
		return "<uuid>"
	case shaped(w, "xx:xx:xx:xx:xx:xx"), shaped(w, "xx-xx-xx-xx-xx-xx"):
		return "<mac>"
	case strings.HasPrefix(w, "20") && (shaped(w, "dddd-dd-dd") || len(w) > 10 && shaped(w[:10], "dddd-dd-dd") && w[10] == 'T'):
		return "<date>"
	case shaped(w, "dd:dd:dd"):
		return "<time>"
	case shaped(w, "dddddddddd") && w[0] == '1':
		return "<time>" // seconds since 1970
	case len(w) >= 16 && allHex(w):
		return "<hex>"
	}
	return ""
}

func isUUID(w string) bool { return shaped(w, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx") }

// shaped tells whether w has the shape: x is a hexadecimal digit, d a decimal one.
func shaped(w, shape string) bool {
	if len(w) != len(shape) {
		return false
	}
	for i := range len(w) {
		switch shape[i] {
		case 'x':
			if !hexDigit(w[i]) {
				return false
			}
		case 'd':
			if !digit(w[i]) {
				return false
			}
		default:
			if w[i] != shape[i] {
				return false
			}
		}
	}
	return true
}

// allHex tells whether w is hexadecimal with at least one digit and one letter.
func allHex(w string) bool {
	letters, digits := false, false
	for i := range len(w) {
		if !hexDigit(w[i]) {
			return false
		}
		if digit(w[i]) {
			digits = true
		} else {
			letters = true
		}
	}
	return letters && digits
}
