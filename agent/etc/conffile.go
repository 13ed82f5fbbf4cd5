package etc

import (
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"rollcall/internal/fact"
)

// drift reports the conffiles that differ from dpkg's record. Nothing is said
// about one that could not be looked at or that is excluded.
func (w *walker) drift() {
	for name, cf := range w.scanner.Conffiles {
		rel, ok := strings.CutPrefix(name, "/etc/")
		if !ok {
			continue
		}
		d, ok := w.drifted(rel, cf)
		if !ok {
			continue
		}
		p := "conffile/etc/" + fact.Escape(rel)
		if len(p) > fact.MaxPath {
			w.problem(rel, "the name is too long: left out")
			continue
		}
		value := fact.ConffileDrift{Drift: d, Package: cf.Package, Pristine: cf.MD5}.String()
		w.res.Facts = append(w.res.Facts, fact.Fact{Path: p, Value: fact.Value(value)})
	}
}

func (w *walker) drifted(rel string, cf fact.Conffile) (fact.Drift, bool) {
	e := w.scanner.Cache.entries[rel]
	switch {
	case e == nil:
		return fact.Missing, !cf.Obsolete && !w.hidden(rel)
	case e.value == "":
		return "", false
	case cf.Obsolete:
		return fact.Obsolete, true
	case e.key.kind() != unix.S_IFREG:
		return fact.Modified, true
	}
	return fact.Modified, e.compared && e.against == cf.MD5 && e.differs
}

// leftover tells of a version of a conffile that dpkg or ucf laid beside it because
// somebody had changed it: it waits for somebody to decide. What they need only while
// they work (dpkg-new, dpkg-tmp) is none.
func (w *walker) leftover(rel string) {
	for _, kind := range []string{"dpkg-dist", "dpkg-old", "ucf-dist", "ucf-old"} {
		p := "leftover/etc/" + fact.Escape(rel)
		if strings.HasSuffix(rel, "."+kind) && len(p) <= fact.MaxPath {
			w.res.Facts = append(w.res.Facts, fact.Fact{Path: p, Value: kind})
		}
	}
}

// hidden tells whether a path that was not seen may exist all the same: left out
// itself or with a folder above it, or behind a link.
func (w *walker) hidden(rel string) bool {
	for p := rel; ; p = path.Dir(p) {
		if p == "." {
			return w.left[""]
		}
		e := w.scanner.Cache.entries[p]
		if w.left[p] || e != nil && e.key.kind() == unix.S_IFLNK {
			return true
		}
	}
}
