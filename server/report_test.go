package server

import (
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"

	"google.golang.org/grpc/codes"
)

// rowsOf runs a report and gives its rows.
func rowsOf(t *testing.T, o *operator, req *rollcallv1.RunReportRequest) (rows [][]string, err error) {
	t.Helper()
	st, err := o.RunReport(t.Context(), req)
	if err != nil {
		return nil, err
	}
	for {
		reply, err := st.Recv()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		for _, r := range reply.GetRows() {
			rows = append(rows, r.GetCells())
		}
	}
}

// In two reports stands what not every role may ask. Who may not ask it does not
// see them listed, is refused, and gets them for her sites only.
func TestAReportTellsWhatItsMethodWouldTellAndNoMore(t *testing.T) {
	w := newWorld(t)
	tests := []struct {
		report string
		role   auth.Role
		may    bool
	}{
		{"inventory", auth.Viewer, true},
		{"inventory", auth.Restorer, true},
		{"evidence-log", auth.Viewer, true},
		{"waiting-keys", auth.Viewer, false},
		{"waiting-keys", auth.Helpdesk, false},
		{"waiting-keys", auth.Worker, false},
		{"waiting-keys", auth.Approver, true},
		{"waiting-keys", auth.Auditor, true},
		{"waiting-keys", auth.Admin, true},
		{"shared-secrets", auth.Viewer, false},
		{"shared-secrets", auth.Approver, false},
		{"shared-secrets", auth.Worker, true},
		{"shared-secrets", auth.Auditor, true},
	}
	for _, tt := range tests {
		caller := w.caller(auth.Grant{Role: tt.role, Site: w.own.site})
		list, err := caller.ListReports(t.Context(), &rollcallv1.ListReportsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		listed := slices.ContainsFunc(list.GetReports(), func(r *rollcallv1.ReportInfo) bool { return r.GetName() == tt.report })
		if listed != tt.may {
			t.Errorf("%s is listed for %s: %v, want %v", tt.report, tt.role, listed, tt.may)
		}
		rows, err := rowsOf(t, caller, &rollcallv1.RunReportRequest{Name: tt.report})
		if !tt.may {
			wantCode(t, tt.report+" of "+string(tt.role), err, codes.PermissionDenied)
			continue
		}
		if err != nil {
			t.Errorf("%s of %s: %v", tt.report, tt.role, err)
		}
		var text strings.Builder
		for _, cells := range rows {
			text.WriteString(strings.Join(cells, " ") + "\n")
		}
		if strings.Contains(text.String(), w.other.name) || strings.Contains(text.String(), w.other.site) {
			t.Errorf("%s of %s tells of the other site:\n%s", tt.report, tt.role, text.String())
		}
		if tt.report == "waiting-keys" && !strings.Contains(text.String(), w.own.name+"-waits") || tt.report == "inventory" && !strings.Contains(text.String(), w.own.name) {
			t.Errorf("%s of %s does not tell of the own site:\n%s", tt.report, tt.role, text.String())
		}
	}
}

// Roles of two places do not add up: who is an auditor at one and a viewer at the
// other sees keys that wait at the first only.
func TestAReportIsOfTheSitesWhereTheRoleIsHeld(t *testing.T) {
	w := newWorld(t)
	both := w.operator("both", auth.Grant{Role: auth.Auditor, Site: w.own.site}, auth.Grant{Role: auth.Viewer, Site: w.other.site})
	keys, err := rowsOf(t, both, &rollcallv1.RunReportRequest{Name: "waiting-keys"})
	if err != nil || len(keys) != 1 || keys[0][3] != w.own.site {
		t.Errorf("waiting keys: %v, %v, want the one at %s", keys, err, w.own.site)
	}
	machines, err := rowsOf(t, both, &rollcallv1.RunReportRequest{Name: "inventory"})
	if err != nil || len(machines) != 2 {
		t.Errorf("inventory: %v, %v, want both machines", machines, err)
	}
}

func TestAReportThatCannotBeMadeSaysWhy(t *testing.T) {
	r := start(t)
	tests := []struct {
		req  *rollcallv1.RunReportRequest
		code codes.Code
		says string
	}{
		{&rollcallv1.RunReportRequest{Name: "nothing"}, codes.NotFound, "rollcall report list"},
		{&rollcallv1.RunReportRequest{Name: "silent", Params: map[string]string{"days": "x"}}, codes.InvalidArgument, "whole number"},
		{&rollcallv1.RunReportRequest{Name: "places", Filter: "site ="}, codes.InvalidArgument, "column"},
		{&rollcallv1.RunReportRequest{Name: "silent", AtMs: 1}, codes.InvalidArgument, "present only"},
		{&rollcallv1.RunReportRequest{Name: "places", Filter: "site = x) or (name ~ *"}, codes.InvalidArgument, "column"},
	}
	for _, tt := range tests {
		_, err := rowsOf(t, r.kari, tt.req)
		wantCode(t, tt.req.String(), err, tt.code)
		if err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%v: %v, want one that says %q", tt.req, err, tt.says)
		}
	}
}

