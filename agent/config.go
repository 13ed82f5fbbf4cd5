package agent

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"time"

	"rollcall/internal/conf"
	"rollcall/internal/fact"
	"rollcall/internal/seal"
)

// Config is /etc/rollcall/agent.conf. Where the server is does not stand here:
// that comes with the enrolment token and is kept in the state folder.
type Config struct {
	State      string        `conf:"state"`       // folder for key, spool and caches, 0700
	Root       string        `conf:"root"`        // "/", or a mounted or recorded machine
	Interval   time.Duration `conf:"interval"`    // between two looks, give or take a tenth
	BootSpread time.Duration `conf:"boot_spread"` // after a boot the first look waits for a random part of this
	WatchEtc   bool          `conf:"watch_etc"`   // look soon after a change below /etc or by dpkg
	Recipients []string      `conf:"recipient"`   // age recipients of secrets; at least two are wise
	Exclude    []string      `conf:"exclude"`     // names or paths below /etc that are left out
	RadarKey   string        `conf:"radar_key"`   // file with the key that finds secrets shared by machines
	Secret     []string      `conf:"secret"`      // paths below /etc that are sealed, beside the built-in list
	NextPin    string        `conf:"next_pin"`    // of the key that the server will have, sha256:…
	Site       string        `conf:"site"`        // hint for the server, elm/north/b1/room12
	Class      string        `conf:"class"`       // hint for the server: server, workstation, laptop, …
	Debsums    bool          `conf:"debsums"`     // compare the files of packages with their digests, a round each week
	Clients    bool          `conf:"clients"`     // a boot or DHCP server tells which machines it sees
	InMemory   bool          `conf:"in_memory"`   // keep the spool in memory (diskless clients)
	SpoolSize  conf.Size     `conf:"spool_size"`  // of reports and contents that wait
	Memory     conf.Size     `conf:"memory"`      // soft limit of the Go runtime
}

// Bounds of the interval. The shortest is for tests and small installations: a
// server cannot ask for less.
const (
	minInterval = time.Minute
	maxInterval = 7 * 24 * time.Hour
)

// Default returns the configuration of a machine without a configuration file.
func Default() Config {
	return Config{
		State: "/var/lib/rollcall", Root: "/", Interval: time.Hour, BootSpread: 5 * time.Minute, WatchEtc: true, Clients: true,
		SpoolSize: 64 << 20, Memory: 64 << 20,
	}
}

// Validate reports settings that make no sense, see conf.Validator.
func (c Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) { errs = append(errs, conf.Bad(key, format, args...)) }
	if !filepath.IsAbs(c.State) {
		bad("state", "%q is not an absolute path", c.State)
	}
	if !filepath.IsAbs(c.Root) {
		bad("root", "%q is not an absolute path", c.Root)
	}
	if c.Interval < minInterval || c.Interval > maxInterval {
		bad("interval", "%s is not between %s and %s", c.Interval, minInterval, maxInterval)
	}
	if c.BootSpread < 0 || c.BootSpread > 24*time.Hour {
		bad("boot_spread", "%s is not between 0 and 24h", c.BootSpread)
	}
	if c.SpoolSize < 8<<20 {
		bad("spool_size", "%s is less than 8MiB, which one report may need", c.SpoolSize)
	}
	if c.Memory < 16<<20 {
		bad("memory", "%s is less than 16MiB", c.Memory)
	}
	if digits, ok := strings.CutPrefix(c.NextPin, "sha256:"); c.NextPin != "" && (!ok || len(digits) != 64 || strings.Trim(digits, "0123456789abcdef") != "") {
		bad("next_pin", "%q is not sha256: and 64 hexadecimal digits, as rollcall-server next-key prints it", c.NextPin)
	}
	if _, err := seal.ParseRecipients(c.Recipients); err != nil {
		bad("recipient", "%w", err)
	}
	if c.RadarKey != "" && !filepath.IsAbs(c.RadarKey) {
		bad("radar_key", "%q is not an absolute path", c.RadarKey)
	}
	for _, pattern := range c.Exclude {
		if _, err := path.Match(pattern, ""); err != nil {
			bad("exclude", "%q: %w", pattern, err)
		}
	}
	for _, pattern := range c.Secret {
		if _, err := path.Match(pattern, ""); err != nil {
			bad("secret", "%q: %w", pattern, err)
		}
	}
	for key, value := range map[string]string{"site": c.Site, "class": c.Class} {
		if value != fact.Value(value) || len(value) > 200 || strings.Contains(value, "..") {
			bad(key, "%q is not a plain name", value)
		}
	}
	return errors.Join(errs...)
}

// policy names everything that the values in the cache of /etc depend on.
func (c Config) policy() string {
	return fmt.Sprintf("v2 exclude=%q secret=%q", c.Exclude, c.Secret)
}

// isSecret tells whether the configuration adds a path to the list of secrets.
func (c Config) isSecret(name string) bool {
	for _, pattern := range c.Secret {
		subject := name
		if !strings.Contains(pattern, "/") {
			subject = path.Base(name)
		}
		if ok, err := path.Match(pattern, subject); ok && err == nil {
			return true
		}
	}
	return false
}
