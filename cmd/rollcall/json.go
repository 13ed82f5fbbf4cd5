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
	b, err := indented(v)
	if err != nil {
		return err
	}
	a.out.raw(b)
	return a.out.failed
}

// indented gives one JSON document, inert.
func indented(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	return inertJSON(b.Bytes()), nil
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
