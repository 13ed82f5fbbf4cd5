package compare

import (
	"slices"
	"strconv"
	"strings"
)

func number(n int) string { return strconv.Itoa(n) }

// readLines reads what has no syntax of its own: "Key value", "key = value", rows
// of words. Lines in "name { … }" and in <Block> … </Block> are named with the
// block that they stand in.
func readLines(w *writer, content string) bool {
	var stack blocks
	for _, line := range join(content) {
		line = squeeze(uncomment(line))
		switch {
		case line == "":
		case closes(line):
			stack.pop()
		default:
			w.say(within(stack.path(), equals(line)))
			if opens(line) && len(stack) < maxDepth {
				stack.push(strings.TrimSuffix(line, "{"))
			}
		}
	}
	return true
}

func opens(line string) bool {
	return strings.HasSuffix(line, "{") || opensBlock(line)
}

func opensBlock(line string) bool {
	return len(line) > 2 && line[0] == '<' && line[1] != '/' && line[1] != '?' && line[1] != '!' &&
		strings.HasSuffix(line, ">") && !strings.Contains(line, "</") && !strings.HasSuffix(line, "/>")
}

func closes(line string) bool {
	return line == "}" || line == "};" || strings.HasPrefix(line, "</") && strings.HasSuffix(line, ">")
}

// readScript reads programs, where braces are code.
func readScript(w *writer, content string) bool {
	for _, line := range join(content) {
		if line = squeeze(uncomment(line)); line != "" {
			w.say(equals(line))
		}
	}
	return true
}

// readCron reads crontab(5), where only whole lines are comments: a command may
// well hold "#".
func readCron(w *writer, content string) bool {
	for line := range strings.SplitSeq(content, "\n") {
		if line = squeeze(line); line != "" && line[0] != '#' {
			w.say(equals(line))
		}
	}
	return true
}

// readSudoers reads sudoers(5): "#include" is no comment and means "@include",
// and blanks around "=" and "," mean nothing.
func readSudoers(w *writer, content string) bool {
	for _, line := range join(content) {
		for _, word := range []string{"includedir ", "include "} {
			if rest, ok := strings.CutPrefix(line, "#"+word); ok {
				line = "@" + word + rest
			}
		}
		line = squeeze(uncomment(line))
		for _, sign := range []string{"=", ","} {
			line = strings.ReplaceAll(strings.ReplaceAll(line, " "+sign, sign), sign+" ", sign)
		}
		if line != "" {
			w.say(line)
		}
	}
	return true
}

// readFstab reads rows of device, mount point, type, options, dump and pass
// (fstab(5)); crypttab(5) has the same shape. Every option is an item of its own.
func readFstab(w *writer, content string) bool {
	names := []string{"type", "option", "dump", "pass"}
	for _, line := range join(content) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) == 1 {
			return false
		}
		where := fields[1]
		if where == "none" && len(fields) > 2 {
			where = fields[2] // swap
		}
		w.say(where + ": from " + fields[0])
		for i, f := range fields[2:] {
			switch {
			case i >= len(names):
				w.say(where + ": then " + f)
			case names[i] != "option":
				w.say(where + ": " + names[i] + " " + f)
			default:
				for option := range strings.SplitSeq(f, ",") {
					w.say(where + ": option " + option)
				}
			}
		}
	}
	return true
}

// readExports reads exports(5): each option of each client of each folder.
func readExports(w *writer, content string) bool {
	for _, line := range join(content) {
		fields := strings.Fields(uncomment(line))
		if len(fields) == 0 {
			continue
		}
		if len(fields) == 1 {
			w.say(fields[0])
		}
		for _, f := range fields[1:] {
			client, options, _ := strings.Cut(f, "(")
			where := fields[0] + " to " + client
			w.say(where)
			for option := range strings.SplitSeq(strings.TrimSuffix(options, ")"), ",") {
				if option != "" {
					w.say(where + ": option " + option)
				}
			}
		}
	}
	return true
}

// join cuts the content into lines without trailing space; a backslash at the
// end continues a line.
func join(content string) []string {
	var out []string
	var held strings.Builder
	for line := range strings.SplitSeq(content, "\n") {
		line = strings.TrimRight(line, " \t\r")
		if rest, ok := strings.CutSuffix(line, `\`); ok {
			held.WriteString(rest + " ")
			continue
		}
		if held.Len() > 0 {
			held.WriteString(line)
			line = held.String()
			held.Reset()
		}
		out = append(out, line)
	}
	if held.Len() > 0 {
		out = append(out, held.String())
	}
	return out
}

// squeeze trims and makes every run of blanks one space.
func squeeze(s string) string {
	s = strings.TrimSpace(s)
	for i := range len(s) {
		if c := s[i]; c >= 0x80 || c < ' ' || c == ' ' && s[i+1] == ' ' {
			return strings.Join(strings.Fields(s), " ")
		}
	}
	return s // as nearly every line is
}

// uncomment cuts off a comment that begins with "#" at the start or after a
// blank, outside quotes.
func uncomment(s string) string {
	quoted := byte(0)
	for i := range len(s) {
		switch c := s[i]; {
		case quoted != 0:
			if c == quoted {
				quoted = 0
			}
		case c == '"' || c == '\'' && (i == 0 || !alnum(s[i-1])):
			quoted = c
		case c == '#' && (i == 0 || s[i-1] == ' ' || s[i-1] == '\t'):
			return strings.TrimRight(s[:i], " \t")
		}
	}
	return s
}

// equals writes "key=value" with one space around the first "=" if what stands
// before it can be a key, and without quotes that change nothing.
func equals(s string) string {
	key, value, ok := strings.Cut(s, "=")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	if !ok || key == "" || strings.ContainsAny(key, " \t\"'<>(){}:,;!+") || strings.HasPrefix(value, "=") {
		return squeeze(s)
	}
	return key + " = " + squeeze(unquote(value))
}

// unquote takes quotes away that change nothing.
func unquote(s string) string {
	if n := len(s); n > 1 && (s[0] == '"' || s[0] == '\'') && s[n-1] == s[0] && !strings.ContainsAny(s[1:n-1], "\"'$`\\") {
		return s[1 : n-1]
	}
	return s
}

// commented tells of a line that says nothing.
func commented(line string, signs string) bool {
	return line == "" || slices.Contains([]byte(signs), line[0])
}
