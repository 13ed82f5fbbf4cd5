package query

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"rollcall/internal/fact"
)

// ends returns the two ends of a range "4G..8G". Only what has an order has ranges:
// elsewhere two dots are part of the value.
func (e Term) ends(value string) (low, high string, ok bool) {
	switch e.kind() {
	case Version, Number, Size, Time:
		return strings.Cut(value, "..")
	case Text, Tree:
	}
	return "", "", false
}

// onlyRanges tells whether every value is a range.
func (e Term) onlyRanges() bool {
	return !slices.ContainsFunc(e.Values, func(v string) bool {
		_, _, ok := e.ends(v)
		return !ok
	})
}

// within tells whether a value lies in a range, ends included.
func (e Term) within(got, low, high string, now time.Time) bool {
	a, okA := e.order(got, low, now)
	b, okB := e.order(got, high, now)
	return okA && okB && a >= 0 && b <= 0
}

// rank orders the ends of a range; ok is false where only a time can tell.
func (e Term) rank(low, high string) (int, bool) {
	switch e.kind() {
	case Time:
		at, age, errLow := parseWhen(low)
		at2, age2, errHigh := parseWhen(high)
		if errLow != nil || errHigh != nil || (age < 0) != (age2 < 0) {
			return 0, false
		}
		if age >= 0 {
			return cmp.Compare(age, age2), true
		}
		return at.Compare(at2), true
	case Size, Number:
		return e.order(low, high, time.Time{})
	case Version, Text, Tree:
	}
	return fact.CompareVersions(low, high), true
}
