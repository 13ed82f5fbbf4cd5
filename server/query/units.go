package query

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

var errUnit = errors.New("no such unit")

// parseWhen reads an age ("7d", "1d12h", "2w") or a time (RFC 3339, or its date
// alone, which is the begin of that day in UTC). age is negative for a time.
func parseWhen(s string) (at time.Time, age time.Duration, err error) {
	if d, err := parseAge(s); err == nil {
		return time.Time{}, d, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01"} {
		if at, err = time.Parse(layout, s); err == nil {
			return at, -1, nil
		}
	}
	return time.Time{}, 0, fmt.Errorf("time %.80q: want an age such as 7d or a date such as 2026-11-20", s)
}

var ageUnits = map[string]time.Duration{
	"s": time.Second, "m": time.Minute, "min": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour, "y": 365 * 24 * time.Hour,
}

// parseAge reads one or more whole numbers with units.
func parseAge(s string) (time.Duration, error) {
	total := time.Duration(0)
	rest := strings.ToLower(s)
	for rest != "" {
		number, after := digits(rest)
		unit := after
		for i := range len(after) {
			if after[i] >= '0' && after[i] <= '9' {
				unit = after[:i]
				break
			}
		}
		n, err := strconv.ParseInt(number, 10, 32)
		u := ageUnits[unit]
		if err != nil || u == 0 || time.Duration(n) > (math.MaxInt64-total)/u {
			return 0, fmt.Errorf("age %.80q: %w", s, errUnit)
		}
		total += time.Duration(n) * u
		rest = after[len(unit):]
	}
	if s == "" {
		return 0, fmt.Errorf("age %.80q: %w", s, errUnit)
	}
	return total, nil
}

func digits(s string) (number, rest string) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return s[:i], s[i:]
		}
	}
	return s, ""
}

// parseSize reads bytes with an optional unit. As everywhere in memory and file
// sizes, K, M, G and T are powers of 1024, written with or without "iB" or "B".
func parseSize(s string) (float64, error) {
	text := strings.ToUpper(strings.ReplaceAll(s, " ", ""))
	text = strings.TrimSuffix(strings.TrimSuffix(text, "B"), "I")
	unit := 1.0
	if n := len(text); n > 0 {
		if i := strings.IndexByte("KMGTP", text[n-1]); i >= 0 {
			unit = math.Pow(1024, float64(i+1))
			text = text[:n-1]
		}
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || v < 0 || math.IsInf(v, 0) || math.IsNaN(v) || strings.ContainsAny(text, "XP_") {
		return 0, fmt.Errorf("size %.80q: %w", s, errUnit)
	}
	return v * unit, nil
}
