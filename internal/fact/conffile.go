package fact

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// Conffile is what dpkg has on record about one configuration file of a package
// (deb-conffiles(5), field Conffiles of /var/lib/dpkg/status).
type Conffile struct {
	Package  string
	MD5      [16]byte // of the content that the package shipped
	Obsolete bool     // the package's present version no longer ships it
}

// Drift tells how a conffile differs from dpkg's record.
type Drift string

// The kinds of drift. A conffile that is as shipped has none and no fact.
const (
	Modified Drift = "modified"
	Missing  Drift = "missing"
	Obsolete Drift = "obsolete"
)

// ConffileDrift is the value of a fact below "conffile/", for example
// "modified cups-daemon md5=9e107d9d372bb6826bd81d3542a419d6". The digest is
// that of the shipped content, never of what is on the machine.
type ConffileDrift struct {
	Drift    Drift
	Package  string
	Pristine [16]byte
}

// String gives the text form.
func (c ConffileDrift) String() string {
	return string(c.Drift) + " " + word(c.Package) + " md5=" + hex.EncodeToString(c.Pristine[:])
}

// ParseConffileDrift reads the text form.
func ParseConffileDrift(s string) (ConffileDrift, error) {
	words := strings.Split(s, " ")
	var c ConffileDrift
	if len(words) != 3 {
		return c, fmt.Errorf("conffile value %.80q: want drift, package and md5", s)
	}
	c.Drift = Drift(words[0])
	switch c.Drift {
	case Modified, Missing, Obsolete:
	default:
		return ConffileDrift{}, fmt.Errorf("conffile value %.80q: unknown drift %.20q", s, words[0])
	}
	var err error
	if c.Package, err = Unescape(words[1]); err != nil {
		return ConffileDrift{}, fmt.Errorf("conffile value %.80q: package: %w", s, err)
	}
	digest, ok := strings.CutPrefix(words[2], "md5=")
	if n, err := hex.Decode(c.Pristine[:min(len(digest)/2, 16)], []byte(digest[:min(len(digest), 32)])); !ok || err != nil || n != 16 || len(digest) != 32 {
		return ConffileDrift{}, fmt.Errorf("conffile value %.80q: want md5= and 32 hexadecimal digits", s)
	}
	return c, nil
}
