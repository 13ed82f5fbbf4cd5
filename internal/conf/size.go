package conf

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Size is a number of bytes, written as a whole number with an optional
// binary unit: 512, 64KiB, 64MiB, 2GiB, 1TiB.
type Size int64

// units, largest first. Decimal units are not understood: whether 64MB means
// 64,000,000 is a question that a configuration file should not raise.
func units() []unit {
	return []unit{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}
}

type unit struct {
	name  string
	bytes Size
}

// ParseSize reads the text form of a Size, with or without a blank before the
// unit. A negative size, another unit and an overflow are errors.
func ParseSize(s string) (Size, error) {
	factor, number := Size(1), s
	for _, u := range units() {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			factor, number = u.bytes, strings.TrimRight(rest, " \t")
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || Size(n) > math.MaxInt64/factor {
		return 0, fmt.Errorf("%s is not a size like 512, 64KiB, 64MiB or 2GiB", quote(s))
	}
	return Size(n) * factor, nil
}

// String returns the shortest text form that ParseSize reads back as s.
func (s Size) String() string {
	for _, u := range units() {
		if s != 0 && s%u.bytes == 0 {
			return strconv.FormatInt(int64(s/u.bytes), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}
