package conf

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// fieldsOf returns the settable fields of a copy of *into by their keys, and
// that copy.
func fieldsOf(into any) (map[string]reflect.Value, reflect.Value, error) {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return nil, reflect.Value{}, fmt.Errorf("conf: %T is not a pointer to a struct", into)
	}
	target := reflect.New(v.Elem().Type()).Elem()
	target.Set(v.Elem())
	fields := make(map[string]reflect.Value)
	for field, value := range target.Fields() {
		key, ok := field.Tag.Lookup("conf")
		if !ok {
			continue
		}
		if !field.IsExported() || !supported(value) {
			return nil, target, fmt.Errorf("conf: field %s of %T: unexported or of a type without a text form", field.Name, into)
		}
		if _, twice := fields[key]; twice || key == "" {
			return nil, target, fmt.Errorf("conf: field %s of %T: key %q is empty or used twice", field.Name, into, key)
		}
		fields[key] = value
	}
	return fields, target, nil
}

func supported(v reflect.Value) bool {
	switch v.Interface().(type) {
	case string, []string, bool, int, int64, time.Duration, Size:
		return true
	}
	return false
}

// set parses value into field, whose type is supported.
func set(field reflect.Value, value string) error {
	switch field.Interface().(type) {
	case string:
		field.SetString(value)
	case []string:
		if value != "" {
			field.Set(reflect.Append(field, reflect.ValueOf(value)))
		}
	case bool:
		b, ok := map[string]bool{"yes": true, "true": true, "no": false, "false": false}[value]
		if !ok {
			return fmt.Errorf("%s is neither yes nor no", quote(value))
		}
		field.SetBool(b)
	case time.Duration:
		d, err := time.ParseDuration(value)
		if err != nil {
			return fmt.Errorf("%s is not a duration like 90s, 15m or 1h30m", quote(value))
		}
		field.SetInt(int64(d))
	case Size:
		s, err := ParseSize(value)
		if err != nil {
			return err
		}
		field.SetInt(int64(s))
	default:
		i, err := strconv.ParseInt(value, 10, field.Type().Bits())
		if errors.Is(err, strconv.ErrRange) {
			return fmt.Errorf("%s is too large a number", quote(value))
		}
		if err != nil {
			return fmt.Errorf("%s is not a whole number", quote(value))
		}
		field.SetInt(i)
	}
	return nil
}

// nearest returns the key that was probably meant, or "".
func nearest(key string, fields map[string]reflect.Value) string {
	best, least := "", max(2, len(key)/3)+1
	for k := range fields {
		d := distance(strings.ToLower(key), k)
		if d < least || (d == least && best != "" && k < best) {
			best, least = k, d
		}
	}
	return best
}

// distance counts the insertions, deletions and replacements of bytes between
// a and b. Names much longer than any key are far from everything.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
