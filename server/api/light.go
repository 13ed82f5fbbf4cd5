package api

import (
	"cmp"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/query"
)

// light is a CI at one time as far as most filters ask: the whole subject is made
// only for those that ask more.
type light struct {
	s     *Service
	items cmdb.View
	facts *cmdb.Glance
	then  cmdb.Then
	at    time.Time
	whole *subject
	err   error // of making it
}

// subject makes the whole subject, or one of nothing if that fails.
func (l *light) subject() *subject {
	if l.whole == nil {
		ci, err := l.items.CI(l.then.ID)
		if err == nil {
			l.whole, err = l.s.asOf(l.items, ci, l.at)
		}
		if err != nil {
			l.err = err
			l.whole = &subject{s: l.s, items: l.items}
		}
	}
	return l.whole
}

// Field implements query.Subject.
func (l *light) Field(name string) (values []string, known bool) {
	var v string
	switch name {
	case "name":
		v = l.then.Name
	case "site":
		v = l.then.Site
	case "class":
		v = l.then.Class
	case "status":
		v = string(l.then.Status)
	case "ci":
		v = l.then.ID
	case "changed":
		v = timeField(l.then.Changed)
	case "created":
		v = timeField(l.then.Created)
	default:
		return l.subject().Field(name)
	}
	if v == "" {
		return nil, true
	}
	return []string{v}, true
}

// FactsUnder implements query.Narrow.
func (l *light) FactsUnder(prefix string) (fact.Set, error) {
	return l.facts.Facts(l.then.Set(fact.SectionOf(prefix)), prefix)
}

// Facts implements query.Subject.
func (l *light) Facts(section string) (fact.Set, error) { return l.subject().Facts(section) }

// Changed implements query.Subject.
func (l *light) Changed(prefix string) (time.Time, bool, error) { return l.subject().Changed(prefix) }

// AsOf implements query.Subject.
func (l *light) AsOf(t time.Time) (query.Subject, bool, error) {
	return l.subject().AsOf(t)
}

// failed returns what went wrong where a filter was not told.
func (l *light) failed() error {
	if l.whole == nil {
		return nil
	}
	return cmp.Or(l.err, l.whole.err)
}
