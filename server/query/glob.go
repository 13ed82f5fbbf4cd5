package query

import "strings"

// IsGlob tells whether s holds a wild card.
func IsGlob(s string) bool { return strings.ContainsAny(s, "*?") }

// Glob tells whether all of s matches the pattern: "*" is any run of characters,
// also of "/", and "?" is one byte. Time is at most the product of the lengths.
func Glob(pattern, s string) bool {
	p, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// stem returns what every match of the pattern begins with.
func stem(pattern string) string {
	if i := strings.IndexAny(pattern, "*?"); i >= 0 {
		return pattern[:i]
	}
	return pattern
}

// inTree tells whether a place is the one that is asked for: "elm/*" is elm and
// all below it, other patterns are globs.
func inTree(pattern, place string) bool {
	if top, ok := strings.CutSuffix(pattern, "/*"); ok && !IsGlob(top) {
		return place == top || strings.HasPrefix(place, pattern[:len(top)+1])
	}
	if !IsGlob(pattern) {
		return place == pattern
	}
	return Glob(pattern, place)
}
