package compare

import (
	"slices"
	"strings"
)

// parseFstab reads rows of device, mount point, type, options, dump and pass
// (fstab(5)); crypttab(5) has the same shape. Every option is an item of its own.
func parseFstab(lines []string) []string {
	var out []string
	for _, line := range lines {
		fields := strings.Fields(line)
		if len(fields) < 2 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		where := fields[1]
		if where == "none" && len(fields) > 2 {
			where = fields[2] // swap
		}
		out = append(out, where+": from "+fields[0])
		names := []string{"type", "option", "dump", "pass"}
		for i, f := range fields[2:min(len(fields), 6)] {
			if names[i] != "option" {
				out = append(out, where+": "+names[i]+" "+f)
				continue
			}
			for option := range strings.SplitSeq(f, ",") {
				out = append(out, where+": option "+option)
			}
		}
	}
	return out
}

// isINI tells whether there is a section header before most settings.
func isINI(lines []string) bool {
	for _, line := range lines {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		return sectionName(line) != ""
	}
	return false
}

func sectionName(line string) string {
	if len(line) > 2 && line[0] == '[' && line[len(line)-1] == ']' && !strings.ContainsAny(line[1:len(line)-1], "[]=") {
		return line
	}
	return ""
}

// parseINI reads sections of "key = value" lines. The order of sections and keys
// does not matter.
func parseINI(lines []string) []string {
	var out []string
	section := ""
	for _, line := range lines {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if name := sectionName(line); name != "" {
			section = name
			out = append(out, section)
			continue
		}
		text := equals(uncomment(line))
		if section != "" {
			text = section + " " + text
		}
		out = append(out, text)
	}
	return out
}

// parseXML takes XML line by line, without comments and indentation.
func parseXML(content string) []string {
	var out []string
	for {
		before, rest, found := strings.Cut(content, "<!--")
		for line := range strings.SplitSeq(before, "\n") {
			if line = squeeze(line); line != "" {
				out = append(out, line)
			}
		}
		if !found {
			return out
		}
		if _, content, found = strings.Cut(rest, "-->"); !found {
			return out
		}
	}
}

// parseJSON takes JSON line by line, without indentation, trailing commas and
// "//" comments.
func parseJSON(lines []string) []string {
	var out []string
	for _, line := range lines {
		line = strings.TrimSuffix(squeeze(line), ",")
		if line == "" || strings.HasPrefix(line, "//") || strings.Trim(line, "{}[] ") == "" {
			continue
		}
		out = append(out, line)
	}
	return out
}

// maxDepth is how many blocks around a line are named in its item.
const maxDepth = 8

// parseLines reads everything else: "Key value", "key = value", rows of words.
// Lines in <Block>…</Block>, in "name { … }" and after sshd's "Match" are named
// with the block that they stand in.
func parseLines(name string, lines []string) []string {
	var out, stack []string
	match := ""
	script := len(lines) > 0 && strings.HasPrefix(lines[0], "#!")
	slashes := strings.HasPrefix(name, "etc/apt/") || strings.HasPrefix(name, "etc/bind/")
	for _, line := range lines {
		line = squeeze(uncomment(line))
		if line == "" || slashes && strings.HasPrefix(line, "//") {
			continue
		}
		if !script && closes(line) {
			if len(stack) > 0 {
				stack = stack[:len(stack)-1]
			}
			continue
		}
		text := equals(line)
		if first, _, _ := strings.Cut(line, " "); strings.EqualFold(first, "match") && strings.Contains(name, "ssh") {
			match = text
		} else if match != "" {
			text = match + " > " + text
		}
		out = append(out, strings.Join(append(slices.Clone(stack), text), " > "))
		if !script && opens(line) && len(stack) < maxDepth {
			stack = append(stack, strings.TrimSuffix(line, " {"))
		}
	}
	return out
}

func opens(line string) bool {
	return strings.HasSuffix(line, "{") || len(line) > 2 && line[0] == '<' && line[1] != '/' && line[1] != '?' && line[1] != '!' &&
		strings.HasSuffix(line, ">") && !strings.Contains(line, "</") && !strings.HasSuffix(line, "/>")
}

func closes(line string) bool {
	return line == "}" || line == "};" || strings.HasPrefix(line, "</") && strings.HasSuffix(line, ">")
}
