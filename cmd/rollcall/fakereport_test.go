package main

import (
	"context"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/report"
)

func (f *fake) ListReports(_ context.Context, req *rollcallv1.ListReportsRequest) (*rollcallv1.ListReportsReply, error) {
	return report.List(req.GetLang(), func(report.Definition) bool { return true }), nil
}

// RunReport answers from the recorded fleet, or with cells that would do harm in a
// spreadsheet, in a page or on a terminal.
func (f *fake) RunReport(req *rollcallv1.RunReportRequest, st grpc.ServerStreamingServer[rollcallv1.RunReportReply]) error {
	if f.fleet == nil {
		return f.harm(req, st.Send)
	}
	a, err := f.fleet.Ask(st.Context(), cmdb.Everywhere, req)
	switch {
	case errors.Is(err, report.ErrNotFound):
		return status.Error(codes.NotFound, err.Error())
	case err != nil:
		return status.Error(codes.InvalidArgument, err.Error())
	}
	return a.Send(st.Send)
}

// harmful are cells that a spreadsheet would compute, or a browser would obey.
var harmful = []string{
	"=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "＝1+1", " =1", `"=1`, "'=1", "a;=1+1", "a;b; -1", "|x", "<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`,
	"a,b", `say "hi"`, "javascript:alert(1)", "{{.Title}}", "{{template \"x\"}}", "ordinary", "2.4.2-3+deb12u8", "",
}

func (f *fake) harm(req *rollcallv1.RunReportRequest, send func(*rollcallv1.RunReportReply) error) error {
	head := &rollcallv1.ReportHead{
		Name: req.GetName(), Title: "=title <b>", Question: "Who <i>asks</i>?", Lang: `en" onload="x`, AtMs: today.UnixMilli(),
		Columns: []*rollcallv1.ReportColumn{
			{Key: "name", Title: "name", Kind: "text"},
			{Key: "size", Title: "size", Kind: "size"},
			{Key: "n", Title: "n", Kind: "number"},
			{Key: "time", Title: "time", Kind: "time"},
		},
		Words: map[string]string{"asked": "as of", "rows": "rows", "more": "there are more"},
	}
	replies := []*rollcallv1.RunReportReply{{Head: head}}
	for _, text := range harmful {
		replies = append(replies, &rollcallv1.RunReportReply{Rows: []*rollcallv1.ReportRow{{Cells: []string{text, "8589934592", "-1", "2026-11-20T14:00:00Z"}}}})
	}
	replies = append(replies, &rollcallv1.RunReportReply{Tail: &rollcallv1.ReportTail{Rows: 900, More: true, Machines: 1}})
	for _, r := range replies {
		if f.kind == "hostile" {
			poisonMessage(r.ProtoReflect())
		}
		if err := send(r); err != nil {
			return err
		}
	}
	return nil
}

// Values counts in the recorded fleet, where there is one, or gives values that
// would do harm on a terminal.
func (f *fake) Values(ctx context.Context, req *rollcallv1.ValuesRequest) (reply *rollcallv1.ValuesReply, err error) {
	if f.fleet == nil {
		return &rollcallv1.ValuesReply{
			Values: []*rollcallv1.ValueCount{{Value: "laptop", Machines: 3, Op: "=", Word: "laptop", Subject: "os/", Help: "help"}},
			Total:  1, Machines: 3, Subject: req.GetSubject(), Kind: "text",
		}, nil
	}
	err = f.fleet.See(ctx, cmdb.Everywhere, func(src report.Source) (err error) {
		reply, err = report.Values(ctx, src, req)
		return err
	})
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	return reply, nil
}
