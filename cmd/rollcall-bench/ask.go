package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"rollcall/internal/sim"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// question is asked again and again.
type question struct {
	name, words string
	bar         float64 // milliseconds; 0: none
	ask         func(ctx context.Context, o operator) (reply, error)
}

// reply is what is kept of an answer.
type reply struct {
	found  int           // CIs, or rows
	server time.Duration // as the server tells; 0: it does not
}

// tenOlder are packages that every workstation has, with a version of each in the
// middle of the data's time.
var tenOlder = [][2]string{
	{"cups", "2.4.2-3+deb12u8"},
	{"openssl", "3.0.15-1~deb12u1"},
	{"curl", "7.88.1-10+deb12u8"},
	{"libc6", "2.36-9+deb12u9"},
	{"sudo", "1.9.13p3-1+deb12u2"},
	{"bash", "5.2.15-2+b8"},
	{"systemd", "252.36-1~deb12u1"},
	{"openssh-client", "1:9.2p1-2+deb12u4"},
	{"firefox-esr", "128.8.0esr-1~deb12u1"},
	{"libxml2", "2.9.14+dfsg-1.3~deb12u2"},
}

// list gives all questions but the reports.
func (s *stock) list() []question {
	older := make([]string, len(tenOlder))
	for i, p := range tenOlder {
		older[i] = fmt.Sprintf("pkg(%s) < %q", p[0], p[1])
	}
	three := "class = workstation and site = kommune-000/* and pkg(cups) < 2.4.2-3+deb12u9"
	lastYear := sim.LastDay.Time().AddDate(-1, 0, 0)
	rooms := s.rooms()
	few, rest := s.few(25)
	even, odd := s.halves()
	return []question{
		{name: "nothing", words: "the server's status: what a call takes at least", ask: func(ctx context.Context, o operator) (reply, error) {
			_, err := o.Status(ctx, &rollcallv1.StatusRequest{})
			return reply{}, err
		}},
		filter("filter: has", "pkg(cups)", time.Time{}, 0),
		filter("filter: three conditions", three, time.Time{}, 1),
		filter("filter: ten versions", strings.Join(older, " or "), time.Time{}, 20),
		filter("filter: as of last year", "class = workstation and pkg(cups) < 2.4.2-3+deb12u9", lastYear, 500),
		filter("filter: changed", "class = workstation and changed(etc) < 400d and site = "+rooms[0], time.Time{}, 0),
		comparison("compare: class and class", "site = "+rooms[0], "site = "+rooms[1], nil, 5),
		comparison("compare: 25 and the rest", "", rest, few, 100),
		comparison("compare: half and half", even, odd, nil, 250),
		comparison("compare: 25 and a site", "", "site = kommune-000/* and "+rest, few, 0),
		{name: "why", words: "what is odd about one machine", ask: func(ctx context.Context, o operator) (reply, error) {
			r, err := o.Why(ctx, &rollcallv1.WhyRequest{Ci: few[3]})
			return reply{found: len(r.GetOdd())}, err
		}},
	}
}

func filter(name, words string, at time.Time, bar float64) question {
	req := &rollcallv1.ListRequest{Filter: words, Limit: 20, Explain: true}
	if !at.IsZero() {
		req.AtMs = at.UnixMilli()
		words += ", as of " + at.Format(time.DateOnly)
	}
	return question{name: name, words: words, bar: bar, ask: func(ctx context.Context, o operator) (reply, error) {
		r, err := o.List(ctx, req)
		out := reply{}
		for _, step := range r.GetSteps() {
			out.server += time.Duration(step.GetTookUs()) * time.Microsecond
			out.found = max(out.found, int(step.GetFound()))
		}
		if strings.Contains(words, " and ") && len(r.GetSteps()) > 0 {
			out.found = int(r.GetSteps()[len(r.GetSteps())-1].GetFound())
		}
		return out, err
	}}
}

func comparison(name, broken, working string, names []string, bar float64) question {
	words := cmp.Or(broken, fmt.Sprintf("%d machines", len(names))) + " against " + working
	req := &rollcallv1.CompareRequest{Broken: broken, Working: working, BrokenNames: names}
	return question{name: name, words: words, bar: bar, ask: func(ctx context.Context, o operator) (reply, error) {
		r, err := o.Compare(ctx, req)
		return reply{found: len(r.GetRows())}, err
	}}
}

// rooms names two rooms of workstations next to each other.
func (s *stock) rooms() (rooms []string) {
	for i := range s.fleet.Len() {
		if m := s.fleet.Member(i); m.Profile == sim.Workstation && !slices.Contains(rooms, m.Site) {
			rooms = append(rooms, m.Site)
		}
		if len(rooms) == 2 {
			break
		}
	}
	for len(rooms) < 2 {
		rooms = append(rooms, "kommune-000/*")
	}
	return rooms
}

// few names n clients, evenly spread over the fleet, and gives a filter for all
// other machines.
func (s *stock) few(n int) (names []string, others string) {
	for i := 0; i < s.fleet.Len() && len(names) < n; i += max(1, s.fleet.Len()/n) {
		names = append(names, s.fleet.Member(i).Name)
	}
	return names, "name not in (" + strings.Join(names, ", ") + ")"
}

// halves gives filters for every other municipality, and for those between; where
// there is only one, for its schools.
func (s *stock) halves() (even, odd string) {
	sites := s.fleet.Schools()
	municipalities := slices.DeleteFunc(slices.Clone(sites), func(s string) bool { return strings.Contains(s, "/") })
	if len(municipalities) == 1 {
		municipalities = sites[1:]
	}
	var parts [2][]string
	for i, m := range municipalities {
		parts[i%2] = append(parts[i%2], m+"/*")
	}
	if len(parts[1]) == 0 {
		return "name = *0", "not name = *0"
	}
	return "site in (" + strings.Join(parts[0], ", ") + ")", "site in (" + strings.Join(parts[1], ", ") + ")"
}

// reports makes a question of each shipped report, with its defaults.
func reports(ctx context.Context, o operator) ([]question, error) {
	list, err := o.ListReports(ctx, &rollcallv1.ListReportsRequest{})
	if err != nil {
		return nil, fmt.Errorf("list reports: %w", err)
	}
	given := map[string]string{"model": "*", "package": "cups", "version": "2.4.2-3+deb12u8", "name": "cups", "path": "/etc/fstab"}
	var all []question
	for _, info := range list.GetReports() {
		req := &rollcallv1.RunReportRequest{Name: info.GetName(), Params: map[string]string{}, Limit: 100}
		for _, p := range info.GetParams() {
			if p.GetDefault() == "" && !p.GetOptional() {
				req.Params[p.GetName()] = given[p.GetName()]
			}
		}
		all = append(all, question{name: "report " + info.GetName(), words: info.GetQuestion(), ask: func(ctx context.Context, o operator) (reply, error) {
			st, err := o.RunReport(ctx, req)
			out := reply{}
			for err == nil {
				var r *rollcallv1.RunReportReply
				if r, err = st.Recv(); err == nil && r.GetTail() != nil {
					out.found = int(r.GetTail().GetRows())
				}
			}
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return out, err
		}})
	}
	return all, nil
}
