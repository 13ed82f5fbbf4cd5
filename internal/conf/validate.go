package conf

import (
	"errors"
	"fmt"
)

// Bad returns an error of a Validate method about the setting key. [Parse]
// puts the file and the line of that key before it.
func Bad(key, format string, args ...any) error {
	return &badSetting{key: key, err: fmt.Errorf(format, args...)}
}

type badSetting struct {
	key string
	err error
}

func (b *badSetting) Error() string { return b.key + ": " + b.err.Error() }

func (b *badSetting) Unwrap() error { return b.err }

// locate puts the place in the file before each error that Validate joined.
func (p *parser) locate(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, p.locate(e))
		}
		return errors.Join(all...)
	}
	if bad, ok := errors.AsType[*badSetting](err); ok && p.seen[bad.key] > 0 {
		return fmt.Errorf("%s:%d: %w", p.name, p.seen[bad.key], err)
	}
	return fmt.Errorf("%s: %w", p.name, err)
}