// The machines of each class that a report counts for the past are those that a
// filter selects then: by what people declared, or else by what the machine seems to be,
// within the sites of whoever asks.
func TestGrowthCountsWhatFiltersSelectThen(t *testing.T) {
	r := start(t)
	for _, site := range []string{"elm", "oak"} {
		if _, err := r.kari.SetSite(t.Context(), &rollcallv1.SetSiteRequest{Site: &rollcallv1.Site{Path: site}}); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	for i := range 6 {
		m := r.machine(900 + uint64(i))
		seems := []string{"laptop", "workstation"}[i%2]
		m.Facts["id"] = fact.NewSet(append(slices.Clone(m.Facts["id"]), fact.Fact{Path: "id/class", Value: seems}))
		m.report(t, true)
		fields := map[string]string{"site": []string{"elm", "oak"}[i/3]}
		if i > 3 {
			fields["class"] = "printer"
		}
		switch i {
		case 0:
			fields["class"] = "" // what the machine seems to be stands for it
		case 1:
			fields["status"] = "disposed"
		}
		if _, err := r.kari.Set(t.Context(), &rollcallv1.SetRequest{Ci: m.ci, Fields: fields}); err != nil {
			t.Fatal(err)
		}
		r.srv.SetClock(func() time.Time { return begin.AddDate(0, 0, 10*(i+1)) })
	}
	now := begin.AddDate(0, 5, 0)
	r.srv.SetClock(func() time.Time { return now })
	elm := r.operator("elm", auth.Grant{Role: auth.Viewer, Site: "elm"})
	counted := 0
	for _, who := range []*operator{r.kari, elm} {
		rows, err := rowsOf(t, who, &rollcallv1.RunReportRequest{Name: "growth", Params: map[string]string{"months": "6"}})
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			month, err := time.Parse("2006-01", row[0])
			if err != nil {
				t.Fatal(err)
			}
			at := month.AddDate(0, 1, 0).Add(-time.Millisecond)
			if at.After(now) {
				continue
			}
			n := 0
			for _, cond := range []string{"class = " + row[1], "class != * and fact(id/class) = " + row[1]} {
				reply, err := who.List(t.Context(), &rollcallv1.ListRequest{Filter: "status != disposed and " + cond, AtMs: at.UnixMilli()})
				if err != nil {
					t.Fatal(err)
				}
				n += len(reply.GetItems())
			}
			if row[2] != strconv.Itoa(n) {
				t.Errorf("%s: %s machines of class %s, filters select %d", row[0], row[2], row[1], n)
			}
			counted += n
		}
	}
	if counted < 10 {
		t.Errorf("only %d machines were counted in all: the report tells nothing", counted)
	}
}
