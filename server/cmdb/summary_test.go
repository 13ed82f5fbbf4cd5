package cmdb_test

import (
	"testing"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
)

func TestSummarySaysInWordsWhatARevisionDid(t *testing.T) {
	some := fact.State{"pkg": fact.Digest{1}}
	change := func(path, old, now string) cmdb.FactChange { return cmdb.FactChange{Path: path, Old: old, New: now} }
	tests := []struct {
		name    string
		rev     cmdb.Revision
		changes []cmdb.FactChange
		want    string
	}{
		{"first report", cmdb.Revision{State: some}, []cmdb.FactChange{change("pkg/a/version", "", "1")}, "first report: 1 facts"},
		{"upgrade", cmdb.Revision{State: some, Prev: some}, []cmdb.FactChange{change("pkg/cups/version", "1", "2")}, "cups 1 → 2"},
		{"installed and removed", cmdb.Revision{State: some, Prev: some}, []cmdb.FactChange{
			change("pkg/a/version", "", "1"), change("pkg/b/state", "x", "y"), change("pkg/b/version", "2", ""),
		}, "installed a 1; removed b"},
		{"files", cmdb.Revision{State: some, Prev: some}, []cmdb.FactChange{
			change("etc/a", "", "x"), change("etc/b", "x", ""), change("etc/c", "x", "y"), change("conffile/etc/c", "", "z"),
		}, "new /etc/a; removed /etc/b; changed /etc/c"},
		{"hardware is counted", cmdb.Revision{State: some, Prev: some}, []cmdb.FactChange{
			change("hw/dimm/A/size", "8", ""), change("hw/dimm/A/type", "d", ""), change("hw/tpm", "1", "2"),
		}, "hw: 1 changed; hw/dimm: 2 gone"},
		{"declared", cmdb.Revision{Fields: map[string]cmdb.Change{
			"owner": {New: "kari"}, "room": {Old: "1"}, "site": {Old: "a", New: "b"},
		}}, nil, "owner set to kari; room removed; site a → b"},
		{"nothing but a reason", cmdb.Revision{Reason: "enrolled"}, nil, "enrolled"},
		{"too much is counted", cmdb.Revision{State: some, Prev: some}, []cmdb.FactChange{
			change("etc/1", "", "x"), change("etc/2", "", "x"), change("etc/3", "", "x"), change("etc/4", "", "x"),
			change("etc/5", "", "x"), change("etc/6", "", "x"), change("etc/7", "", "x"), change("etc/8", "", "x"),
		}, "new /etc/1; new /etc/2; new /etc/3; new /etc/4; new /etc/5; new /etc/6; and 2 more"},
	}
	if got, want := cmdb.Summary(cmdb.Revision{State: some}, []cmdb.FactChange{change("etc/motd", "", "x")}, "etc/motd"), "new /etc/motd"; got != want {
		t.Errorf("a first report below a path: %q, want %q", got, want)
	}
	for _, tt := range tests {
		if got := cmdb.Summary(tt.rev, tt.changes, ""); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
