package faultfs

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"time"
)

// Places chooses which of a number of operations, 1 to total, shall fail, and why
// these, for the test's log: all of them where ROLLCALL_TORTURE is set, else a few,
// one from each part of the whole, by ROLLCALL_SEED or by the moment.
func Places(total, few int) (at []int, why string, err error) {
	if total <= few || os.Getenv("ROLLCALL_TORTURE") != "" {
		for n := range total {
			at = append(at, n+1)
		}
		return at, fmt.Sprintf("all %d operations", total), nil
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("ROLLCALL_SEED"); s != "" {
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			return nil, "", fmt.Errorf("ROLLCALL_SEED: %w", err)
		}
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := range few {
		from, to := i*total/few, (i+1)*total/few
		at = append(at, from+1+rng.IntN(to-from))
	}
	slices.Sort(at)
	return at, fmt.Sprintf("%d of %d operations, repeat with ROLLCALL_SEED=%d", few, total, seed), nil
}
