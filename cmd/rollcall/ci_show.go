package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) ciShowCommand() *cobra.Command {
	var q showing
	c := &cobra.Command{
		Use:   "show NAME",
		Short: "Show one CI",
		Long: `Shows what people declared about a CI, what its agent said last, and, where asked
for, its facts: those of sections that you name, or all. Sections are id, hw,
net, fs, os, module, pkg, apt, svc, port, user, group, ssh, etc and conffile.
Measurements (load, free space and so on) are of the last report only and come
with --all.

As JSON: the fields of 'rollcall ci list', and "at", "fields", "facts" (path to
value), "collectors" [{"name", "status", "detail", "took_ms"}], "measurements",
"agent_version", "key_id", "key_words", "observations" [{"ci", "name", "by", "last"}].`,
		Example: `  rollcall ci show room12-pc07
  rollcall ci show room12-pc07 --facts hw,net
  rollcall ci show room12-pc07 --all --at 2026-11-01 --json`,
		Args:              cmdline.Exactly("NAME"),
		ValidArgsFunction: a.first(a.cis),
		RunE: func(c *cobra.Command, args []string) error {
			q.ci = args[0]
			return a.showCI(c.Context(), q)
		},
	}
	atFlag(c, &q.at)
	jsonFlag(c, &q.json)
	c.Flags().StringSliceVar(&q.sections, "facts", nil, "also show the facts of these `SECTIONS`")
	c.Flags().BoolVar(&q.all, "all", false, "also show all facts and measurements")
	exclusive(c, "facts", "all")
	a.complete(c, "facts", fixed(sections...))
	return c
}

// sections are those that agents of this release fill; a newer agent may have
// more.
var sections = []string{
	"apt", "client", "conffile", "etc", "fs", "group", "hw", "id", "module", "net", "os", "pkg", "port", "secret", "ssh", "svc", "user",
}

// showing is a question for one CI.
type showing struct {
	ci       string
	at       string
	sections []string
	all      bool
	json     bool
}

type collectorJSON struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Detail string `json:"detail,omitempty"`
	TookMS uint32 `json:"took_ms"`
}

// observationJSON is that a boot server sees the machine.
type observationJSON struct {
	CI   string `json:"ci"`
	Name string `json:"name"`
	By   string `json:"by"`
	Last msTime `json:"last"` // null: not since the server was started
}

type showJSON struct {
	itemJSON
	At           msTime            `json:"at"` // null: now
	Fields       map[string]string `json:"fields"`
	Facts        map[string]string `json:"facts"`
	Collectors   []collectorJSON   `json:"collectors"`
	Measurements map[string]string `json:"measurements"`
	AgentVersion string            `json:"agent_version"`
	KeyID        string            `json:"key_id"`
	KeyWords     string            `json:"key_words"`
	Observations []observationJSON `json:"observations"`
}

func (a *app) showCI(ctx context.Context, q showing) error {
	at, err := a.parseTime("at", q.at, cmdline.End)
	if err != nil {
		return err
	}
	req := &rollcallv1.GetRequest{Ci: q.ci, AtMs: millis(at), Sections: q.sections}
	if q.all {
		req.Sections = []string{"*"}
	}
	return a.ask(func(s *server) error {
		reply, err := s.Get(ctx, req)
		if err != nil {
			return fmt.Errorf("show CI: %w", err)
		}
		sets, measured, err := decodeSets(reply)
		if err != nil {
			return fmt.Errorf("show CI %s: %w", q.ci, err)
		}
		if q.json {
			return a.document(showOf(reply, at, sets, measured))
		}
		a.showHead(reply, at)
		if at.IsZero() { // they are of the last report
			a.showCollectors(reply.GetCollectors())
		}
		if len(q.sections) == 0 && !q.all {
			a.showSections(sets)
			return nil
		}
		for _, set := range sets {
			a.showFacts(set)
		}
		if q.all && at.IsZero() {
			a.showFacts(measured)
		}
		return nil
	})
}

// trusted explains a trust class.
func trusted(class string) string {
	switch class {
	case "T0":
		return "T0: what a machine claims that booted from the network"
	case "T1":
		return "T1: signed with a key on its disk"
	case "observed":
		return "observed: it says nothing itself, boot servers tell of it"
	case "unsigned":
		return "unsigned: told by nobody who signs: an upload of sitesummary-client, which anybody on the network could make, or a history that was imported"
	}
	return orDash(class)
}

func decodeSets(reply *rollcallv1.GetReply) (sets []fact.Set, measured fact.Set, err error) {
	for _, b := range reply.GetSets() {
		set, err := fact.DecodeSet(b)
		if err != nil {
			return nil, nil, err
		}
		sets = append(sets, set)
	}
	if len(reply.GetMeasurements()) > 0 {
		measured, err = fact.DecodeSet(reply.GetMeasurements())
	}
	return sets, measured, err
}

