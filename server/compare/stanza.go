package compare

import "strings"

// stanzas calls each for every group of lines between blank ones, with comments
// left out and the lines that go on (they begin with a blank) put behind theirs.
func stanzas(content, glue string, each func(lines []string)) {
	var lines []string
	var long strings.Builder // a line that goes on
	end := func() {
		if long.Len() > 0 {
			lines = append(lines, long.String())
			long.Reset()
		}
	}
	for line := range strings.SplitSeq(content+"\n\n", "\n") {
		line = strings.TrimRight(line, " \t\r")
		switch {
		case line == "":
			if end(); len(lines) > 0 {
				each(lines)
			}
			lines = nil
		case line[0] == '#':
		case (line[0] == ' ' || line[0] == '\t') && long.Len() > 0:
			long.WriteString(glue + line[1:])
		default:
			end()
			long.WriteString(line)
		}
	}
}

// readStanzas reads the stanzas of sources.list(5) and apt_preferences(5), each
// named by where it gets packages from or which packages it is about. Of lists each
// word is an item; the case of a field means nothing.
func readStanzas(w *writer, content string) bool {
	good := true
	stanzas(content, " ", func(lines []string) {
		block := ""
		for _, line := range lines {
			field, value, ok := strings.Cut(line, ":")
			good = good && ok && !strings.ContainsAny(field, " \t")
			if strings.EqualFold(field, "uris") || strings.EqualFold(field, "package") {
				block = squeeze(value)
			}
		}
		for _, line := range lines {
			field, value, _ := strings.Cut(line, ":")
			value = squeeze(value)
			switch strings.ToLower(field) {
			case "types", "uris", "suites", "components", "architectures", "languages":
				for word := range strings.FieldsSeq(value) {
					w.say(within(block, strings.ToLower(field)+": "+word), within(block, field+": "+word))
				}
			default:
				w.say(within(block, strings.ToLower(field)+": "+value), within(block, field+": "+value))
			}
		}
	})
	return good
}

// readLDIF reads entries of LDIF (RFC 2849), each named by its dn.
func readLDIF(w *writer, content string) bool {
	good := true
	stanzas(content, "", func(lines []string) {
		block := ""
		for i, line := range lines {
			name, value, ok := strings.Cut(line, ":")
			good = good && ok
			text := strings.ToLower(name) + ": " + squeeze(value)
			switch {
			case i == 0 && strings.EqualFold(name, "dn"):
				block = clip(text)
				w.say(text)
			case line == "-": // between changes of one entry
			default:
				w.say(within(block, text))
			}
		}
	})
	return good
}
