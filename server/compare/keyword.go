package compare

import "strings"

// keyword splits "Keyword value", "Keyword=value" and "Keyword = value", as ssh,
// cups and Apache read them: the case of the keyword means nothing.
func keyword(line string) (word, value string) {
	i := strings.IndexAny(line, " \t=")
	if i < 0 {
		return line, ""
	}
	value = strings.TrimLeft(line[i:], " \t")
	if rest, ok := strings.CutPrefix(value, "="); ok {
		value = strings.TrimLeft(rest, " \t")
	}
	return line[:i], squeeze(unquote(value))
}

// sayKeyword adds a keyword with its value, in its block.
func sayKeyword(w *writer, block, word, value string) {
	text, shown := strings.ToLower(word), word
	if value != "" {
		text, shown = text+" "+value, word+" "+value
	}
	w.say(within(block, text), within(block, shown))
}

// readSSH reads sshd_config(5) and ssh_config(5). What stands below "Match" or
// "Host" holds for these alone.
func readSSH(w *writer, content string) bool {
	block := ""
	for line := range strings.SplitSeq(content, "\n") {
		line = strings.TrimSpace(uncomment(strings.TrimSpace(line)))
		if line == "" {
			continue
		}
		word, value := keyword(line)
		if strings.EqualFold(word, "match") || strings.EqualFold(word, "host") {
			block = strings.ToUpper(word[:1]) + strings.ToLower(word[1:]) + " " + value
			w.say(within("", block))
			if strings.EqualFold(block, "match all") {
				block = ""
			}
			continue
		}
		sayKeyword(w, block, word, value)
	}
	return true
}

// readApache reads blocks of keywords, as Apache and CUPS have them. CUPS writes
// the printer that is the default one as another kind of block: here that is one
// thing more about it.
func readApache(w *writer, content string) bool {
	var stack blocks
	var names []string
	for _, line := range join(content) {
		line = squeeze(uncomment(line))
		if line == "" {
			continue
		}
		block := stack.path()
		if name, ok := strings.CutPrefix(line, "</"); ok {
			name = strings.ToLower(strings.TrimSuffix(name, ">"))
			if len(names) == 0 || names[len(names)-1] != name {
				return false
			}
			stack.pop()
			names = names[:len(names)-1]
			continue
		}
		if !opensBlock(line) {
			word, value := keyword(line)
			sayKeyword(w, block, word, value)
			continue
		}
		if len(stack) == maxDepth {
			return false
		}
		word, value := keyword(strings.Trim(line, "<>"))
		names = append(names, strings.ToLower(word))
		if rest, ok := strings.CutPrefix(strings.ToLower(word), "default"); ok && (rest == "printer" || rest == "class") {
			w.say(within(block, "<"+word+" "+value+">"))
			word = word[len("default"):]
		}
		opened := strings.TrimSpace("<" + strings.ToLower(word) + " " + value + ">")
		w.say(within(block, opened), within(block, "<"+word+" "+value+">"))
		stack.push(opened)
	}
	return len(stack) == 0
}
