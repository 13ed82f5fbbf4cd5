package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"rollcall/internal/fact"
	"rollcall/internal/sim"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// twice is one question in the words of both.
type twice struct {
	name  string
	words string // a filter, or what else is asked of Rollcall
	pql   string

	rollcall func(ctx context.Context, o operator) (reply, error)
}

// duel gives questions that both can answer, about what the fleet has now.
func duel(f *sim.Fleet) []twice {
	one := 0
	for f.Member(one).Profile != sim.Workstation && one < f.Len()-1 {
		one++
	}
	m, sets := f.Member(one), f.Sets(one)
	value := func(path string) string {
		v, _ := sets[fact.SectionOf(path)].Get(path)
		return v
	}
	var have, inventory []string
	for _, p := range tenOlder {
		v := value("pkg/" + p[0] + "/version")
		have = append(have, fmt.Sprintf("pkg(%s) = %q", p[0], v))
		inventory = append(inventory, fmt.Sprintf("(package_name = %q and version = %q)", p[0], v))
	}
	cups, product, mac := value("pkg/cups/version"), value("hw/system/product"), ""
	for _, f := range sets["net"] {
		if strings.HasSuffix(f.Path, "/mac") {
			mac = f.Value
		}
	}
	school := m.School
	return []twice{
		selects("which machine has this MAC address", "mac = "+mac, fmt.Sprintf("facts[certname]{name ~ \"^net/.*/mac$\" and value = %q}", mac)),
		selects("package in one version", fmt.Sprintf("pkg(cups) = %q", cups), fmt.Sprintf("package_inventory[certname]{package_name = \"cups\" and version = %q}", cups)),
		selects("ten packages in one version each", strings.Join(have, " or "), "package_inventory[certname]{"+strings.Join(inventory, " or ")+" group by certname}"),
		selects("class, school and package", fmt.Sprintf("class = workstation and site = %s/* and pkg(cups) = %q", school, cups),
			fmt.Sprintf("inventory[certname]{facts.class = \"workstation\" and facts.site ~ \"^%s/\" and certname in package_inventory[certname]{package_name = \"cups\" and version = %q}}", school, cups)),
		selects("one file of /etc in one state", fmt.Sprintf("fact(etc/nsswitch.conf) = %q", value("etc/nsswitch.conf")), fmt.Sprintf("facts[certname]{name = \"etc/nsswitch.conf\" and value = %q}", value("etc/nsswitch.conf"))),
		selects("computers of one model", fmt.Sprintf("model = %q", product), fmt.Sprintf("facts[certname]{name = \"hw/system/product\" and value = %q}", product)),
		counts("how many machines of each model", "hw/system/product", "facts[value, count()]{name = \"hw/system/product\" group by value}"),
		counts("how many machines in each version of a package", "pkg/cups/version", "package_inventory[version, count()]{package_name = \"cups\" group by version}"),
		{name: "all facts of one machine", words: "ci show " + m.Name + " --all", pql: fmt.Sprintf("factsets[facts]{certname = %q}", m.Name), rollcall: func(ctx context.Context, o operator) (reply, error) {
			_, err := o.Get(ctx, &rollcallv1.GetRequest{Ci: m.Name, Sections: []string{"*"}})
			return reply{found: 1}, err
		}},
	}
}

func selects(name, filter, pql string) twice {
	return twice{name: name, words: filter, pql: pql, rollcall: func(ctx context.Context, o operator) (reply, error) {
		r, err := o.List(ctx, &rollcallv1.ListRequest{Filter: filter, Limit: 100_000})
		return reply{found: len(r.GetItems())}, err
	}}
}

func counts(name, path, pql string) twice {
	return twice{name: name, words: "values of " + path, pql: pql, rollcall: func(ctx context.Context, o operator) (reply, error) {
		r, err := o.Values(ctx, &rollcallv1.ValuesRequest{Subject: path, Limit: 200})
		return reply{found: int(r.GetTotal())}, err
	}}
}

// matchResult is the JSON document of peer; its help describes it.
type matchResult struct {
	Version   string          `json:"version"`
	Machines  int             `json:"machines"`
	Seed      uint64          `json:"seed"`
	Clients   int             `json:"clients"`
	Phases    []matchPhase    `json:"phases"`
	Questions []matchQuestion `json:"questions"`
	Memory    struct {
		Rollcall uint64 `json:"rollcall_bytes"`
		PuppetDB uint64 `json:"puppetdb_bytes"`
	} `json:"memory"`
}

type matchPhase struct {
	Name     string `json:"name"`
	Rollcall side   `json:"rollcall"`
	PuppetDB side   `json:"puppetdb"`
}

type side struct {
	Count   int     `json:"count"`
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_seconds"`
}

type matchQuestion struct {
	Name     string      `json:"name"`
	Rollcall matchAnswer `json:"rollcall"`
	PuppetDB matchAnswer `json:"puppetdb"`
}

type matchAnswer struct {
	Question string  `json:"question"`
	Found    int     `json:"found"`
	MedianMS float64 `json:"median_ms"`
	P99MS    float64 `json:"p99_ms"`
	Problem  string  `json:"problem,omitempty"`
}

func sideOf(r askedResult) matchAnswer {
	return matchAnswer{r.Question, r.Found, r.MedianMS, r.P99MS, r.Problem}
}

// print writes the tables.
func (r matchResult) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tRollcall\tPuppetDB\t")
	for _, p := range r.Phases {
		fmt.Fprintf(w, "%s, machines a second\t%.0f\t%.0f\t\n", p.Name, rate(p.Rollcall), rate(p.PuppetDB))
		fmt.Fprintf(w, "processor ms of a machine\t%.1f\t%.1f\t\n", perMachine(p.Rollcall), perMachine(p.PuppetDB))
	}
	for _, q := range r.Questions {
		fmt.Fprintf(w, "%s, found\t%d\t%d\t\n", q.Name, q.Rollcall.Found, q.PuppetDB.Found)
		fmt.Fprintf(w, "median ms\t%s\t%s\t\n", orProblem(q.Rollcall), orProblem(q.PuppetDB))
	}
	fmt.Fprintf(w, "memory at the end\t%s\t%s\t\n", size(float64(r.Memory.Rollcall)), size(float64(r.Memory.PuppetDB)))
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	_, err := fmt.Fprintf(out, "\n%d machines, seed %d, %d clients\n", r.Machines, r.Seed, r.Clients)
	return err
}

func rate(s side) float64 {
	if s.Seconds == 0 {
		return 0
	}
	return float64(s.Count) / s.Seconds
}

func perMachine(s side) float64 {
	if s.Count == 0 {
		return 0
	}
	return s.CPU * 1000 / float64(s.Count)
}

func orProblem(a matchAnswer) string {
	if a.Problem != "" {
		return "failed" + a.Problem
	}
	return fmt.Sprintf("%.2f", a.MedianMS)
}
