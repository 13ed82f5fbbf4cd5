package fact

import "strings"

// CompareVersions orders two Debian package versions as dpkg does (Debian
// policy section 5.6.12, deb-version(7)): it returns -1, 0 or +1 as a is
// earlier than, equal to or later than b.
//
// Every pair of strings has an answer and the answers form one order, also for
// text that dpkg would refuse as a version: a part before ":" that is not a
// number is no epoch but the begin of the upstream version. Versions that
// differ as text can be equal, as "1.0" and "1.00-0" are.
func CompareVersions(a, b string) int {
	if a == b {
		return 0
	}
	epochA, a := cutEpoch(a)
	epochB, b := cutEpoch(b)
	if c := comparePart(epochA, epochB); c != 0 {
		return c
	}
	upstreamA, revisionA := cutRevision(a)
	upstreamB, revisionB := cutRevision(b)
	if c := comparePart(upstreamA, upstreamB); c != 0 {
		return c
	}
	return comparePart(revisionA, revisionB)
}

func cutEpoch(v string) (epoch, rest string) {
	for i := range len(v) {
		switch {
		case v[i] == ':' && i > 0:
			return v[:i], v[i+1:]
		case !digit(v[i]):
			return "", v
		}
	}
	return "", v
}

func cutRevision(v string) (upstream, revision string) {
	if i := strings.LastIndexByte(v, '-'); i >= 0 {
		return v[:i], v[i+1:]
	}
	return v, ""
}

// comparePart compares by turns a run of non-digits by character weight and a
// run of digits by number, whatever its length.
func comparePart(a, b string) int {
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		for i < len(a) && !digit(a[i]) || j < len(b) && !digit(b[j]) {
			if wa, wb := weightAt(a, i), weightAt(b, j); wa != wb {
				return sign(wa - wb)
			}
			i++
			j++
		}
		numA, numB := number(a, i), number(b, j)
		i, j = i+runLength(a, i), j+runLength(b, j)
		if len(numA) != len(numB) {
			return sign(len(numA) - len(numB))
		}
		if c := strings.Compare(numA, numB); c != 0 {
			return c
		}
	}
	return 0
}

// weightAt gives the place of a character in the order: "~" before the end of
// the text and before digits, then letters, then everything else.
func weightAt(s string, i int) int {
	if i >= len(s) || digit(s[i]) {
		return 0
	}
	switch c := s[i]; {
	case c == '~':
		return -1
	case c|0x20 >= 'a' && c|0x20 <= 'z':
		return int(c)
	default:
		return int(c) + 256
	}
}

// number returns the digits at i without leading zeros.
func number(s string, i int) string {
	if i >= len(s) {
		return ""
	}
	return strings.TrimLeft(s[i:i+runLength(s, i)], "0")
}

func runLength(s string, i int) int {
	n := 0
	for i+n < len(s) && digit(s[i+n]) {
		n++
	}
	return n
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}
