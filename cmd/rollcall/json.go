package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// msTime is a time as the server gives it, in JSON RFC 3339 in UTC, or null.
type msTime int64

func (t msTime) MarshalJSON() ([]byte, error) {
	if t == 0 {
		return []byte("null"), nil
	}
	return json.Marshal(time.UnixMilli(int64(t)).UTC().Format("2006-01-02T15:04:05.999Z07:00"))
}

// document writes one JSON document.
func (a *app) document(v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	a.out.raw(inertJSON(b.Bytes()))
	return a.out.failed
}

// listOf makes sure that an empty list is [] and not null.
func listOf[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// finite replaces what JSON has no number for.
func finite(f float64) float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0
	}
	return f
}
