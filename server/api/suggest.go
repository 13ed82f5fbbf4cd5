package api

import (
	"context"
	"fmt"
	"strings"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/index"
	"rollcall/server/query"
)

const (
	maxSuggested = 5       // conditions that are looked at, and near names of each
	maxNear      = 200_000 // paths that one is compared with
)

// suggest says, of a filter that selects nothing, which of the packages, files and
// facts in it no CI of the scope has, and what may be meant.
func (s *Service) suggest(ctx context.Context, v index.View, items cmdb.View, expr query.Expr, now time.Time) (notes []string, err error) {
	looked := 0
	for t := range query.Terms(expr) {
		paths := t.Paths()
		if t.Target == query.OnField || len(paths) != 1 || query.IsGlob(paths[0]) {
			continue
		}
		if looked++; looked > maxSuggested {
			break
		}
		has := func(path string) (bool, error) {
			a, err := s.indexed(ctx, v, items, query.Term{Target: query.OnFact, Name: path}, now)
			return err == nil && !a.Slots.Empty(), err
		}
		ok, err := has(paths[0])
		if err != nil {
			return nil, err
		}
		if ok {
			continue
		}
		near, err := nearPath(v, paths[0], has)
		if err != nil {
			return nil, err
		}
		note := fmt.Sprintf("no CI has %s", query.Term{Target: t.Target, Name: t.Name})
		if near != "" {
			note += fmt.Sprintf("; did you mean %s?", query.Term{Target: t.Target, Name: nameIn(t.Target, near)})
		}
		notes = append(notes, note)
	}
	return notes, nil
}

// nearPath gives the path most like one of which a CI of the scope has something.
func nearPath(v index.View, path string, has func(string) (bool, error)) (string, error) {
	section := fact.SectionOf(path)
	prefix, suffix := section+"/", ""
	if section == "pkg" && strings.HasSuffix(path, "/version") {
		suffix = "/version"
	}
	word := strings.TrimSuffix(strings.TrimPrefix(path, prefix), suffix)
	n := 0
	var names []string
	for p := range v.Paths(section) {
		if n++; n > maxNear {
			break
		}
		if name, ok := strings.CutSuffix(strings.TrimPrefix(p, prefix), suffix); ok {
			names = append(names, name)
		}
	}
	for _, name := range query.Nearest(word, names, maxSuggested) {
		if ok, err := has(prefix + name + suffix); ok || err != nil {
			return prefix + name + suffix, err
		}
	}
	return "", nil
}

// nameIn turns a path into the argument of a function of the filter language.
func nameIn(target query.Target, path string) string {
	switch target {
	case query.OnPackage:
		return strings.TrimSuffix(strings.TrimPrefix(path, "pkg/"), "/version")
	case query.OnFile:
		name, err := fact.Unescape(path)
		if err != nil {
			return "/" + path
		}
		return "/" + name
	}
	return path
}