func showOf(reply *rollcallv1.GetReply, at time.Time, sets []fact.Set, measured fact.Set) showJSON {
	out := showJSON{
		itemJSON: itemOf(reply.GetItem()), At: msTime(millis(at)), Fields: map[string]string{}, Facts: map[string]string{},
		Collectors: []collectorJSON{}, Measurements: map[string]string{},
		AgentVersion: reply.GetAgentVersion(), KeyID: reply.GetKeyId(), KeyWords: reply.GetKeyWords(),
	}
	out.Observations = []observationJSON{}
	for _, seen := range reply.GetObservations() {
		out.Observations = append(out.Observations, observationJSON{seen.GetCi(), seen.GetName(), seen.GetBy(), msTime(seen.GetLastMs())})
	}
	maps.Copy(out.Fields, reply.GetFields())
	for _, set := range sets {
		for _, f := range set {
			out.Facts[f.Path] = f.Value
		}
	}
	for _, f := range measured {
		out.Measurements[f.Path] = f.Value
	}
	for _, c := range reply.GetCollectors() {
		out.Collectors = append(out.Collectors, collectorJSON{c.GetName(), collectorWords(c.GetStatus()), c.GetDetail(), c.GetTookMs()})
	}
	return out
}

// collectorWords is a collector's status in words.
func collectorWords(st rollcallv1.CollectorStatus_Status) string {
	return strings.ReplaceAll(strings.ToLower(st.String()), "_", " ")
}

func (a *app) showHead(reply *rollcallv1.GetReply, at time.Time) {
	i := reply.GetItem()
	a.out.styled(bold, "%s", i.GetName())
	if !at.IsZero() {
		a.out.line("  as of %s", a.moment(at))
	}
	presence := presenceWords(i)
	if i.GetLastSeenMs() != 0 {
		presence += ", last seen " + a.whenAgo(i.GetLastSeenMs())
	}
	if i.GetCloned() {
		presence += "; its key speaks from two places"
	}
	rows := [][2]string{
		{"class", orDash(i.GetClass())},
		{"site", orDash(i.GetSite())},
		{"status", orDash(i.GetStatus())},
		{"presence", presence},
		{"trust", trusted(i.GetTrust())},
		{"os", orDash(i.GetOs())},
		{"model", orDash(i.GetModel())},
		{"serial", orDash(i.GetSerial())},
		{"changed", fmt.Sprintf("%s, revision %d", a.whenAgo(i.GetChangedMs()), i.GetRevision())},
		{"created", a.whenAgo(i.GetCreatedMs())},
		{"id", i.GetId()},
	}
	for _, seen := range reply.GetObservations() {
		rows = append(rows, [2]string{"observed by", a.observation(seen)})
	}
	if reply.GetKeyId() != "" {
		rows = append(rows, [2]string{"agent", reply.GetAgentVersion()}, [2]string{"key", reply.GetKeyId()}, [2]string{"key words", reply.GetKeyWords()})
	}
	for _, name := range slices.Sorted(maps.Keys(reply.GetFields())) {
		if !slices.Contains([]string{"name", "class", "site", "status"}, name) {
			rows = append(rows, [2]string{name, reply.GetFields()[name]})
		}
	}
	a.fields("  ", rows)
}

// observation says by what a boot server sees a machine, and when it did last.
func (a *app) observation(seen *rollcallv1.Observation) string {
	by := map[string]string{"leases": "by its DHCP leases", "nfs": "by its NFS exports", "leases nfs": "by its DHCP leases and NFS exports"}[seen.GetBy()]
	text := seen.GetName() + after(", ", by)
	if seen.GetLastMs() != 0 {
		text += ", last " + a.whenAgo(seen.GetLastMs())
	}
	return text
}

// showCollectors names the collectors that have not got everything, and what others
// had to leave out.
func (a *app) showCollectors(all []*rollcallv1.CollectorStatus) {
	var bad []*rollcallv1.CollectorStatus
	var off []string
	for _, c := range all {
		switch st := c.GetStatus(); {
		case st == rollcallv1.CollectorStatus_NOT_HERE, st == rollcallv1.CollectorStatus_OK && c.GetDetail() == "":
		case st == rollcallv1.CollectorStatus_OFF:
			off = append(off, c.GetName())
		default:
			bad = append(bad, c)
		}
	}
	if len(off) > 0 {
		a.out.line("\nleft out by the policy of the machine: %s", strings.Join(off, ", "))
	}
	if len(bad) == 0 {
		return
	}
	a.out.line("\nnot collected in full:")
	for _, c := range bad {
		a.out.styled(yellow, "  %s: %s%s", c.GetName(), collectorWords(c.GetStatus()), after(": ", c.GetDetail()))
	}
}

// after puts a separator before text that is there.
func after(sep, text string) string {
	if text == "" {
		return ""
	}
	return sep + text
}

// showSections says what could be asked for.
func (a *app) showSections(sets []fact.Set) {
	var parts []string
	for _, set := range sets {
		if len(set) > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", set[0].Section(), len(set)))
		}
	}
	if len(parts) > 0 {
		a.out.line("\nfacts: %s", strings.Join(parts, ", "))
	}
	a.out.line("more:  --facts %s; --all; 'rollcall ci history'", "hw,net")
}

func (a *app) showFacts(set fact.Set) {
	if len(set) == 0 {
		return
	}
	a.out.line("")
	for _, f := range set {
		a.out.line("%s = %s", f.Path, f.Value)
	}
}
