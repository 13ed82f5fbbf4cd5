package agent

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"rollcall/internal/conf"
	"rollcall/internal/fact"
	"rollcall/internal/policy"
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
	Skip       []string      `conf:"skip"`        // collectors that do not run
	NextPin    string        `conf:"next_pin"`    // of the key that the server will have, sha256:…
	PolicyKeys []string      `conf:"policy_key"`  // pins of the keys that sign policies, sha256:…
	PolicyFile string        `conf:"policy_file"` // where a signed policy may lie
	Site       string        `conf:"site"`        // hint for the server, elm/north/b1/room12
	Class      string        `conf:"class"`       // hint for the server: server, workstation, laptop, …
	Debsums    bool          `conf:"debsums"`     // compare the files of packages with their digests, a round each week
	Clients    bool          `conf:"clients"`     // a boot or DHCP server tells which machines it sees
	InMemory   bool          `conf:"in_memory"`   // keep the spool in memory (diskless clients)
	SpoolSize  conf.Size     `conf:"spool_size"`  // of reports and contents that wait
	Memory     conf.Size     `conf:"memory"`      // soft limit of the Go runtime

	invited []string // policy keys of the invitation by which the machine enrols
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
		State: "/var/lib/rollcall", Root: "/", PolicyFile: "/etc/rollcall/policy", Interval: time.Hour, BootSpread: 5 * time.Minute, WatchEtc: true, Clients: true,
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
	if c.NextPin != "" && !isPin(c.NextPin) {
		bad("next_pin", "%q is not sha256: and 64 hexadecimal digits, as rollcall-server next-key prints it", c.NextPin)
	}
	for _, pin := range c.PolicyKeys {
		if !isPin(pin) {
			bad("policy_key", "%q is not sha256: and 64 hexadecimal digits, as rollcall-recovery policy key prints it", pin)
		}
	}
	if !filepath.IsAbs(c.PolicyFile) {
		bad("policy_file", "%q is not an absolute path", c.PolicyFile)
	}
	for _, name := range c.Skip {
		if !slices.Contains(policy.Collectors, name) {
			bad("skip", "there is no collector %q: rollcall-agent once --dry-run lists them", name)
		}
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

// isPin tells whether a text has the form of identity.PinOf.
func isPin(text string) bool {
	digits, ok := strings.CutPrefix(text, "sha256:")
	return ok && len(digits) == 64 && strings.Trim(digits, "0123456789abcdef") == ""
}

// etcRules names everything that the values in the cache of /etc depend on.
func etcRules(exclude, secret []string) string {
	return fmt.Sprintf("v2 exclude=%q secret=%q", exclude, secret)
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
