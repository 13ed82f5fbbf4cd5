package main

import (
	"strings"
	"time"

	rollcallv1 "rollcall/proto/rollcall/v1"
)

// firstReply is what the fake server says of when something was first seen.
func firstReply(condition string, limit int) *rollcallv1.FirstReply {
	if strings.Contains(condition, "nowhere") {
		return &rollcallv1.FirstReply{Asked: 400, Looked: 400, Revisions: 5000, Notes: []string{"no CI has pkg(nowhere)"}}
	}
	const path, u7, u8 = "pkg/cups/version", "2.4.2-3+deb12u7", "2.4.2-3+deb12u8"
	all := []*rollcallv1.Sighting{
		{
			Ci: "ci11112233445566778899", Name: "room12-pc07", Site: "elm/north/b1/room12", Revision: 12, RecordedMs: ms(-72 * time.Hour), GoneMs: ms(-26 * time.Hour),
			By: "agent " + keyID, Facts: []*rollcallv1.FactChange{{Path: path, Old: u7, New: u8}},
		},
		{
			Ci: "ci33112233445566778899", Name: "room12-pc08", Site: "elm/north/b1/room12", Revision: 2, RecordedMs: ms(-48 * time.Hour), FirstReport: true,
			By: "agent " + keyID, Facts: []*rollcallv1.FactChange{{Path: path, New: u8}},
		},
		{
			Ci: "ci22112233445566778899", Name: "tjener", Revision: 7, RecordedMs: ms(-20 * time.Hour), Earlier: true, By: "agent " + keyID,
			Facts:     []*rollcallv1.FactChange{{Path: path, New: u8}, {Path: "pkg/cups-client/version", New: u8}, {Path: "pkg/cups-daemon/version", New: u8}},
			MoreFacts: 4,
		},
	}
	n := min(limit, len(all))
	return &rollcallv1.FirstReply{
		Sightings: all[:n], More: n < len(all), Machines: 3, Gone: 1, Asked: 400, Looked: 350, Revisions: 512, Halved: true,
		Sites: []*rollcallv1.SpreadSite{{Site: "elm/north/b1/room12", Machines: 2, FirstMs: ms(-72 * time.Hour)}, {Machines: 1, FirstMs: ms(-20 * time.Hour)}},
		Times: []*rollcallv1.SpreadTime{{FromMs: ms(-72 * time.Hour), Machines: 1}, {FromMs: ms(-48 * time.Hour), Machines: 1}, {FromMs: ms(-20 * time.Hour), Machines: 1}},
		Notes: []string{"50 CIs on which it is not so now were not looked at"},
	}
}
