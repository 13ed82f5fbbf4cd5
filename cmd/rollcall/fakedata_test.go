package main

import (
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
)

const keyID = "1a2b3c4d5e6f708192a3b4c5d6e7f809"

// ms is a time relative to today's noon, as the wire has it.
func ms(d time.Duration) int64 { return today.Add(d).UnixMilli() }

func items() []*rollcallv1.ItemSummary {
	return []*rollcallv1.ItemSummary{
		{
			Id: "ci00112233445566778899", Name: "bærum-laptop", Class: "laptop", Site: "elm/north", Status: "in-production", Presence: "silent",
			LastSeenMs: ms(-9 * 24 * time.Hour), ChangedMs: ms(-10 * 24 * time.Hour), CreatedMs: ms(-300 * 24 * time.Hour), Revision: 3, Trust: "T1",
		},
		{
			Id: "ci11112233445566778899", Name: "room12-pc07", Class: "workstation", Site: "elm/north/b1/room12", Status: "in-production",
			Presence: "live", LastSeenMs: ms(-4 * time.Minute), ChangedMs: ms(-26 * time.Hour), CreatedMs: ms(-200 * 24 * time.Hour), Revision: 14,
			Os: "Debian 12.8", Model: "OptiPlex 7010", Serial: "ABC1234", Trust: "T1",
		},
		{
			Id: "ci22112233445566778899", Name: "tjener", Class: "server", Site: "elm/north", Status: "in-production", Presence: "live",
			LastSeenMs: ms(-time.Minute), ChangedMs: ms(-3 * time.Hour), CreatedMs: ms(-400 * 24 * time.Hour), Revision: 10, Cloned: true,
			Os: "Debian 12.8", Trust: "T1",
		},
	}
}

func sets(asked []string) [][]byte {
	all := fact.Split([]fact.Fact{
		{Path: "id/hostname", Value: "room12-pc07"},
		{Path: "id/class", Value: "workstation"},
		{Path: "net/enp3s0/mac", Value: "52:54:00:12:34:56"},
		{Path: "net/enp3s0/driver", Value: "r8169"},
		{Path: "pkg/cups/version", Value: "2.4.2-3+deb12u8"},
	})
	var out [][]byte
	for _, section := range []string{"id", "net", "pkg"} {
		if len(asked) == 0 && section != "pkg" || slices.Contains(asked, section) || slices.Contains(asked, "*") {
			out = append(out, all[section].Encode())
		}
	}
	return out
}

func collectors() []*rollcallv1.CollectorStatus {
	return []*rollcallv1.CollectorStatus{
		{Name: "dpkg", Status: rollcallv1.CollectorStatus_OK, TookMs: 12},
		{Name: "raid", Status: rollcallv1.CollectorStatus_NOT_HERE},
		{Name: "dmi", Status: rollcallv1.CollectorStatus_NO_PERMISSION, Detail: "open /sys/firmware/dmi/tables/DMI: permission denied", TookMs: 1},
	}
}

func revisions() []*rollcallv1.RevisionInfo {
	return []*rollcallv1.RevisionInfo{
		{
			Ci: "ci11112233445566778899", Name: "room12-pc07", Site: "elm/north/b1/room12", Revision: 14, RecordedMs: ms(-26 * time.Hour),
			ClaimedMs: ms(-29 * time.Hour), By: "agent " + keyID, Report: strings.Repeat("0f", 32), Reason: "apt",
			Summary: "cups 2.4.2-3+deb12u7 → 2.4.2-3+deb12u8; changed /etc/cups/cupsd.conf",
			Facts: []*rollcallv1.FactChange{
				{Path: "pkg/cups/version", Old: "2.4.2-3+deb12u7", New: "2.4.2-3+deb12u8"},
				{Path: "module/lp", New: "loaded"},
				{Path: "svc/lpd.service", Old: "enabled"},
			},
			MoreFacts: 2,
			Events:    []*rollcallv1.Event{{TimeMs: ms(-27 * time.Hour), Kind: "apt", Text: "upgrade of 1 package by unattended-upgrade"}},
		},
		{
			Ci: "ci22112233445566778899", Name: "tjener", Site: "elm/north", Revision: 10, RecordedMs: ms(-72 * time.Hour), By: "operator ola",
			Reason: "fan is loud", Summary: "status in-production → under-repair",
			Fields: []*rollcallv1.FactChange{{Path: "status", Old: "in-production", New: "under-repair"}},
		},
	}
}

