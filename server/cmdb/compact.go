package cmdb

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"rollcall/internal/fact"
	"rollcall/server/store"
)

// How heads and revisions are stored, see store.Compact. Changing a number breaks
// every existing database.

var errField = errors.New("a field has a bad form")

// AppendFields implements store.Compact.
func (c CI) AppendFields(f *store.Fields) error {
	f.Text(1, c.ID)
	f.Text(2, c.Name)
	f.Text(3, c.Class)
	f.Text(4, c.Site)
	f.Text(5, string(c.Status))
	for _, name := range slices.Sorted(maps.Keys(c.Fields)) {
		f.Bytes(6, pairOf(name, c.Fields[name]))
	}
	appendState(f, 7, c.State)
	f.Uint(8, c.Rev)
	f.Time(9, c.Created)
	f.Time(10, c.Changed)
	f.Text(11, c.Repo)
	f.Text(12, c.Folder)
	f.Bool(13, c.Cloned)
	f.Text(14, c.Trust)
	f.Uint(15, c.First)
	f.Uint(16, c.LastDeclared)
	return nil
}

// ReadField implements store.Compact.
func (c *CI) ReadField(number uint64, v []byte) error {
	switch number {
	case 1:
		c.ID = string(v)
	case 2:
		c.Name = string(v)
	case 3:
		c.Class = string(v)
	case 4:
		c.Site = string(v)
	case 5:
		c.Status = Status(v)
	case 6:
		name, value, ok := pairIn(v)
		if c.Fields == nil {
			c.Fields = map[string]string{}
		}
		c.Fields[name] = value
		return whether(ok)
	case 7:
		return readState(&c.State, v)
	case 8:
		c.Rev = store.UintOf(v)
	case 9:
		c.Created = store.TimeOf(v)
	case 10:
		c.Changed = store.TimeOf(v)
	case 11:
		c.Repo = string(v)
	case 12:
		c.Folder = string(v)
	case 13:
		c.Cloned = store.UintOf(v) > 0
	case 14:
		c.Trust = string(v)
	case 15:
		c.First = store.UintOf(v)
	case 16:
		c.LastDeclared = store.UintOf(v)
	}
	return nil
}

// Numbers of the fields that say what was before, as far as it was different:
// those of a revision name its sections before by what changed in them.
const (
	fieldState     = 8
	fieldWas       = 9  // a section that had another set before, or is gone: as in the state
	fieldWasAbsent = 10 // name of a section that was not there before
)

// AppendFields implements store.Compact.
func (r Revision) AppendFields(f *store.Fields) error {
	f.Text(1, r.CI)
	f.Uint(2, r.N)
	f.Uint(3, uint64(r.Stamp))
	f.Uint(4, uint64(r.Claimed))
	f.Text(5, r.By)
	if d, err := fact.ParseDigest(r.Report); err == nil {
		f.Bytes(6, d[:])
	} else {
		f.Text(21, r.Report)
	}
	f.Text(7, r.Reason)
	appendState(f, fieldState, r.State)
	for _, section := range slices.Sorted(maps.Keys(r.Prev)) {
		if d := r.Prev[section]; r.State[section] != d {
			f.Bytes(fieldWas, d[:], []byte(section))
		}
	}
	for _, section := range slices.Sorted(maps.Keys(r.State)) {
		if _, was := r.Prev[section]; !was {
			f.Text(fieldWasAbsent, section)
		}
	}
	if len(r.Fields) > 0 {
		if err := f.JSON(11, r.Fields); err != nil {
			return err
		}
	}
	if len(r.Events) > 0 {
		if err := f.JSON(12, r.Events); err != nil {
			return err
		}
	}
	f.Text(13, r.Name)
	f.Text(14, r.Class)
	f.Text(15, r.Site)
	f.Text(16, r.Repo)
	f.Text(17, r.Folder)
	f.Text(18, r.PrevRepo)
	f.Text(19, r.PrevFolder)
	f.Text(20, r.Declared)
	f.Uint(22, r.PrevDeclared)
	return nil
}

// ReadField implements store.Compact.
func (r *Revision) ReadField(number uint64, v []byte) error {
	switch number {
	case 1:
		r.CI = string(v)
	case 2:
		r.N = store.UintOf(v)
	case 3:
		r.Stamp = int64(store.UintOf(v))
	case 4:
		r.Claimed = int64(store.UintOf(v))
	case 5:
		r.By = string(v)
	case 6:
		if len(v) != len(fact.Digest{}) {
			return errField
		}
		r.Report = fact.Digest(v).String()
	case 7:
		r.Reason = string(v)
	case fieldState:
		if err := readState(&r.State, v); err != nil {
			return err
		}
		return readState(&r.Prev, v) // unless a later field says otherwise
	case fieldWas:
		return readState(&r.Prev, v)
	case fieldWasAbsent:
		if delete(r.Prev, string(v)); len(r.Prev) == 0 {
			r.Prev = nil
		}
	case 11:
		return json.Unmarshal(v, &r.Fields)
	case 12:
		return json.Unmarshal(v, &r.Events)
	case 13:
		r.Name = string(v)
	case 14:
		r.Class = string(v)
	case 15:
		r.Site = string(v)
	case 16:
		r.Repo = string(v)
	case 17:
		r.Folder = string(v)
	case 18:
		r.PrevRepo = string(v)
	case 19:
		r.PrevFolder = string(v)
	case 20:
		r.Declared = string(v)
	case 21:
		r.Report = string(v)
	case 22:
		r.PrevDeclared = store.UintOf(v)
	}
	return nil
}

// appendState adds one field for each section: its digest, then its name.
func appendState(f *store.Fields, number uint64, s fact.State) {
	var room [12]string
	names := room[:0]
	for section := range s {
		names = append(names, section)
	}
	slices.SortFunc(names, strings.Compare)
	for _, section := range names {
		d := s[section]
		f.Bytes(number, d[:], []byte(section))
	}
}

func readState(s *fact.State, v []byte) error {
	var d fact.Digest
	if len(v) <= len(d) {
		return errField
	}
	if *s == nil {
		*s = make(fact.State, 8)
	}
	(*s)[string(v[len(d):])] = fact.Digest(v[:len(d)])
	return nil
}

// pairOf joins a name, with its length before it, and a value.
func pairOf(name, value string) []byte {
	return append(append(binary.AppendUvarint(nil, uint64(len(name))), name...), value...)
}

func pairIn(b []byte) (name, value string, ok bool) {
	n, m := binary.Uvarint(b)
	if m <= 0 || n > uint64(len(b)-m) {
		return "", "", false
	}
	return string(b[m : m+int(n)]), string(b[m+int(n):]), true
}

func whether(ok bool) error {
	if ok {
		return nil
	}
	return errField
}
