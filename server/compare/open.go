package compare

import "strings"

// openSettings turns the setting section into attributes: single settings of
// files that the agents seal or do not keep. They are lines of those files, with
// the machine's own values masked, like those that are read from contents.
func (t *table) openSettings(s *section) {
	for i := range s.Columns {
		c := &s.Columns[i]
		if _, _, ok := settingPath(c.Path); ok && !c.Constant {
			t.topic(func() { t.openSetting(s, c) })
		}
	}
}

func (t *table) openSetting(s *section, c *Column) {
	if s, c = t.inside(s, c); c == nil {
		return
	}
	file, key, _ := settingPath(c.Path)
	items := map[string]*mention{}
	for _, v := range c.Values {
		line := key + " = " + t.text(c.Path, v)
		for _, it := range t.reader.masker(v.Crowd, s.known).masked(document{items: []item{{text: line}}}) {
			m := items[it.text]
			if m == nil {
				m = &mention{item: it}
				items[it.text] = m
			}
			m.who.join(v.Crowd)
		}
	}
	for _, m := range items {
		if m.raw && m.who.count() < 2 {
			continue
		}
		t.add(m.who, s.known, filePrior(file), func() attr {
			a := about(file, func() (yes, no string) { return m.words("/" + file) }, func(machine int, p Past) bool {
				text := key + " = " + p.Value
				return p.Present && (text == m.text || t.reader.own(machine).mask(text) == m.text)
			})
			a.path = c.Path
			return a
		})
	}
}

// settingPath takes "setting/etc%2Fnslcd.conf/uri" apart.
func settingPath(path string) (file, key string, ok bool) {
	file, key, ok = strings.Cut(strings.TrimPrefix(path, "setting/"), "/")
	return strings.ReplaceAll(file, "%2F", "/"), strings.ReplaceAll(key, "%2F", "/"), ok
}