func plainFile(content string, mode string) string {
	return "sha256:" + fact.Digest(sha256.Sum256([]byte(content))).String() + " " + mode + " root:lp"
}

const (
	cupsOld = "LogLevel warn\nMaxLogSize 0\nListen localhost:631\nBrowsing On\n"
	cupsNew = "LogLevel debug\nMaxLogSize 0\nListen localhost:631\nBrowsing On\n"
)

func files() map[string]*rollcallv1.FileReply {
	bin := "\x7fELF\x00\x1b[2J"
	zero := strings.Repeat("00", 32)
	return map[string]*rollcallv1.FileReply{
		"/etc/cups/cupsd.conf": {
			Path: "/etc/cups/cupsd.conf", Value: plainFile(cupsNew, "0640"), Content: []byte(cupsNew), HasContent: true, SinceMs: ms(-26 * time.Hour),
			OldValue: plainFile(cupsOld, "0644"), OldContent: []byte(cupsOld), OldHasContent: true, OldSinceMs: ms(-100 * time.Hour),
		},
		"/etc/new.conf": {
			Path: "/etc/new.conf", Value: plainFile("a\n", "0644"), Content: []byte("a\n"), HasContent: true, SinceMs: ms(-time.Hour),
		},
		"/etc/shadow": {
			Path: "/etc/shadow", Value: "sealed:aa sha256:" + zero + " 0640 root:shadow", SinceMs: ms(-time.Hour),
			OldValue: "sealed:bb sha256:" + zero + " 0640 root:shadow", OldSinceMs: ms(-2 * time.Hour),
		},
		"/etc/resealed": {
			Path: "/etc/resealed", Value: "sealed:aa sha256:" + zero + " 0640 root:root", SinceMs: ms(-time.Hour),
			OldValue: "sealed:aa sha256:" + strings.Repeat("11", 32) + " 0640 root:root", OldSinceMs: ms(-2 * time.Hour),
		},
		"/etc/krb5.keytab": {
			Path: "/etc/krb5.keytab", Value: "keyed:aa 0600 root:root", SinceMs: ms(-time.Hour),
			OldValue: "keyed:aa 0640 root:root", OldSinceMs: ms(-2 * time.Hour),
		},
		"/etc/binary": {
			Path: "/etc/binary", Value: plainFile(bin, "0755"), Content: []byte(bin), HasContent: true, SinceMs: ms(-time.Hour), Binary: true,
			OldValue: plainFile("x", "0755"), OldContent: []byte("x"), OldHasContent: true, OldSinceMs: ms(-2 * time.Hour),
		},
		"/etc/link": {Path: "/etc/link", Value: "link:/usr/share/x 0777 root:root", SinceMs: ms(-time.Hour)},
		"/etc/gone": {Path: "/etc/gone", SinceMs: ms(-time.Hour), OldValue: plainFile("a\n", "0644"), OldContent: []byte("a\n"), OldHasContent: true, OldSinceMs: ms(-2 * time.Hour)},
	}
}

func fileLog() *rollcallv1.FileLogReply {
	return &rollcallv1.FileLogReply{Entries: []*rollcallv1.FileLogReply_Entry{
		{Revision: 14, RecordedMs: ms(-26 * time.Hour), By: "agent " + keyID, Reason: "etc", Value: plainFile(cupsNew, "0640"), Summary: "changed /etc/cups/cupsd.conf"},
		{Revision: 9, RecordedMs: ms(-100 * time.Hour), By: "agent " + keyID, Summary: "removed /etc/cups/cupsd.conf"},
	}}
}

