package compare

import "strings"

// openSettings turns the setting section into attributes: single settings of
// files that the agents seal or do not keep. They are lines of those files, with
// the machine's own values masked, like those that are read from contents.
func (t *table) openSettings(s *section) {
	for _, path := range s.paths() {
		c := s.cols[path]
		file, key, ok := settingPath(path)
		if !ok || c.constant {
			continue
		}
		base := attr{kind: File, object: "file:" + file, ids: []string{"file:" + file}, path: path, known: s.known, prior: filePrior(file)}
		seen := map[string]*mention{}
		for _, x := range c.all() {
			who := s.who[x.set]
			for _, it := range t.reader.masker(who).masked(document{items: []item{{text: key + " = " + x.value}}}) {
				m := seen[it.text]
				if m == nil {
					m = &mention{item: it, who: who.blank()}
					seen[it.text] = m
				}
				m.who = m.who.or(who)
			}
		}
		for _, m := range seen {
			if m.raw && m.who.count() < 2 {
				continue
			}
			a := base
			a.member = m.who
			a.yes, a.no = m.words("/" + file)
			a.holds = func(machine int, p Past) bool {
				text := key + " = " + p.Value
				return p.Present && (text == m.text || t.reader.maskers[machine].mask(text) == m.text)
			}
			t.add(&a)
		}
	}
}

// settingPath takes "setting/etc%2Fnslcd.conf/uri" apart.
func settingPath(path string) (file, key string, ok bool) {
	file, key, ok = strings.Cut(strings.TrimPrefix(path, "setting/"), "/")
	return strings.ReplaceAll(file, "%2F", "/"), strings.ReplaceAll(key, "%2F", "/"), ok
}
