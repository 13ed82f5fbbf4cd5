package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	rollcallv1 "rollcall/proto/rollcall/v1"
)

// formed gives an answer in one of the forms, inert.
func (a *app) formed(got *answer, form string) ([]byte, error) {
	switch form {
	case "csv":
		return csvOf(got)
	case "json":
		return jsonOf(got)
	case "html":
		return a.htmlOf(got)
	}
	var b bytes.Buffer
	a.showReportTable(newScreen(&b), got)
	return b.Bytes(), nil
}

// cellWords is a cell for people.
func (a *app) cellWords(kind, text string) string {
	switch kind {
	case "size":
		if n, err := strconv.ParseUint(text, 10, 64); err == nil {
			return sizeWords(n)
		}
	case "time":
		if t, err := time.Parse(time.RFC3339, text); err == nil {
			return t.In(a.zone).Format("2006-01-02 15:04")
		}
	}
	return text
}

func numeric(kind string) bool { return kind == "number" || kind == "size" }

func (a *app) showReportTable(s *screen, got *answer) {
	h := got.head
	s.paragraph(bold, "", "", h.GetTitle())
	s.paragraph(plain, "", "", h.GetQuestion())
	for _, l := range a.aboutReport(got) {
		s.styled(faint, "%s: %s", l[0], l[1])
	}
	s.text(plain, "\n")
	t := table{right: map[int]bool{}}
	for i, c := range h.GetColumns() {
		t.header = append(t.header, strings.ToUpper(inertLine(c.GetTitle())))
		t.right[i] = numeric(c.GetKind())
		if c.GetKey() == "examples" || c.GetKey() == "what" {
			t.elastic = i
		}
	}
	for _, cells := range got.rows {
		row := make([]cell, len(cells))
		for i, text := range cells {
			row[i].text = orDash(a.cellWords(h.GetColumns()[i].GetKind(), text))
		}
		t.rows = append(t.rows, row)
	}
	if len(got.rows) == 0 {
		s.line("%s", h.GetWords()["none"])
	}
	t.write(s)
}

// aboutReport is what stands above a printed report, in its language.
func (a *app) aboutReport(got *answer) [][2]string {
	w := got.head.GetWords()
	lines := [][2]string{{w["asked"], a.moment(time.UnixMilli(got.head.GetAtMs()))}}
	for _, p := range got.head.GetParams() {
		lines = append(lines, [2]string{p.GetTitle(), p.GetValue()})
	}
	if f := got.head.GetFilter(); f != "" {
		lines = append(lines, [2]string{w["filter"], f})
	}
	return append(lines, [2]string{w["rows"], strconv.FormatUint(got.tail.GetRows(), 10)})
}

// csvOf writes a table in the form of RFC 4180, whose first line are the headings.
// Cells are as programs want them: sizes in bytes, times in RFC 3339.
func csvOf(got *answer) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.UseCRLF = true
	line := make([]string, len(got.head.GetColumns()))
	for i, c := range got.head.GetColumns() {
		line[i] = disarmed(c.GetTitle())
	}
	if err := w.Write(line); err != nil {
		return nil, fmt.Errorf("write CSV: %w", err)
	}
	for _, cells := range got.rows {
		for i, text := range cells {
			line[i] = disarmed(text)
		}
		if err := w.Write(line); err != nil {
			return nil, fmt.Errorf("write CSV: %w", err)
		}
	}
	w.Flush()
	return b.Bytes(), w.Error()
}

// disarmed makes a cell that no spreadsheet computes: what machines say would
// otherwise run on the computer of whoever opens the file. OWASP ("CSV Injection")
// names "=", "+", "-", "@", tab and carriage return at the beginning of a cell, and
// their wide forms; an apostrophe there makes it text. Where a spreadsheet cuts
// lines at semicolons, as in most of Europe, a cell can begin in the middle of ours:
// so the same holds behind each semicolon. Control characters have become %XX
// before. A number is left as it is.
func disarmed(text string) string {
	text = inertLine(text)
	parts := strings.Split(text, ";")
	for i, p := range parts {
		begins := strings.TrimLeft(p, " \"'")
		if begins != "" && strings.ContainsRune("=+-@\t\r\n|＝＋－＠", []rune(begins)[0]) {
			parts[i] = "'" + p
		}
	}
	return strings.Join(parts, ";")
}

// reportColumnJSON and reportJSON are the shape of a report in JSON.
type reportColumnJSON struct {
	Key   string `json:"key"`
	Title string `json:"title"`
	Kind  string `json:"kind"`
}

type reportJSON struct {
	Report   string                       `json:"report"`
	Title    string                       `json:"title"`
	Question string                       `json:"question"`
	Lang     string                       `json:"lang"`
	At       msTime                       `json:"at"`
	Filter   string                       `json:"filter"`
	Params   map[string]string            `json:"params"`
	Columns  []reportColumnJSON           `json:"columns"`
	Rows     []map[string]json.RawMessage `json:"rows"`
	Count    uint64                       `json:"row_count"`
	Machines uint64                       `json:"machines"`
	More     bool                         `json:"more"`
}

func jsonOf(got *answer) ([]byte, error) {
	h := got.head
	doc := reportJSON{
		Report: h.GetName(), Title: h.GetTitle(), Question: h.GetQuestion(), Lang: h.GetLang(), At: msTime(h.GetAtMs()), Filter: h.GetFilter(),
		Params: map[string]string{}, Columns: []reportColumnJSON{}, Rows: []map[string]json.RawMessage{},
		Count: got.tail.GetRows(), Machines: got.tail.GetMachines(), More: got.tail.GetMore(),
	}
	for _, p := range h.GetParams() {
		doc.Params[p.GetName()] = p.GetValue()
	}
	for _, c := range h.GetColumns() {
		doc.Columns = append(doc.Columns, reportColumnJSON{c.GetKey(), c.GetTitle(), c.GetKind()})
	}
	for _, cells := range got.rows {
		row := map[string]json.RawMessage{}
		for i, c := range h.GetColumns() {
			v, err := cellJSON(c, cells[i])
			if err != nil {
				return nil, err
			}
			row[c.GetKey()] = v
		}
		doc.Rows = append(doc.Rows, row)
	}
	return indented(doc)
}

// cellJSON writes a cell: a number where it is one, null where it is empty.
func cellJSON(c *rollcallv1.ReportColumn, text string) (json.RawMessage, error) {
	if text == "" {
		return json.RawMessage("null"), nil
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil && numeric(c.GetKind()) && json.Valid([]byte(text)) {
		return json.RawMessage(text), nil
	}
	return json.Marshal(text)
}
