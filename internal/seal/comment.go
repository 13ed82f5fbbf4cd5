package seal

import "bytes"

// SniffComments tells whether the comments of a content probably hold a secret
// that somebody has commented out: a hash, a URL with a password, or a setting
// whose value is one word. Packages' examples look the same ("# bindpw secret"),
// so whoever knows that a content is as its package ships it, does not ask.
func SniffComments(content []byte) bool {
	content = plainBytes(content[:min(len(content), maxSniff)])
	for line := range bytes.Lines(content) {
		line = bytes.TrimSpace(line)
		text, ok := comment(line)
		if !ok || len(text) == 0 {
			continue
		}
		if holdsHash(text) || holdsURLPassword(text) || oneWordSetting(text) {
			return true
		}
	}
	return false
}

// comment returns what stands in a line that is a comment in one of the usual
// ways, of configuration (#, ;, //, !) and of XML.
func comment(line []byte) (text []byte, ok bool) {
	if rest, ok := bytes.CutPrefix(line, []byte("<!--")); ok {
		rest, _, _ = bytes.Cut(rest, []byte("-->"))
		return bytes.TrimSpace(rest), true
	}
	if len(line) == 0 || line[0] != '#' && line[0] != ';' && !slashes(line) {
		return nil, false
	}
	return bytes.TrimSpace(bytes.TrimLeft(line, "#;/! \t")), true
}

// slashes tells whether a line is a comment of two slashes, and not the name of a
// file server: "//nas/share /mnt cifs …".
func slashes(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("//"))
	if !ok {
		return false
	}
	word, _, _ := bytes.Cut(rest, []byte(" "))
	return len(word) == 0 || !bytes.Contains(word, []byte("/"))
}

// oneWordSetting judges a setting in a comment. In prose more words follow:
// "password: the one that was set at the installation".
func oneWordSetting(text []byte) bool {
	at := bytes.IndexAny(text, "=:")
	if at < 0 {
		name, value, _ := bytes.Cut(text, []byte(" "))
		return len(bytes.Fields(value)) == 1 && len(name) > 0 && holdsSetting(text)
	}
	name, value := bytes.Fields(text[:at]), bytes.TrimLeft(text[at:], "=: \t>")
	return len(name) <= 2 && len(bytes.Fields(value)) == 1 && holdsSetting(text)
}

// plainBytes takes the zeros out of UTF-16, whose letters could not be seen
// otherwise.
func plainBytes(content []byte) []byte {
	head := content[:min(len(content), 64)]
	if zeros := bytes.Count(head, []byte{0}); zeros < len(head)/3 || zeros == 0 {
		return content
	}
	return bytes.ReplaceAll(content, []byte{0}, nil)
}
