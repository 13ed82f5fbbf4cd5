package compare

import "strings"

// isINI tells whether there is a section header before most settings.
func isINI(content string) bool {
	for line := range strings.SplitSeq(content, "\n") {
		if line = strings.TrimSpace(line); !commented(line, "#;") {
			return sectionName(line) != ""
		}
	}
	return false
}

func sectionName(line string) string {
	if len(line) > 4 && strings.HasPrefix(line, "[[") && strings.HasSuffix(line, "]]") {
		return line // an array of tables in TOML
	}
	if len(line) > 2 && line[0] == '[' && line[len(line)-1] == ']' && !strings.ContainsAny(line[1:len(line)-1], "[]=") {
		return line
	}
	return ""
}

func readINI(w *writer, content string) bool { return readSections(w, content, false) }

// readSamba reads smb.conf(5), where case and blanks in names mean nothing.
func readSamba(w *writer, content string) bool { return readSections(w, content, true) }

// readSections reads sections of "key = value" lines, and "key = { … }" in them, as
// krb5.conf(5) has it. The order of sections and keys does not matter, that of the
// values of one key does: the last one wins, or an empty one takes all back.
func readSections(w *writer, content string, folded bool) bool {
	section, stack := "", blocks(nil)
	values := map[string][]int32{}
	var keys []string
	for _, line := range join(content) {
		line = strings.TrimSpace(line)
		if commented(line, "#;") {
			continue
		}
		line = uncomment(line)
		if name := sectionName(line); name != "" {
			section, stack = clip(fold1(name, folded)), nil
			w.say(section)
			continue
		}
		if line == "}" && len(stack) > 0 {
			stack.pop()
			continue
		}
		text := equals(foldKey(line, folded))
		key, value, assigned := strings.Cut(text, " = ")
		at := section
		if len(stack) > 0 {
			at = strings.TrimSpace(section + " " + stack.path() + " >")
		}
		if at != "" {
			text, key = at+" "+text, at+" "+key
		}
		if assigned && value == "{" {
			if len(stack) == maxDepth {
				return false
			}
			w.say(strings.TrimSuffix(text, " = {"))
			stack.push(line[:strings.IndexByte(line, '=')])
			continue
		}
		n := w.say(text)
		if values[key] == nil {
			keys = append(keys, key)
		}
		values[key] = append(values[key], n)
	}
	for _, k := range keys {
		w.inOrder(values[k])
	}
	return true
}

func fold1(s string, folded bool) string {
	if folded {
		return strings.ToLower(squeeze(s))
	}
	return s
}

// foldKey makes a key small and takes the blanks out of it.
func foldKey(line string, folded bool) string {
	key, value, ok := strings.Cut(line, "=")
	if !folded || !ok {
		return line
	}
	return strings.ToLower(strings.Join(strings.Fields(key), "")) + " =" + value
}
