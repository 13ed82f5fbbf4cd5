package agent

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"rollcall/agent/collect"
	"rollcall/agent/etc"
	"rollcall/agent/uplink"
	"rollcall/internal/conf"
	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/internal/seal"
)

// memory is what one look leaves for the next.
type memory struct {
	Collect collect.Memory                 `json:"collect"`
	Logs    map[string]collect.LogPosition `json:"logs,omitempty"`
	Events  []collect.Event                `json:"events,omitempty"` // that no report has told yet
	Way     way                            `json:"way,omitzero"`
	Verify  collect.Verification           `json:"verify,omitzero"`
	Clients collect.Clients                `json:"clients,omitempty"`
	Refused map[string]string              `json:"policies_refused,omitempty"` // see Bundle
}

// way is what the server told about getting to it when many want to.
type way struct {
	Pass   []byte        `json:"pass,omitempty"`
	Spread time.Duration `json:"boot_spread_ns,omitempty"` // of the first look after a boot, if longer than configured
}

// gathered is what one look found.
type gathered struct {
	sets         map[string]fact.Set
	state        fact.Digest // of the sets, see compare
	measurements fact.Set
	events       []collect.Event
	status       []collect.Status
	incomplete   []collect.Status // whose absent facts still stand, see carryForward
	withheld     int
	memory       memory
	cacheChanged bool
}

// etcCollector is the scanner's name among the collectors.
const etcCollector = "etc"

// gather runs every collector that the policy permits and the scanner of /etc.
// Failures are in the status, never an error.
func (a *Agent) gather(ctx context.Context) gathered {
	p := a.policy()
	host := collect.Host{FS: a.root, Live: a.cfg.live(), Now: a.now, Cache: &a.cache, Verify: p.Debsums, Clients: a.cfg.Clients}
	run, off := permitted(a.collectors, p.Skip)
	res := a.runner.Run(ctx, host, run, a.memory.Collect)
	g := gathered{measurements: res.Measurements, status: slices.Concat(res.Status, off)}
	g.events = slices.Concat(a.memory.Events, a.noRoom.events(a.now()), res.Events)
	g.events = g.events[max(0, len(g.events)-maxReported):]
	g.memory = memory{Collect: res.Memory, Logs: a.cache.Logs(), Verify: a.cache.Verification(), Clients: a.cache.Clients()}
	g.incomplete = res.Status
	facts := slices.Concat(hinted(a.cfg, res.Facts), p.Bundle.facts())
	if slices.Contains(p.Skip, etcCollector) {
		g.status = append(g.status, collect.Status{Name: etcCollector, Owns: ofEtc, State: collect.Off})
	} else {
		facts = append(facts, a.scanEtc(ctx, host, p, &g)...)
	}
	g.sets = fact.Split(facts)
	return g
}

// ofEtc are the prefixes of what the scanner of /etc tells.
var ofEtc = []string{"etc/", "conffile/", "leftover/", "secret/"}

// scanEtc looks at /etc and notes in g how that went.
func (a *Agent) scanEtc(ctx context.Context, host collect.Host, p Policy, g *gathered) (facts []fact.Fact) {
	start := a.now()
	status := collect.Status{Name: etcCollector, Owns: ofEtc, State: collect.OK}
	var err error
	if a.scanner.Conffiles, err = collect.Conffiles(host); err != nil && !errors.Is(err, fs.ErrNotExist) {
		status.State, status.Detail = collect.Failed, fact.Value("dpkg's record: "+err.Error())
		g.incomplete = append(g.incomplete, collect.Status{State: collect.Failed, Owns: []string{"conffile/"}})
	}
	a.scanner.Remote = a.root.Remote("etc")
	a.scanner.Exclude, a.scanner.Policy = p.Exclude, etcRules(p.Exclude, a.cfg.Secret)
	scan, err := a.scanner.Scan(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		status.State = collect.NotHere
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		status.State, status.Detail = collect.TimedOut, fact.Value(err.Error())
	case err != nil:
		status.State, status.Detail = collect.Failed, fact.Value(err.Error())
	default:
		facts = scan.Facts
		g.withheld, g.cacheChanged = scan.Withheld, scan.CacheChanged
		if status.Detail == "" {
			status.Detail = fact.Value(scan.Status())
		}
		if scan.Denied() && status.State == collect.OK {
			status.State = collect.NoPermission
		}
	}
	status.Took = a.now().Sub(start)
	g.status = append(g.status, status)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		g.incomplete = append(g.incomplete, status)
	} // else the scanner itself keeps what it may not read: a deleted file must go
	return facts
}

// hinted puts the hints of the configuration among the facts.
func hinted(c Config, facts fact.Set) []fact.Fact {
	out := append([]fact.Fact(nil), facts...)
	if c.Site != "" {
		out = append(out, fact.Fact{Path: "id/site/site", Value: c.Site})
	}
	if c.Class != "" {
		out = append(out, fact.Fact{Path: "id/class", Value: c.Class})
	}
	return fact.NewSet(out)
}

// carryForward keeps what is known below the prefixes of collectors that could
// not look everywhere: that they did not see something does not mean that it is
// gone.
func carryForward(now, known map[string]fact.Set, status []collect.Status) {
	for _, s := range status {
		if s.State.Complete() {
			continue
		}
		for _, prefix := range s.Owns {
			section := fact.SectionOf(prefix)
			old := known[section].Below(prefix)
			if len(old) == 0 {
				continue
			}
			merged := make([]fact.Fact, 0, len(old)+len(now[section]))
			merged = append(append(merged, old...), now[section]...) // of two, the newer wins
			now[section] = fact.NewSet(merged)
		}
	}
}

