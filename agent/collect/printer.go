package collect

import (
	"bytes"
	"context"
	"net/url"
	"strings"

	"rollcall/internal/seal"
)

func printers() Collector {
	return Collector{Name: "printers", Owns: []string{"printer/"}, Collect: collectPrinters}
}

// Bounds of what is read of CUPS.
const (
	maxPrinterFile = 4 << 20 // bytes
	maxPrinters    = 2000
)

// collectPrinters lists the queues and classes of CUPS as cupsd keeps them in its
// files. cupsd itself is not asked: it would ask the printers, and wait for them.
// What a queue does at the moment is left out: cupsd writes the file anew with
// each job.
func collectPrinters(_ context.Context, h Host, s *Sink) error {
	var queues []queue
	found := false
	for _, name := range []string{"etc/cups/printers.conf", "etc/cups/classes.conf"} {
		b, err := h.Content(s, name, maxPrinterFile)
		if err != nil {
			return err
		}
		found = found || b != nil
		queues = append(queues, parseQueues(b)...)
	}
	for _, q := range queues[:min(len(queues), maxPrinters)] {
		q.facts(s)
	}
	return s.Found(found)
}

// queue is one block of printers.conf(5) or classes.conf(5).
type queue struct {
	name, kind string // kind is "printer" or "class"
	isDefault  bool
	values     map[string]string
	members    []string // of a class
}

// parseQueues reads blocks <Printer name> and <Class name>, which are named
// <DefaultPrinter name> for the default one. Values have a backslash before "#".
func parseQueues(content []byte) []queue {
	var all []queue
	inside := false
	for line := range bytes.Lines(content) {
		text := strings.TrimSpace(string(line))
		switch {
		case text == "" || text[0] == '#':
		case strings.HasPrefix(text, "</"):
			inside = false
		case text[0] == '<' && text[len(text)-1] == '>':
			kind, name, _ := strings.Cut(text[1:len(text)-1], " ")
			kind, isDefault := strings.CutPrefix(strings.ToLower(kind), "default")
			name = strings.TrimSpace(name)
			if inside = (kind == "printer" || kind == "class") && name != ""; inside {
				all = append(all, queue{name: name, kind: kind, isDefault: isDefault, values: map[string]string{}})
			}
		case inside:
			key, value, _ := strings.Cut(text, " ")
			value = strings.ReplaceAll(strings.TrimSpace(value), `\#`, "#")
			q := &all[len(all)-1]
			if key == "Printer" && q.kind == "class" {
				q.members = append(q.members, value)
				continue
			}
			if _, known := q.values[key]; !known && len(q.values) < 100 {
				q.values[key] = value
			}
		}
	}
	return all
}

func (q queue) facts(s *Sink) {
	put := func(what, value string) {
		if !seal.Sniff([]byte(what + " = " + value + "\n")) {
			s.Fact(Path("printer", q.name, what), value)
		}
	}
	put("kind", q.kind)
	put("uri", printerURI(q.values["DeviceURI"]))
	put("info", q.values["Info"])
	put("location", q.values["Location"])
	put("model", q.values["MakeModel"])
	put("shared", strings.ToLower(q.values["Shared"]))
	put("members", strings.Join(q.members, " "))
	if q.isDefault {
		put("default", "yes")
	}
}

// printerURI gives a device's URI without name, password, and whatever follows a
// "?" but for what tells printers at a cable apart.
func printerURI(uri string) string {
	uri = bareURI(uri)
	before, query, asked := strings.Cut(uri, "?")
	if !asked {
		return uri
	}
	values, err := url.ParseQuery(query)
	if serial := values.Get("serial"); err == nil && serial != "" {
		return before + "?serial=" + url.QueryEscape(serial)
	}
	return before
}