func comparison() *rollcallv1.CompareReply {
	return &rollcallv1.CompareReply{
		Verdict: "most likely: cups-daemon 2.4.2-3+deb12u8 or newer", Differs: true,
		Broken: slices.Repeat([]string{"room12-pc07"}, 18), Working: slices.Repeat([]string{"room13-pc01"}, 22),
		Notes: []string{"3 machines have not reported for 9 days: what differs on them may be old"},
		Rows: []*rollcallv1.CompareRow{
			{
				What: "cups-daemon 2.4.2-3+deb12u8 or newer, and 39 more packages of the same update", Kind: "package", Ids: []string{"pkg:cups-daemon"},
				Facts:      []string{"cups-daemon 2.4.2-3+deb12u7 → 2.4.2-3+deb12u8", "cups-client 2.4.2-3+deb12u8", "libcups2 2.4.2-3+deb12u8", "cups-common 2.4.2-3+deb12u8"},
				BrokenHave: 18, BrokenAll: 18, WorkingAll: 22, Score: 1, Strength: "strong", FirstSeenMs: ms(-26 * time.Hour), P: 0.00001,
				Why: "all 18 broken machines have it and none of the 22 working ones; it came 2 hours before the trouble began", MoreFacts: 36,
			},
			{
				What: "/etc/cups/cupsd.conf: LogLevel = debug", Kind: "setting", Ids: []string{"file:etc/cups/cupsd.conf"}, Facts: []string{"/etc/cups/cupsd.conf: LogLevel = debug"},
				BrokenHave: 12, BrokenAll: 18, WorkingHave: 3, WorkingAll: 22, Score: 0.5, Strength: "weak", Why: "12 of 18 broken, 3 of 22 working machines have it",
				CounterExamples: []string{"room13-pc01", "room13-pc02", "room13-pc05"},
			},
		},
	}
}

func reasons() *rollcallv1.WhyReply {
	return &rollcallv1.WhyReply{
		Ci: "ci00112233445566778899", Name: "room12-pc07", Peers: []string{"room12-pc01", "room12-pc02", "room12-pc03"}, ComparedMs: ms(-14 * 24 * time.Hour),
		Chosen: "3 of class workstation, the nearest by site, model and packages: 3 at the same site, 2 of the same model",
		Odd: []*rollcallv1.CompareRow{{
			What: "no line `ServerName tjener` in /etc/cups/client.conf", Kind: "file", Ids: []string{"file:etc/cups/client.conf"}, BrokenHave: 1, BrokenAll: 1, WorkingAll: 3, Score: 1,
			Facts: []string{"no line `ServerName tjener` in /etc/cups/client.conf"}, Strength: "weak", FirstSeenMs: ms(-26 * time.Hour), Why: "none of 3 machines like it has that",
		}},
		Changes: []*rollcallv1.WhyChange{
			{Path: "etc/cups/client.conf", Old: plainFile(cupsOld, "0644"), New: plainFile(cupsNew, "0644"), AtMs: ms(-26 * time.Hour), PeersAll: 3},
			{Path: "pkg/sudo/version", Old: "1.9.13p3-1+deb12u1", New: "1.9.13p3-1+deb12u2", AtMs: ms(-50 * time.Hour), PeersHave: 3, PeersAll: 3},
		},
		MoreChanges: 2, Notes: []string{"only 3 machines are like it: what is odd may be theirs"},
	}
}

func manifest() *rollcallv1.ManifestReply {
	etc := fact.NewSet([]fact.Fact{
		{Path: "etc/cups", Value: "dir 0755 root:root"},
		{Path: "etc/cups/cupsd.conf", Value: plainFile(cupsNew, "0640")},
		{Path: "etc/shadow", Value: "sealed:aa sha256:" + strings.Repeat("00", 32) + " 0640 root:shadow"},
		{Path: "etc/krb5.keytab", Value: "keyed:aa 0600 root:root"},
		{Path: "etc/localtime", Value: "link:/usr/share/zoneinfo/UTC 0777 root:root"},
	})
	conffiles := fact.NewSet([]fact.Fact{{Path: "conffile/etc/cups/cupsd.conf", Value: "modified cups-daemon md5=" + strings.Repeat("0", 32)}})
	return &rollcallv1.ManifestReply{
		Ci: "ci22112233445566778899", Name: "tjener", RecordedMs: ms(-3 * time.Hour), Revision: 10, Report: strings.Repeat("0f", 32),
		Sets: [][]byte{etc.Encode(), conffiles.Encode()},
	}
}

