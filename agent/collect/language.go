package collect

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

func languagePackages() Collector {
	return Collector{Name: "languages", Owns: []string{"app/pip/", "app/npm/", "app/gem/"}, Collect: collectLanguagePackages}
}

// collectLanguagePackages lists what pip, npm and gem have installed for
// everybody. Homes and virtual environments are never looked at.
func collectLanguagePackages(ctx context.Context, h Host, s *Sink) error {
	found := false
	for _, k := range []struct {
		name string
		list func(Host, *Sink) (versions, error)
	}{{"pip", pipPackages}, {"npm", npmPackages}, {"gem", gems}} {
		if err := ctx.Err(); err != nil {
			return err
		}
		all, err := k.list(h, s)
		if err != nil {
			return err
		}
		for name, list := range all {
			found = true
			slices.Sort(list)
			s.Fact(Path("app", k.name, name, "version"), strings.Join(slices.Compact(list), ", "))
		}
	}
	return s.Found(found)
}

// versions are the installed versions by the package's name.
type versions map[string][]string

func (v versions) add(name, version string) {
	if name != "" && version != "" && (v[name] != nil || len(v) < maxApps) && len(v[name]) < 16 {
		v[name] = append(v[name], version)
	}
}

// pipPackages reads the names of the folders that pip makes beside each package:
// NAME-VERSION.dist-info, in older versions NAME-VERSION-pyX.Y.egg-info. Hyphens
// in names are written as "_" (packaging.python.org, Recording installed projects).
func pipPackages(h Host, s *Sink) (versions, error) {
	all := versions{}
	const lib = "usr/local/lib"
	pythons, err := h.Entries(s, lib)
	for _, python := range pythons {
		if !strings.HasPrefix(python, "python3") || err != nil {
			continue
		}
		for _, folder := range []string{"dist-packages", "site-packages"} {
			var names []string
			names, err = h.Entries(s, lib+"/"+python+"/"+folder)
			if err != nil {
				return nil, err
			}
			for _, name := range names {
				text, isWheel := strings.CutSuffix(name, ".dist-info")
				text, isEgg := strings.CutSuffix(text, ".egg-info")
				if name, version, ok := strings.Cut(text, "-"); ok && (isWheel || isEgg) {
					version, _, _ = strings.Cut(version, "-py")
					all.add(name, version)
				}
			}
		}
	}
	return all, err
}

// npmPackages reads the package.json of each module that npm installed globally,
// in Debian's place and in that of the makers of Node.js.
func npmPackages(h Host, s *Sink) (versions, error) {
	all := versions{}
	for _, top := range []string{"usr/local/lib/node_modules", "usr/lib/node_modules"} {
		names, err := h.Entries(s, top)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			modules := []string{name}
			if strings.HasPrefix(name, "@") { // a scope, with modules in it
				if modules, err = h.Entries(s, top+"/"+name); err != nil {
					return nil, err
				}
				for i := range modules {
					modules[i] = name + "/" + modules[i]
				}
			}
			for _, m := range modules {
				b, err := h.Content(s, top+"/"+m+"/package.json", 1<<20)
				if err != nil {
					return nil, err
				}
				var about struct {
					Version string `json:"version"`
				}
				if json.Unmarshal(b, &about) == nil { // one that is broken names no version
					all.add(m, about.Version)
				}
			}
		}
	}
	return all, nil
}

// gemFile is NAME-VERSION[-PLATFORM].gemspec; the version begins with a digit.
var gemFile = regexp.MustCompile(`^(.+?)-(\d+(?:\.[0-9A-Za-z]+)*)(?:-[A-Za-z].*)?\.gemspec$`)

func gems(h Host, s *Sink) (versions, error) {
	all := versions{}
	for _, top := range []string{"var/lib/gems", "usr/local/lib/ruby/gems"} {
		rubies, err := h.Entries(s, top)
		if err != nil {
			return nil, err
		}
		for _, ruby := range rubies {
			names, err := h.Entries(s, top+"/"+ruby+"/specifications")
			if err != nil {
				return nil, err
			}
			for _, name := range names {
				if m := gemFile.FindStringSubmatch(name); m != nil {
					all.add(m[1], m[2])
				}
			}
		}
	}
	return all, nil
}
