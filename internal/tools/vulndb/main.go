// Command vulndb makes a folder that govulncheck reads without a network, out of
// the reports of a checkout of github.com/golang/vulndb (its folder data/osv):
//
//	vulndb CHECKOUT/data/osv FOLDER
//
// It is in the form of https://go.dev/doc/security/vuln/database, as far as
// govulncheck reads it.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// report is what is read of one: https://ossf.github.io/osv-schema/.
type report struct {
	ID       string    `json:"id"`
	Modified time.Time `json:"modified"`
	Affected []struct {
		Package struct {
			Name string `json:"name"`
		} `json:"package"`
		Ranges []struct {
			Events []struct {
				Fixed string `json:"fixed"`
			} `json:"events"`
		} `json:"ranges"`
	} `json:"affected"`
}

// module is an entry of index/modules.json.
type module struct {
	Path  string `json:"path"`
	Vulns []vuln `json:"vulns"`
}

type vuln struct {
	ID       string    `json:"id"`
	Modified time.Time `json:"modified"`
	Fixed    string    `json:"fixed,omitempty"` // empty: there is no version without it
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: vulndb CHECKOUT/data/osv FOLDER")
		os.Exit(2)
	}
	n, err := build(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, "vulndb:", err)
		os.Exit(1)
	}
	fmt.Printf("%d reports\n", n)
}

// build copies the reports and writes what leads to them.
func build(from, to string) (int, error) {
	names, err := filepath.Glob(filepath.Join(from, "GO-*.json"))
	if err == nil && len(names) == 0 {
		err = errors.New("there are no reports in " + from)
	}
	if err != nil {
		return 0, err
	}
	for _, d := range []string{"ID", "index"} {
		if err := os.MkdirAll(filepath.Join(to, d), 0o755); err != nil {
			return 0, err
		}
	}
	of := map[string][]vuln{}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			return 0, err
		}
		var r report
		if err := json.Unmarshal(b, &r); err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(to, "ID", filepath.Base(name)), b, 0o644); err != nil {
			return 0, err
		}
		for path, fixed := range r.fixed() {
			of[path] = append(of[path], vuln{r.ID, r.Modified, fixed})
		}
	}
	var modules []module
	for path, vulns := range of {
		modules = append(modules, module{path, vulns})
	}
	slices.SortFunc(modules, func(a, b module) int { return strings.Compare(a.Path, b.Path) })
	return len(names), errors.Join(
		write(filepath.Join(to, "index", "modules.json"), modules),
		write(filepath.Join(to, "index", "db.json"), map[string]time.Time{"modified": time.Now().UTC()}),
	)
}

// fixed gives the modules that a report is about, with the last version named as
// one that mends it; "" where a range has no end.
func (r report) fixed() map[string]string {
	out := map[string]string{}
	for _, a := range r.Affected {
		last := ""
		for _, g := range a.Ranges {
			last = ""
			for _, e := range g.Events {
				if e.Fixed != "" {
					last = e.Fixed
				}
			}
		}
		if old, known := out[a.Package.Name]; known && old == "" {
			last = ""
		}
		out[a.Package.Name] = last
	}
	return out
}

func write(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(name, b, 0o644)
}
