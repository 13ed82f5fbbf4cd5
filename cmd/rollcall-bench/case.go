package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Bounds of a case; the files are somebody else's.
const (
	maxGroups = 4 << 20 // bytes of groups.json
	maxHosts  = 2000    // of one case
)

// testCase is one question with its machines.
type testCase struct {
	name            string
	asked, onset    time.Time
	broken, working []string
	sites           map[string]string // of each machine
	looks           []look            // in time order
}

// look is one machine at one time, as a tree.
type look struct {
	at   time.Time
	host string
	tree string
}

// groupsFile is groups.json. What else it holds (models, MAC addresses, the words
// of the incident) the agents find out by themselves, or nobody needs it.
type groupsFile struct {
	AskedAt  string `json:"asked_at"`
	Incident struct {
		Since string `json:"since"`
	} `json:"incident"`
	Broken  []string `json:"broken"`
	Working []string `json:"working"`
	Hosts   map[string]struct {
		Site string `json:"site"`
	} `json:"hosts"`
}

// caseName are the folders that hold cases.
var caseName = regexp.MustCompile(`^P[0-9]{2,4}$`)

// loadCases reads the cases of a folder, in order.
func loadCases(dir string) ([]testCase, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read cases: %w", err)
	}
	var out []testCase
	for _, e := range entries {
		if !e.IsDir() || !caseName.MatchString(e.Name()) {
			continue
		}
		c, err := loadCase(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read case %s: %w", e.Name(), err)
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("read cases: %s holds no folder P00, P01, …", dir)
	}
	return out, nil
}

func loadCase(dir string) (testCase, error) {
	c := testCase{name: filepath.Base(dir), sites: map[string]string{}}
	g, err := readGroups(filepath.Join(dir, "groups.json"))
	if err != nil {
		return c, err
	}
	if c.asked, err = parseMoment(g.AskedAt); err != nil {
		return c, fmt.Errorf("groups.json: asked_at: %w", err)
	}
	if g.Incident.Since != "" {
		if c.onset, err = parseMoment(g.Incident.Since); err != nil {
			return c, fmt.Errorf("groups.json: incident: since: %w", err)
		}
	}
	c.broken, c.working = g.Broken, g.Working
	for name, h := range g.Hosts {
		c.sites[name] = h.Site
	}
	if n := len(g.Broken) + len(g.Working); n > maxHosts {
		return c, fmt.Errorf("groups.json: %d machines, at most %d", n, maxHosts)
	}
	return c, c.findTrees(filepath.Join(dir, "hosts"))
}

func readGroups(name string) (groupsFile, error) {
	var g groupsFile
	info, err := os.Stat(name)
	if err != nil {
		return g, err
	}
	if info.Size() > maxGroups {
		return g, fmt.Errorf("groups.json has %d bytes, at most %d", info.Size(), maxGroups)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return g, err
	}
	if err := json.Unmarshal(text, &g); err != nil {
		return g, fmt.Errorf("groups.json: %w", err)
	}
	return g, nil
}

// parseMoment reads a time, or a day, which begins at midnight.
func parseMoment(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly, "20060102T150405Z", "2006-01-02T15:04"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: want 2026-11-20T12:00:00Z or 2026-11-20", text)
}

// findTrees finds the trees of every machine of the groups: NAME, which is how it
// was when the question was asked, and NAME@TIME.
func (c *testCase) findTrees(hosts string) error {
	entries, err := os.ReadDir(hosts)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, e := range entries {
		name, moment, dated := strings.Cut(e.Name(), "@")
		if !e.IsDir() || !slices.Contains(c.broken, name) && !slices.Contains(c.working, name) {
			continue
		}
		l := look{at: c.asked, host: name, tree: filepath.Join(hosts, e.Name())}
		if dated {
			if l.at, err = parseMoment(moment); err != nil {
				return fmt.Errorf("hosts/%s: %w", e.Name(), err)
			}
		} else if _, err := os.Stat(filepath.Join(l.tree, "etc")); err != nil {
			return fmt.Errorf("hosts/%s is no machine's tree, it has no etc (deltas have to be written out as trees first): %w", e.Name(), err)
		}
		seen[name] = true
		c.looks = append(c.looks, l)
	}
	slices.SortStableFunc(c.looks, func(a, b look) int { return a.at.Compare(b.at) })
	var missing []string
	for _, name := range slices.Concat(c.broken, c.working) {
		if !seen[name] {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		slices.SortFunc(missing, cmp.Compare[string])
		return errors.New("no tree in hosts/ of " + strings.Join(missing, ", "))
	}
	return nil
}