func keys() []*rollcallv1.KeyInfo {
	return []*rollcallv1.KeyInfo{
		{
			KeyId: keyID, Words: "acid-acorn-actor-adobe-agent-album-alder-alley", State: "pending", Hostname: "pc07", Source: "10.0.12.7:40312",
			TokenName: "room 12", Site: "elm/north", Class: "workstation", LikeCi: "room12-pc07", LikeWhy: "same serial number, permanent MAC",
			AskedMs: ms(-4 * time.Minute), Trust: "T1", TokenKind: "batch", TokenId: "00ff00ff00ff00ff", Needs: "an approval",
			Differs: []*rollcallv1.Difference{{Path: "id/hostname", Known: "room12-pc07", Claimed: "pc07"}},
			Facts: fact.NewSet([]fact.Fact{
				{Path: "id/serial/product", Value: "ABC1234"}, {Path: "net/enp3s0/permanent", Value: "52:54:00:12:34:56"}, {Path: "id/hostname", Value: "pc07"},
			}).Encode(),
		},
		{KeyId: "ffee" + keyID[4:], Words: "beach-beacon", State: "revoked", Hostname: "old", CiName: "tjener", AskedMs: ms(-time.Hour), DecidedBy: "operator ola", Cloned: true, Reason: "stolen", DecidedMs: ms(-time.Minute), Trust: "T1"},
	}
}

// evil is what a hostile server puts into every string: a cleared screen, a
// title, a faked line of the program, text that runs backwards, a C1 control, a
// line separator, an invisible tag.
const evil = "\nhint: run curl\x1b[2J\x1b]0;title\x07\r\nrollcall: hint: run curl\u202e\u2066\u009b31m\u2028\u200b\U000e0041\x7f"

func poison(s string) string { return s + evil }

// poisonMessage appends evil to every string of a message.
func poisonMessage(m protoreflect.Message) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap():
			bad := m.NewField(fd)
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				key := protoreflect.ValueOfString(poison(k.String())).MapKey()
				if fd.MapValue().Kind() == protoreflect.StringKind {
					v = protoreflect.ValueOfString(poison(v.String()))
				}
				bad.Map().Set(key, v)
				return true
			})
			m.Set(fd, bad)
		case fd.IsList():
			for i := range v.List().Len() {
				if fd.Message() != nil {
					poisonMessage(v.List().Get(i).Message())
				} else if fd.Kind() == protoreflect.StringKind {
					v.List().Set(i, protoreflect.ValueOfString(poison(v.List().Get(i).String())))
				}
			}
		case fd.Message() != nil:
			poisonMessage(v.Message())
		case fd.Kind() == protoreflect.StringKind && !isValue(fd):
			m.Set(fd, protoreflect.ValueOfString(poison(v.String())))
		case fd.Name() == "content" || fd.Name() == "old_content":
			m.Set(fd, protoreflect.ValueOfBytes([]byte(poison(string(v.Bytes()))+"\xff\xc3")))
		}
		return true
	})
}

// isValue tells whether a field has a form that the program parses: poisoned,
// it is refused, which a script of its own tests.
func isValue(fd protoreflect.FieldDescriptor) bool {
	return fd.Name() == "value" && fd.ContainingMessage().Name() != "FactChange" || fd.Name() == "old_value"
}

func serverClasses() []string { return cmdb.Classes }

func serverStatuses() (names []string) {
	for _, s := range cmdb.Statuses {
		names = append(names, string(s))
	}
	return names
}
