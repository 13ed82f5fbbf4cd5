package main

import (
	"bytes"
	"fmt"
	"html/template"
)

// reportPage is one file that needs nothing else: it can be mailed, printed and kept. It
// asks for no script, font or picture, and its policy lets a browser load none. A
// table has a caption, its headings tell what they are of, and the language is
// named, as readers for the blind need it (WCAG 2.2, 1.3.1 and 3.1.1).
const reportPage = `<!DOCTYPE html>
<html lang="{{.Lang}}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="rollcall">
<title>{{.Title}}</title>
<style>
body { font: 1rem/1.4 sans-serif; margin: 1.5rem; color: #111; background: #fff; }
h1 { font-size: 1.4rem; margin: 0 0 .3rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .8rem 0; font-size: .9rem; }
dt { color: #444; } dd { margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
caption { text-align: left; font-weight: bold; padding: .3rem 0; }
th, td { text-align: left; vertical-align: top; padding: .2rem .6rem .2rem 0; border-bottom: 1px solid #bbb; overflow-wrap: anywhere; }
thead th { border-bottom: 2px solid #444; }
tbody th { font-weight: normal; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
@media print { body { margin: 0; font-size: 9pt; } thead { display: table-header-group; } tr { break-inside: avoid; } @page { margin: 1.5cm; } }
</style>
</head>
<body>
<main>
<h1>{{.Title}}</h1>
<p>{{.Question}}</p>
<dl>
{{range .About}}<dt>{{index . 0}}</dt><dd>{{index . 1}}</dd>
{{end}}</dl>
{{if .Rows}}<table>
<caption>{{.Title}}</caption>
<thead><tr>{{range .Columns}}<th scope="col"{{if .Number}} class="n"{{end}}>{{.Title}}</th>{{end}}</tr></thead>
<tbody>
{{range .Rows}}<tr>{{range $i, $c := .}}{{if eq $i 0}}<th scope="row">{{$c.Text}}</th>{{else}}<td{{if $c.Number}} class="n"{{end}}>{{$c.Text}}</td>{{end}}{{end}}</tr>
{{end}}</tbody>
</table>
{{else}}<p>{{.None}}</p>
{{end}}{{if .More}}<p><strong>{{.More}}</strong></p>
{{end}}</main>
</body>
</html>
`

type htmlColumn struct {
	Title  string
	Number bool
}

type htmlCell struct {
	Text   string
	Number bool
}

// htmlOf writes an answer as one HTML file.
func (a *app) htmlOf(got *answer) ([]byte, error) {
	h := got.head
	doc := struct {
		Lang, Title, Question, None, More string
		About                             [][2]string
		Columns                           []htmlColumn
		Rows                              [][]htmlCell
	}{Lang: inertLine(h.GetLang()), Title: inertLine(h.GetTitle()), Question: inertLine(h.GetQuestion()), None: inertLine(h.GetWords()["none"])}
	for _, l := range a.aboutReport(got) {
		doc.About = append(doc.About, [2]string{inertLine(l[0]), inertLine(l[1])})
	}
	if got.tail.GetMore() {
		doc.More = inertLine(h.GetWords()["more"])
	}
	for _, c := range h.GetColumns() {
		doc.Columns = append(doc.Columns, htmlColumn{inertLine(c.GetTitle()), numeric(c.GetKind())})
	}
	for _, cells := range got.rows {
		row := make([]htmlCell, len(cells))
		for i, text := range cells {
			kind := h.GetColumns()[i].GetKind()
			row[i] = htmlCell{inertLine(a.cellWords(kind, text)), numeric(kind)}
		}
		doc.Rows = append(doc.Rows, row)
	}
	t, err := template.New("report").Parse(reportPage)
	if err != nil {
		return nil, fmt.Errorf("write HTML: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, doc); err != nil {
		return nil, fmt.Errorf("write HTML: %w", err)
	}
	return b.Bytes(), nil
}
