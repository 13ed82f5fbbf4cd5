package server

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rollcall/internal/conf"
	"rollcall/internal/seal"
	"rollcall/server/cmdb"
	"rollcall/server/store"
)

// DefaultConfig is where the configuration lies unless another is named.
const DefaultConfig = "/etc/rollcall/server.conf"

// Config is the server's configuration file. packaging/server.conf documents it.
type Config struct {
	Data        string        `conf:"data"`    // folder that holds everything
	Listen      string        `conf:"listen"`  // host:port for agents and operators
	Addresses   []string      `conf:"address"` // host:port under which machines reach it
	SRV         string        `conf:"srv"`     // _rollcall._tcp or _rollcall._tcp.DOMAIN: where machines find it instead
	Metrics     string        `conf:"metrics"` // host:port for Prometheus, loopback; empty: none
	Tenant      string        `conf:"tenant"`
	SilentAfter time.Duration `conf:"silent_after"`
	Connections int           `conf:"connections"` // at once
	PerHost     int           `conf:"connections_per_host"`
	Handshakes  int           `conf:"handshakes"`          // a second, of those who show no pass
	Enrolments  int           `conf:"enrolments_per_host"` // a minute
	Session     time.Duration `conf:"session"`             // life of a login by password
	SessionIdle time.Duration `conf:"session_idle"`        // it ends when it is not used for so long
	Reserve     conf.Size     `conf:"reserve"`             // read-only when less is free on the disk; 0: the larger of 2 % and 512 MiB

	Sitesummary         string `conf:"sitesummary"`          // host:port where sitesummary-client uploads, plain HTTP; empty: nowhere
	SitesummarySite     string `conf:"sitesummary_site"`     // where machines are put that come in that way
	SitesummaryMachines int    `conf:"sitesummary_machines"` // so many may
	SitesummaryFolder   string `conf:"sitesummary_folder"`   // where entries/ is kept for the tools that read it; empty: nowhere

	ObservedClients int `conf:"observed_clients"` // CIs that one boot server may make of machines it sees; 0: none

	BackupRecipients []string `conf:"backup_recipient"` // age; their private halves are offline
	KeepHistory      string   `conf:"keep_history"`     // see period; empty: for ever
	KeepEnvelopes    string   `conf:"keep_envelopes"`
}

// Defaults returns the configuration of a server that nobody has configured.
func Defaults() Config {
	return Config{
		Data: "/var/lib/rollcall-server", Listen: ":7465", Metrics: "127.0.0.1:9465", Tenant: "main",
		SilentAfter: 72 * time.Hour, Connections: 4000, PerHost: 500, Handshakes: 200, Enrolments: 60, Session: 8 * time.Hour, SessionIdle: 30 * time.Minute,
		SitesummaryMachines: 2000, ObservedClients: 1000,
	}
}

