package etc

import (
	"errors"
	"path"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"rollcall/internal/fact"
)

const deniedText = "permission denied"

// learn reports a new or changed entry and notes it for the cache.
func (w *walker) learn(e, old *entry) {
	if len(e.value) > fact.MaxValue {
		w.leave(e.rel, "target or attributes are too long: left out")
		return
	}
	e.gen = w.gen
	w.fresh[e.rel] = e
	w.emit(e)
	if c, ok := e.content(); ok && (old == nil || old.value != e.value) {
		w.res.Contents = append(w.res.Contents, c)
	}
}

// emit adds the entry's fact.
func (w *walker) emit(e *entry) {
	value := e.value
	switch {
	case value == "":
		return
	case strings.HasPrefix(value, "keyed:"):
		if w.scanner.Recipients.Len() == 0 {
			w.res.Withheld++
		} else {
			w.problem(e.rel, "a secret that could not be sealed: only its fingerprint is kept")
		}
	case e.hasContent():
		if over := w.total+e.key.size > MaxTotal; over || e.key.size > MaxContent {
			if rest, plain := strings.CutPrefix(value, "sha256:"); plain {
				value = "toobig:" + rest
			}
			w.problem(e.rel, "too much content: only its digest is kept")
		} else {
			w.total += e.key.size
		}
	}
	w.res.Facts = append(w.res.Facts, fact.Fact{Path: e.path, Value: value})
	w.res.Facts = append(w.res.Facts, radarFacts(e)...)
}

// carry reports again what was known below a folder that cannot be read now.
func (w *walker) carry(rel string) {
	w.left[rel] = true
	for name, e := range w.scanner.Cache.entries {
		if e.gen != w.gen && (rel == "" || strings.HasPrefix(name, rel+"/")) {
			e.gen = w.gen
			w.emit(e)
		}
	}
}

// unreadable handles an entry that cannot be looked at: what was known of it
// still stands, unless it is gone.
func (w *walker) unreadable(rel string, old *entry, err error) {
	switch {
	case errors.Is(err, unix.ENOENT):
		return
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENOTDIR):
		w.problem(rel, "it was replaced during the scan")
	default:
		w.failed(rel, err)
	}
	w.left[rel] = true
	if old != nil && old.gen != w.gen {
		old.gen = w.gen
		w.emit(old)
	}
}

func (w *walker) failed(rel string, err error) {
	text := err.Error()
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		text = errno.Error()
		if errno == unix.EACCES || errno == unix.EPERM {
			text = deniedText
		}
	}
	w.problem(rel, text)
}

func (w *walker) leave(rel, what string) {
	w.left[rel] = true
	w.problem(rel, what)
}

func (w *walker) problem(rel, what string) {
	if len(w.res.Problems) == MaxProblems {
		w.res.More++
		return
	}
	p := fact.Value(path.Join("etc", fact.Escape(rel)))
	w.res.Problems = append(w.res.Problems, Problem{Path: p, What: what})
}
