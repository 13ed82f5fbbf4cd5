package ingest

import (
	"sync"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
)

// gaps remembers of stored sets of files which of their contents a site lacks.
// Machines that are alike report sets that differ by some files from the same few,
// and to look for the other thousand contents of each again is half of what a full
// report costs. What is held stays so until contents are removed, see Service.alone.
type gaps struct {
	mu    sync.Mutex
	sets  map[setAt][]gap
	count int // gaps and sets in all
}

type setAt struct {
	site string
	set  fact.Digest
}

// gap is a file whose content the site lacks.
type gap struct {
	path, value string
	content     fact.Digest
}

// maxGaps bounds what is remembered: some 150 bytes each.
const maxGaps = 100_000

// of returns the files of a stored set whose contents are not held at a site.
func (g *gaps) of(items cmdb.View, site string, d fact.Digest) ([]gap, error) {
	at := setAt{site, d}
	g.mu.Lock()
	before, known := g.sets[at]
	g.mu.Unlock()
	if known && len(before) == 0 {
		return nil, nil
	}
	if !known {
		set, err := items.LoadSet(d)
		if err != nil {
			return nil, err
		}
		before = files(set)
	}
	var left []gap
	for _, f := range before {
		held, err := items.Holds(site, f.content)
		if err != nil {
			return nil, err
		}
		if !held {
			left = append(left, f)
		}
	}
	if !known || len(left) < len(before) {
		g.keep(at, left)
	}
	return left, nil
}

// files lists the files of a set that have a content.
func files(set fact.Set) []gap {
	var all []gap
	for _, f := range set {
		if file, err := fact.ParseFile(f.Value); err == nil && file.HasContent() {
			all = append(all, gap{f.Path, f.Value, file.Digest})
		}
	}
	return all
}

func (g *gaps) keep(at setAt, left []gap) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if before, known := g.sets[at]; known {
		g.count -= 1 + len(before)
	}
	if g.sets == nil || g.count+1+len(left) > maxGaps {
		g.sets, g.count = map[setAt][]gap{}, 0
	}
	g.sets[at] = left
	g.count += 1 + len(left)
}

func (g *gaps) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sets, g.count = nil, 0
}
