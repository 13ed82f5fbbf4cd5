package cmdb

import (
	"errors"
	"strings"
	"time"
)

// NamedAt is CI for a question about the past: a name that leads to no CI of that
// time stands for the CI that had it at t. A zero t means now.
func (v View) NamedAt(idOrName string, t time.Time) (CI, error) {
	ci, err := v.CI(idOrName)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return CI{}, err
	}
	if t.IsZero() || IsID(idOrName) || err == nil && !t.Before(ci.Created) {
		return ci, err
	}
	for old, err := range v.All() {
		if err != nil {
			return CI{}, err
		}
		if t.Before(old.Created) || !t.Before(old.Changed) {
			continue // not there yet, or called as it is now
		}
		rev, err := v.AsOf(old, t)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return CI{}, err
		}
		if strings.EqualFold(rev.As(old).Name, idOrName) {
			return old, nil
		}
	}
	return ci, err
}
