package fact

import (
	"encoding/base64"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// Kind tells what a File is.
type Kind string

// The kinds of files below /etc that Rollcall keeps. Sockets, FIFOs and devices
// are KindOther: they are listed and never restored.
const (
	KindPlain  Kind = "sha256" // content known by its SHA-256
	KindSealed Kind = "sealed" // content known only as age ciphertext
	KindKeyed  Kind = "keyed"  // content withheld: keyed fingerprint only
	KindTooBig Kind = "toobig" // content withheld for its size: SHA-256 only
	KindDir    Kind = "dir"
	KindLink   Kind = "link"
	KindOther  Kind = "other"
)

// File is the value of a fact below "etc/": one entry of the tree.
//
// As text it is a row of words:
//
//	sha256:HEX 0640 root:lp
//	sealed:HMAC sha256:HEX 0640 root:shadow
//	keyed:HMAC 0600 root:root
//	link:TARGET 0777 root:root
//	dir 0755 root:root
//	… xattr:security.capability=BASE64URL
//
// In words that hold a name (target, owner, group) a space is "%20".
type File struct {
	Kind        Kind
	Digest      Digest // content (KindPlain, KindTooBig) or ciphertext (KindSealed)
	Fingerprint string // KindSealed, KindKeyed: keyed fingerprint, hexadecimal
	Target      string // KindLink: the link's text, raw bytes
	Mode        fs.FileMode
	Owner       string // name, or the number where the machine has no name for it
	Group       string
	Xattr       map[string]string // extended attributes incl. POSIX ACLs, raw bytes
}

const modeBits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

// String gives the text form.
func (f File) String() string {
	var b strings.Builder
	switch f.Kind {
	case KindPlain, KindTooBig:
		fmt.Fprintf(&b, "%s:%s", f.Kind, f.Digest)
	case KindSealed:
		fmt.Fprintf(&b, "sealed:%s sha256:%s", f.Fingerprint, f.Digest)
	case KindKeyed:
		fmt.Fprintf(&b, "keyed:%s", f.Fingerprint)
	case KindLink:
		fmt.Fprintf(&b, "link:%s", word(f.Target))
	default:
		b.WriteString(string(f.Kind))
	}
	fmt.Fprintf(&b, " %04o %s:%s", UnixMode(f.Mode), colonWord(f.Owner), colonWord(f.Group))
	names := make([]string, 0, len(f.Xattr))
	for name := range f.Xattr {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, " xattr:%s=%s", strings.ReplaceAll(word(name), "=", "%3D"), base64.RawURLEncoding.EncodeToString([]byte(f.Xattr[name])))
	}
	return b.String()
}

// ParseFile reads the text form.
func ParseFile(s string) (File, error) {
	var f File
	bad := func(what string) (File, error) {
		return File{}, fmt.Errorf("file value %.80q: bad %s", s, what)
	}
	words := strings.Split(s, " ")
	kind, arg, _ := strings.Cut(words[0], ":")
	f.Kind = Kind(kind)
	words = words[1:]
	var err error
	switch f.Kind {
	case KindPlain, KindTooBig:
		f.Digest, err = ParseDigest(arg)
	case KindSealed:
		if len(words) == 0 {
			return bad("digest")
		}
		f.Fingerprint = arg
		digest, ok := strings.CutPrefix(words[0], "sha256:")
		if !ok {
			return bad("digest")
		}
		f.Digest, err = ParseDigest(digest)
		words = words[1:]
	case KindKeyed:
		f.Fingerprint = arg
	case KindLink:
		f.Target, err = Unescape(arg)
	case KindDir, KindOther:
	default:
		return bad("kind")
	}
	if err != nil {
		return bad("digest or target")
	}
	if len(words) < 2 {
		return bad("mode or owner")
	}
	mode, err := strconv.ParseUint(words[0], 8, 12)
	if err != nil {
		return bad("mode")
	}
	f.Mode = FileMode(uint32(mode))
	owner, group, ok := strings.Cut(words[1], ":")
	if !ok {
		return bad("owner")
	}
	if f.Owner, err = Unescape(owner); err != nil {
		return bad("owner")
	}
	if f.Group, err = Unescape(group); err != nil {
		return bad("group")
	}
	return f.parseXattr(words[2:], bad)
}

func (f File) parseXattr(words []string, bad func(string) (File, error)) (File, error) {
	for _, w := range words {
		w, ok := strings.CutPrefix(w, "xattr:")
		name, value, ok2 := strings.Cut(w, "=")
		if !ok || !ok2 {
			return bad("word")
		}
		raw, err := base64.RawURLEncoding.DecodeString(value)
		if err != nil {
			return bad("extended attribute")
		}
		name, err = Unescape(name)
		if err != nil {
			return bad("extended attribute")
		}
		if f.Xattr == nil {
			f.Xattr = map[string]string{}
		}
		f.Xattr[name] = string(raw)
	}
	return f, nil
}

// HasContent tells whether the server can hold a content for the file, named by
// Digest.
func (f File) HasContent() bool { return f.Kind == KindPlain || f.Kind == KindSealed }

// UnixMode turns a Go file mode into the twelve bits of stat(2).
func UnixMode(m fs.FileMode) uint32 {
	n := uint32(m.Perm())
	for bit, go_ := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if m&go_ != 0 {
			n |= bit
		}
	}
	return n
}

// FileMode turns the twelve bits of stat(2) into a Go file mode.
func FileMode(n uint32) fs.FileMode {
	m := fs.FileMode(n & 0o777)
	for bit, go_ := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if n&bit != 0 {
			m |= go_
		}
	}
	return m & modeBits
}

func word(s string) string      { return strings.ReplaceAll(Escape(s), " ", "%20") }
func colonWord(s string) string { return strings.ReplaceAll(word(s), ":", "%3A") }
