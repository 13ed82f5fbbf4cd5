package fact

import (
	"slices"
	"strings"
)

// Under tells whether a fact's path is prefix itself or below it as a tree:
// "etc/cups" covers "etc/cups" and "etc/cups/cupsd.conf", not "etc/cups-browsed".
// Everything is under "".
func Under(path, prefix string) bool {
	prefix = strings.TrimSuffix(prefix, "/")
	return prefix == "" || path == prefix || strings.HasPrefix(path, prefix+"/")
}

// UnderAny tells whether a fact's path is under one of prefixes; it is if there are
// none.
func UnderAny(path string, prefixes []string) bool {
	return len(prefixes) == 0 || slices.ContainsFunc(prefixes, func(p string) bool { return Under(path, p) })
}
