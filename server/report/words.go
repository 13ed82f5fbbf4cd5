package report

import (
	"embed"
	"strings"

	rollcallv1 "rollcall/proto/rollcall/v1"
)

//go:embed words/*.txt
var words embed.FS

// Languages gives the texts of all reports, by language and then by what they are
// of: each file of the folder words is one. Another language is one more file; a
// test says what is missing in it.
func Languages() map[string]map[string]string {
	all := map[string]map[string]string{}
	files, _ := words.ReadDir("words") // what is in the program can be read
	for _, f := range files {
		lang := strings.TrimSuffix(f.Name(), ".txt")
		all[lang] = texts(lang)
	}
	return all
}

// texts reads the lines "KEY = TEXT" of one language.
func texts(lang string) map[string]string {
	b, _ := words.ReadFile("words/" + lang + ".txt") // languageOf has chosen it
	out := map[string]string{}
	for l := range strings.Lines(string(b)) {
		if key, text, ok := strings.Cut(strings.TrimSuffix(l, "\n"), " = "); ok && l[0] != '#' {
			out[key] = text
		}
	}
	return out
}

// languageOf takes what a system calls a language ("nb_NO.UTF-8") to one that there
// is; Norwegian of any kind is nb, and what there is none for English.
func languageOf(s string) string {
	s, _, _ = strings.Cut(strings.ToLower(s), "_")
	s, _, _ = strings.Cut(s, "-")
	s, _, _ = strings.Cut(s, ".")
	if s == "no" || s == "nn" {
		s = "nb"
	}
	if _, err := words.Open("words/" + s + ".txt"); err == nil && s != "" {
		return s
	}
	return "en"
}

// words of a printed report that the head carries.
var printed = []string{"asked", "filter", "rows", "more", "none", "settings", "report"}

// head tells what was asked, in a language.
func (r *run) head(lang string) *rollcallv1.ReportHead {
	text := texts(lang)
	h := &rollcallv1.ReportHead{
		Name: r.def.Name, Title: text["report."+r.def.Name], Question: text["question."+r.def.Name], Lang: lang,
		AtMs: r.now().UnixMilli(), Filter: r.filter, Words: map[string]string{},
	}
	for _, c := range r.def.Columns {
		h.Columns = append(h.Columns, &rollcallv1.ReportColumn{Key: c.Key, Title: text["column."+c.Key], Kind: string(c.Kind)})
	}
	for _, p := range r.def.Params {
		if v := r.set[p.Name]; v != "" {
			h.Params = append(h.Params, &rollcallv1.ReportSetting{Name: p.Name, Value: v, Title: text["param."+p.Name]})
		}
	}
	for _, w := range printed {
		h.Words[w] = text["word."+w]
	}
	return h
}

// List tells of all reports of which may holds, in a language.
func List(lang string, may func(Definition) bool) *rollcallv1.ListReportsReply {
	lang = languageOf(lang)
	reply := &rollcallv1.ListReportsReply{Lang: lang}
	text := texts(lang)
	for _, d := range All() {
		if !may(d) {
			continue
		}
		info := &rollcallv1.ReportInfo{
			Name: d.Name, Users: d.users(), Title: text["report."+d.Name], Question: text["question."+d.Name], At: !d.Now, Filter: d.Filter,
		}
		for _, p := range d.Params {
			info.Params = append(info.Params, &rollcallv1.ReportParam{
				Name: p.Name, Help: text["param."+p.Name], Kind: string(p.Kind), Default: p.Default, Allowed: p.Allowed, Optional: p.Optional,
			})
		}
		reply.Reports = append(reply.Reports, info)
	}
	return reply
}