// newScanner prepares the scanner of /etc with what the last run knew.
func (a *Agent) newScanner() error {
	recipients, err := seal.ParseRecipients(a.cfg.Recipients)
	if err != nil {
		return fmt.Errorf("recipients: %w", err)
	}
	if a.enrolment.Trust == "T0" {
		recipients = seal.Recipients{} // the server takes nothing sealed from it
	}
	key, err := a.fingerprintKey()
	if err != nil {
		return err
	}
	cache := &etc.Cache{}
	if a.onDisk() {
		if cache, err = etc.LoadCache(filepath.Join(a.cfg.State, etcCacheFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			a.log.Warn("cache of /etc is not usable: everything is read again", "err", err)
		}
	}
	radar, err := a.radarKey()
	if err != nil {
		return err
	}
	a.scanner = &etc.Scanner{
		RadarKey: radar, Root: a.cfg.Root, Cache: cache, Key: key, Recipients: recipients, Store: a.sealed,
		Secret: a.cfg.isSecret, Now: a.now, Sniff: a.sniff,
	}
	return nil
}

func (a *Agent) fingerprintKey() ([]byte, error) {
	if !a.onDisk() {
		return seal.NewFingerprintKey(rand.Reader)
	}
	name := filepath.Join(a.cfg.State, fingerprintFile)
	key, err := conf.ReadSecret(name)
	if err == nil && len(key) == seal.FingerprintKeySize {
		return key, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if key, err = seal.NewFingerprintKey(rand.Reader); err != nil {
		return nil, err
	}
	return key, identity.WriteFile(name, key)
}

// radarKey reads the key of the radar, if one is configured. One that is named and
// cannot be read is an error: without it the machine would look as if it shared
// nothing.
func (a *Agent) radarKey() ([]byte, error) {
	if a.cfg.RadarKey == "" {
		return nil, nil
	}
	text, err := conf.ReadSecret(a.cfg.RadarKey)
	if err != nil {
		return nil, fmt.Errorf("radar_key: %w", err)
	}
	defer clear(text)
	key, err := seal.ParseRadarKey(text)
	if err != nil {
		return nil, fmt.Errorf("radar_key %s: %w", a.cfg.RadarKey, err)
	}
	return key, nil
}

func (a *Agent) loadMemory() {
	if !a.onDisk() {
		return
	}
	b, err := os.ReadFile(filepath.Join(a.cfg.State, memoryFile))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = json.Unmarshal(b, &a.memory)
	}
	if err != nil {
		a.memory = memory{}
		a.log.Warn("memory of the last look is not usable: starting without", "err", err)
	}
	a.cache.SetLogs(a.memory.Logs)
	a.cache.SetVerification(a.memory.Verify)
	a.cache.SetClients(a.memory.Clients)
	a.client.Pass = a.memory.Way.Pass
}

// remember keeps what the look learnt. It is called once its report is durable:
// otherwise a crash between would lose events. What no report told (nothing had
// changed) is kept for the next one.
func (a *Agent) remember(g gathered, told bool) error {
	g.memory.Way = a.memory.Way
	a.memory = g.memory
	if !told {
		a.memory.Events = g.events
	}
	if g.cacheChanged {
		named := map[fact.Digest]bool{}
		for d, c := range a.contents() {
			named[d] = c.Sealed
		}
		if err := a.sealed.keep(named); err != nil {
			return err
		}
	}
	if !a.onDisk() {
		return nil
	}
	if g.cacheChanged {
		if err := a.scanner.Cache.Save(filepath.Join(a.cfg.State, etcCacheFile)); err != nil {
			return err
		}
	}
	return a.saveMemory()
}

// learnWay keeps what the server told about the way to it.
func (a *Agent) learnWay(ans uplink.Answer) {
	if ans.Pass != nil {
		a.memory.Way.Pass, a.client.Pass = ans.Pass, ans.Pass
	}
	a.memory.Way.Spread = ans.Spread
}

func (a *Agent) saveMemory() error {
	if !a.onDisk() {
		return nil
	}
	a.memory.Refused = a.bundles.refused
	b, err := json.Marshal(a.memory)
	if err != nil {
		return fmt.Errorf("keep memory: %w", err)
	}
	if string(b) == string(a.memorySaved) {
		return nil
	}
	if err := identity.WriteFile(filepath.Join(a.cfg.State, memoryFile), b); err != nil {
		return err
	}
	a.memorySaved = b
	return nil
}

func (a *Agent) onDisk() bool { return !a.cfg.InMemory && !a.dry }

func pathBase(p string) string { return path.Base(p) }

// bootID and uptime order reports of one boot where the clock is wrong. For a
// root that is not this machine there is neither.
func (a *Agent) bootID() []byte {
	id := make([]byte, 16)
	if !a.cfg.live() {
		return id
	}
	b, err := fs.ReadFile(a.root, "proc/sys/kernel/random/boot_id")
	if err != nil {
		return id
	}
	digits := strings.ReplaceAll(strings.TrimSpace(string(b)), "-", "")
	for i := range id {
		if _, err := fmt.Sscanf(digits[min(2*i, len(digits)):min(2*i+2, len(digits))], "%02x", &id[i]); err != nil {
			return make([]byte, 16)
		}
	}
	return id
}

func (a *Agent) uptime() time.Duration {
	if !a.cfg.live() {
		return 0
	}
	b, err := fs.ReadFile(a.root, "proc/uptime")
	if err != nil {
		return 0
	}
	var seconds float64
	if _, err := fmt.Sscan(string(b), &seconds); err != nil {
		return 0
	}
	return time.Duration(seconds * float64(time.Second))
}
