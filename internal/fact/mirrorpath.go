package fact

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// Git file systems allow 255 bytes a name; four are kept for sealedSuffix.
const (
	mirrorName   = 251
	mirrorKeep   = 200 // bytes that stay readable of a name that is too long
	sealedSuffix = ".age"
	hashMark     = "%~" // never in an escaped name: "%" is followed by digits
)

// MirrorPath tells where in a machine's folder of the git mirror the file with
// this fact path ("etc/cups/cupsd.conf") lies. Nearly always that is the path
// itself. Names that git, or a checkout on any system, would take for its own
// (".git" in any case and in the disguises that HFS+ and NTFS see through,
// ".gitattributes", ".gitmodules" and every other name with that beginning,
// "git~1", ".mailmap", "." and "..") have their first letter as "%XX", so that a
// clone is whole and runs nothing; "\" is "%5C"; a name that ends in ".age" has
// "%2Eage", so that SealedMirrorPath never meets it. A name that is too long,
// or that Escape did not make, ends in "%~" and a part of its SHA-256.
//
// Two paths never share a place, short of a collision of SHA-256. The way back
// is the manifest, not an inverse function. The rules are git's own: verify_path
// in read-cache.c, is_ntfs_dotgit in path.c and next_hfs_char in utf8.c.
func MirrorPath(path string) string {
	names := strings.Split(path, "/")
	for i, name := range names {
		names[i] = mirrorComponent(name)
	}
	return strings.Join(names, "/")
}

// SealedMirrorPath is MirrorPath for a file of KindSealed, whose ciphertext is
// kept as NAME.age.
func SealedMirrorPath(path string) string { return MirrorPath(path) + sealedSuffix }

func mirrorComponent(name string) string {
	raw, err := Unescape(name)
	if err != nil || name == "" || Escape(raw) != name {
		return hashMark + mirrorHash(name)
	}
	out := name
	if gitsOwn(name) {
		_, n := utf8.DecodeRuneInString(name)
		out = ""
		for _, c := range []byte(name[:n]) {
			out += hexByte(c)
		}
		out += name[n:]
	}
	out = strings.ReplaceAll(out, `\`, hexByte('\\'))
	if rest, ok := strings.CutSuffix(out, sealedSuffix); ok {
		out = rest + hexByte('.') + sealedSuffix[1:]
	}
	if len(out) > mirrorName {
		return cutEscaped(out, mirrorKeep) + hashMark + mirrorHash(name)
	}
	return out
}

// hexByte is the escaped form of one byte, "%XX".
func hexByte(c byte) string { return "%" + strings.ToUpper(hex.EncodeToString([]byte{c})) }

func mirrorHash(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:16])
}

// cutEscaped cuts to at most n bytes without splitting a rune or a "%XX".
func cutEscaped(s string, n int) string {
	for !utf8.RuneStart(s[n]) {
		n--
	}
	if i := strings.LastIndexByte(s[:n], '%'); i >= n-2 {
		n = i
	}
	return s[:n]
}

// gitsOwn tells whether git or a checkout could give the name a meaning.
func gitsOwn(name string) bool {
	s := strings.ToLower(strings.Map(dropHFSIgnored, name))
	for part := range strings.SplitSeq(s, `\`) { // NTFS: also behind each backslash
		if strings.HasPrefix(part, ".git") || strings.HasPrefix(part, ".mailmap") || shortName(part) {
			return true
		}
		stem, _, _ := strings.Cut(part, ":") // NTFS: an alternate data stream
		if strings.Trim(stem, ". ") == "" {
			return true // ".", "..", and what NTFS makes of ". ." and of nothing
		}
	}
	return false
}

// shortName tells whether NTFS could know one of git's names by this 8.3 name:
// "git~1", "gitmod~2", "gi7eba~1", "maba30~1", cut down to "~1234567".
func shortName(s string) bool {
	i := strings.IndexByte(s, '~')
	if i < 0 || i > 6 || i+1 >= len(s) || s[i+1] < '0' || s[i+1] > '9' {
		return false
	}
	return i == 0 || s[0] == 'g' || s[0] == 'm'
}

// dropHFSIgnored removes the code points that HFS+ ignores in names.
func dropHFSIgnored(r rune) rune {
	switch {
	case r >= 0x200c && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x206a && r <= 0x206f, r == 0xfeff:
		return -1
	case r == 'ſ': // folds to "s", as U+212A folds to "k"; no name of git's has a k
		return 's'
	}
	return r
}
