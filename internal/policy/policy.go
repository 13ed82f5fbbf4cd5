// Package policy is the form of a policy bundle: what agents collect and how
// often, signed by a key that is on no network.
//
// It promises that a bundle can only take away: it has no words for more than an
// agent's program and its own configuration allow, and one with a word that this
// version does not know is refused as a whole. It says when a bundle counts. Which
// one a machine has seen before, and what is narrowed by it, is left to the agent.
package policy

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"rollcall/internal/conf"
)

// Policy is what the text of a bundle says, see package conf for its form. What it
// does not say stays as the machine's own configuration has it.
type Policy struct {
	Realm    string        `conf:"realm"`     // of the server whose machines it is for: 32 hexadecimal digits, see identity.RealmOf
	Version  int64         `conf:"version"`   // from 1 on; rises with each bundle of a realm
	From     string        `conf:"from"`      // first moment at which it counts: RFC 3339, or a day, which begins in UTC
	Until    string        `conf:"until"`     // first moment at which it counts no more
	Interval time.Duration `conf:"interval"`  // at least this between two looks; 0: as configured
	WatchEtc bool          `conf:"watch_etc"` // no: changes below /etc are seen at the interval only
	Debsums  bool          `conf:"debsums"`   // no: the files of packages are not compared
	Skip     []string      `conf:"skip"`      // collectors that do not run
	Exclude  []string      `conf:"exclude"`   // names or paths below /etc that are left out
	NextPin  string        `conf:"next_pin"`  // of the key that the server will have, sha256:…
}

// Bounds of a policy.
const (
	MaxInterval = 7 * 24 * time.Hour
	MinInterval = time.Minute
	MaxLife     = 400 * 24 * time.Hour // from From to Until: who holds back newer ones gains no more

	maxNames = 200 // collectors, and patterns
	maxName  = 200 // bytes of each
)

// Errors of Judge.
var (
	ErrEarly   = errors.New("it does not count yet")
	ErrExpired = errors.New("it has expired")
)

// parse reads the text of a bundle.
func parse(text []byte) (Policy, error) {
	p := Policy{WatchEtc: true, Debsums: true}
	if err := conf.Parse("policy", bytes.NewReader(text), &p); err != nil {
		return Policy{}, err
	}
	return p, nil
}

// Validate reports what makes no sense, see conf.Validator.
func (p Policy) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) { errs = append(errs, conf.Bad(key, format, args...)) }
	if b, err := hex.DecodeString(p.Realm); err != nil || len(b) != 16 || p.Realm != strings.ToLower(p.Realm) {
		bad("realm", "%.80q is not 32 hexadecimal digits, as rollcall policy status prints them", p.Realm)
	}
	if p.Version < 1 {
		bad("version", "%d is not 1 or more", p.Version)
	}
	from, fromErr := moment(p.From)
	if fromErr != nil {
		bad("from", "%w", fromErr)
	}
	until, untilErr := moment(p.Until)
	switch {
	case untilErr != nil:
		bad("until", "%w", untilErr)
	case fromErr != nil:
	case !until.After(from):
		bad("until", "%s is not after %s", p.Until, p.From)
	case until.Sub(from) > MaxLife:
		bad("until", "%s is more than %d days after %s", p.Until, int(MaxLife.Hours()/24), p.From)
	}
	if p.Interval != 0 && (p.Interval < MinInterval || p.Interval > MaxInterval) {
		bad("interval", "%s is not between %s and %s", p.Interval, MinInterval, MaxInterval)
	}
	for key, names := range map[string][]string{"skip": p.Skip, "exclude": p.Exclude} {
		if err := checkNames(names); err != nil {
			bad(key, "%w", err)
		}
	}
	for _, name := range p.Skip {
		if name != strings.Trim(name, "-") || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			bad("skip", "%.80q is not the name of a collector", name)
		}
	}
	if digits, ok := strings.CutPrefix(p.NextPin, "sha256:"); p.NextPin != "" && (!ok || len(digits) != 64 || strings.Trim(digits, "0123456789abcdef") != "") {
		bad("next_pin", "%.80q is not sha256: and 64 hexadecimal digits, as rollcall-server next-key prints it", p.NextPin)
	}
	return errors.Join(errs...)
}

func checkNames(names []string) error {
	if len(names) > maxNames {
		return fmt.Errorf("%d are more than %d", len(names), maxNames)
	}
	for _, name := range names {
		if _, err := path.Match(name, ""); err != nil || name == "" || len(name) > maxName {
			return fmt.Errorf("%.80q is empty, too long, or no pattern", name)
		}
	}
	return nil
}

// moment reads a time or a day of a sane year.
func moment(text string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		at, err = time.Parse(time.DateOnly, text)
	}
	if err != nil || at.Year() < 1970 || at.Year() > 9000 {
		return time.Time{}, fmt.Errorf("%.80q is neither a day, 2026-12-24, nor a time, 2026-12-24T12:00:00Z", text)
	}
	return at.UTC(), nil
}

// Window gives from when until before when a valid policy counts.
func (p Policy) Window() (from, until time.Time) {
	from, _ = moment(p.From) // Validate has seen both
	until, _ = moment(p.Until)
	return from, until
}

// Judge returns ErrEarly or ErrExpired if a valid policy does not count at that time.
func (p Policy) Judge(at time.Time) error {
	from, until := p.Window()
	switch {
	case at.Before(from):
		return fmt.Errorf("policy %d: %w: from %s on", p.Version, ErrEarly, from.Format(time.RFC3339))
	case !at.Before(until):
		return fmt.Errorf("policy %d: %w: on %s", p.Version, ErrExpired, until.Format(time.RFC3339))
	}
	return nil
}