// Validate implements conf.Validator.
func (c *Config) Validate() error {
	var errs []error
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		errs = append(errs, conf.Bad("listen", "want host:port, or :port for all addresses"))
	}
	for _, a := range c.Addresses {
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || port == "" {
			errs = append(errs, conf.Bad("address", "want host:port, as machines reach this server"))
		}
	}
	if domain, ok := strings.CutPrefix(c.SRV, serviceName); c.SRV != "" && (!ok || domain != "" && (domain[0] != '.' || strings.Trim(domain, domainBytes) != "")) {
		errs = append(errs, conf.Bad("srv", "want %s, or that with a domain behind it", serviceName))
	}
	if c.Metrics != "" {
		host, _, err := net.SplitHostPort(c.Metrics)
		ip := net.ParseIP(host)
		if err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			errs = append(errs, conf.Bad("metrics", "want host:port of a loopback address: the figures tell much about a network"))
		}
	}
	if !filepath.IsAbs(c.Data) {
		errs = append(errs, conf.Bad("data", "want an absolute path"))
	}
	if more := len(c.socket()) - maxSocket; more > 0 {
		errs = append(errs, conf.Bad("data", "want a path that is %d bytes shorter: there is a socket in it", more))
	}
	if !validTenant(c.Tenant) {
		errs = append(errs, conf.Bad("tenant", "want 1 to 32 lower-case letters, digits and hyphens"))
	}
	if c.SilentAfter < time.Hour {
		errs = append(errs, conf.Bad("silent_after", "want an hour or more"))
	}
	if c.Session < 5*time.Minute || c.Session > 7*24*time.Hour || c.SessionIdle < time.Minute || c.SessionIdle > c.Session {
		errs = append(errs, conf.Bad("session", "want 5 minutes to 7 days, and a session_idle of a minute or more that is not longer"))
	}
	if c.Connections < 10 || c.PerHost < 1 {
		errs = append(errs, conf.Bad("connections", "want 10 or more, and 1 or more for each host"))
	}
	if c.Handshakes < 10 || c.Handshakes > mostHandshakes {
		errs = append(errs, conf.Bad("handshakes", "want 10 to %d a second", mostHandshakes))
	}
	if c.Enrolments < 1 || c.Enrolments > mostEnrolments {
		errs = append(errs, conf.Bad("enrolments_per_host", "want 1 to %d a minute", mostEnrolments))
	}
	if _, _, err := net.SplitHostPort(c.Sitesummary); c.Sitesummary != "" && err != nil {
		errs = append(errs, conf.Bad("sitesummary", "want host:port, or :port for all addresses"))
	}
	if err := cmdb.CheckSite(c.SitesummarySite); err != nil {
		errs = append(errs, conf.Bad("sitesummary_site", "%v", err))
	}
	if c.SitesummaryFolder != "" && !filepath.IsAbs(c.SitesummaryFolder) {
		errs = append(errs, conf.Bad("sitesummary_folder", "want an absolute path"))
	}
	if c.SitesummaryMachines < 1 || c.SitesummaryMachines > mostUnsigned {
		errs = append(errs, conf.Bad("sitesummary_machines", "want 1 to %d", mostUnsigned))
	}
	if c.ObservedClients < 0 || c.ObservedClients > mostUnsigned {
		errs = append(errs, conf.Bad("observed_clients", "want 0 to %d", mostUnsigned))
	}
	for key, value := range map[string]string{"keep_history": c.KeepHistory, "keep_envelopes": c.KeepEnvelopes} {
		if _, err := period(value); err != nil {
			errs = append(errs, conf.Bad(key, "%v", err))
		}
	}
	if _, err := seal.ParseRecipients(c.BackupRecipients); err != nil {
		errs = append(errs, conf.Bad("backup_recipient", "%v", err))
	}
	if c.Reserve != 0 && c.Reserve < leastConfigured {
		errs = append(errs, conf.Bad("reserve", "want %s or more, or 0 for the larger of 2 %% and 512MiB", conf.Size(leastConfigured)))
	}
	return errors.Join(errs...)
}

// leastConfigured is the smallest reserve: what may come in between two looks at
// the disk must fit into it.
const leastConfigured = 8 << 20

// What agents look for, see uplink.Service.
const (
	serviceName = "_rollcall._tcp"
	domainBytes = "abcdefghijklmnopqrstuvwxyz0123456789.-_"
)

// A processor makes some 2,000 handshakes a second, and an admission costs more.
const (
	mostHandshakes = 10_000
	mostEnrolments = 60_000
	mostUnsigned   = 100_000
)

// maxSocket is the length of a socket's path, see unix(7).
const maxSocket = 107

func validTenant(t string) bool {
	ok := t != "" && len(t) <= 32 && t != store.System
	for _, c := range []byte(t) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-')
	}
	return ok
}

func (c Config) database() string { return filepath.Join(c.Data, "rollcall.db") }

// KeyFile is where the private key of the server lies.
func (c Config) KeyFile() string { return filepath.Join(c.Data, "server.key") }

// Writable names the folders that a running server writes into, as far as they are
// there. The mirror's is named by itself because it may be a link to another disk.
func (c Config) Writable() []string {
	dirs := []string{c.Data}
	for _, dir := range []string{c.mirrorDir(), c.SitesummaryFolder} {
		if _, err := os.Stat(dir); err == nil {
			dirs = append(dirs, dir)
		} // the mirror will be made in the data folder
	}
	return dirs
}

// LogKeyFile is where the private key of the evidence log lies.
func (c Config) LogKeyFile() string { return filepath.Join(c.Data, "log.key") }

func (c Config) mirrorDir() string { return filepath.Join(c.Data, "mirror") }
