package collect

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"rollcall/internal/fact"
)

// What three servers wrote of the same clients: firmware that boots from the network,
// the system of the same machine, and a telephone that makes its address up.
const (
	dnsmasqFile = `1795858696 02:11:22:33:44:55 10.99.0.114 phone 01:02:11:22:33:44:55
1795858692 00:16:3e:11:22:33 10.99.0.107 tc05 01:00:16:3e:11:22:33
1795858689 00:16:3e:11:22:33 10.99.0.106 * 00:4c:4c:45:44:00:51:00:4d:10:80:52:00:b4:c0:4f:30
`
	iscFile = `# This lease file was written by isc-dhcp-4.4.3-P1

# authoring-byte-order entry is generated, DO NOT DELETE
authoring-byte-order little-endian;

server-duid "\000\001\000\0012\235OyJ1D\360!\301";

lease 10.99.0.50 {
  starts 6 2026/11/28 08:38:21;
  ends 6 2026/11/28 09:08:21;
  cltt 6 2026/11/28 08:38:21;
  binding state active;
  next binding state free;
  rewind binding state free;
  hardware ethernet 00:16:3e:11:22:33;
  uid "\000LLED\000Q\000M\020\200R\000\264\300O0";
  set vendor-class-identifier = "PXEClient:Arch:00007:UNDI:003016";
}
lease 10.99.0.51 {
  starts 6 2026/11/28 08:38:22;
  ends 6 2026/11/28 09:08:22;
  cltt 6 2026/11/28 08:38:22;
  binding state active;
  next binding state free;
  rewind binding state free;
  hardware ethernet 00:16:3e:11:22:33;
  uid "\001\000\026>\021\"3";
  set vendor-class-identifier = "udhcp 1.35.0";
  client-hostname "tc05";
}
lease 10.99.0.52 {
  starts 6 2026/11/28 08:38:24;
  ends 6 2026/11/28 09:08:24;
  cltt 6 2026/11/28 08:38:24;
  binding state active;
  hardware ethernet 02:11:22:33:44:55;
  client-hostname "phone";
}
`
	keaHead = "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context\n"
	keaFile = keaHead + `10.99.0.50,00:16:3e:11:22:33,00:4c:4c:45:44:00:51:00:4d:10:80:52:00:b4:c0:4f:30,3600,1795858708,1,0,0,,0,
10.99.0.51,00:16:3e:11:22:33,01:00:16:3e:11:22:33,3600,1795858708,1,0,0,tc05,0,
10.99.0.52,02:11:22:33:44:55,01:02:11:22:33:44:55,3600,1795858708,1,0,0,phone,0,
`
	dnsmasqName = "var/lib/misc/dnsmasq.leases"
	iscName     = "var/lib/dhcp/dhcpd.leases"
	keaName     = "var/lib/kea/kea-leases4.csv"
)

// school is a boot server that is looked at again and again.
type school struct {
	t     *testing.T
	now   time.Time
	cache Cache
	r     Runner
	m     Memory
}

func newSchool(t *testing.T) *school {
	return &school{t: t, now: time.Date(2026, 11, 28, 8, 40, 0, 0, time.UTC)}
}

// look looks at the files after some time has passed.
func (s *school) look(after time.Duration, files fs.FS) Result {
	s.t.Helper()
	s.now = s.now.Add(after)
	got := s.r.Run(s.t.Context(), Host{FS: files, Now: func() time.Time { return s.now }, Cache: &s.cache, Clients: true}, []Collector{clients()}, s.m)
	s.m = got.Memory
	return got
}

// twice looks two times, after which a machine counts.
func (s *school) twice(files fs.FS) Result {
	s.t.Helper()
	s.look(0, files)
	return s.look(5*time.Minute, files)
}

func factsOf(set fact.Set) map[string]string {
	m := map[string]string{}
	for _, f := range set {
		m[f.Path] = f.Value
	}
	return m
}

func TestThreeServersTellTheSameOfTheirClients(t *testing.T) {
	want := map[string]string{
		"client/00:16:3e:11:22:33/by": "leases", "client/00:16:3e:11:22:33/name": "tc05", "client/00:16:3e:11:22:33/boot": "network",
	}
	for name, content := range map[string]string{dnsmasqName: dnsmasqFile, iscName: iscFile, keaName: keaFile} {
		s := newSchool(t)
		first := s.look(0, tree(map[string]string{name: content}))
		if len(first.Facts) != 0 {
			t.Errorf("%s: one look made %v", name, first.Facts)
		}
		got := s.look(5*time.Minute, tree(map[string]string{name: content}))
		if !maps.Equal(factsOf(got.Facts), want) {
			t.Errorf("%s: %v, want %v", name, got.Facts, want)
		}
		if st := got.Status[0]; st.State != OK || st.Detail != "" {
			t.Errorf("%s: %s: %s", name, st.State, st.Detail)
		}
		if v, _ := got.Measurements.Get("m/client/random"); v != "1" {
			t.Errorf("%s: %q made-up addresses, want 1", name, v)
		}
	}
}

func TestNoBootServerAndOneThatIsNotAskedTellOfNobody(t *testing.T) {
	s := newSchool(t)
	if got := s.look(0, tree(map[string]string{"etc/hostname": "pc07"})); got.Status[0].State != NotHere {
		t.Errorf("a workstation: %s", got.Status[0].State)
	}
	got := Run(t.Context(), Host{FS: tree(map[string]string{dnsmasqName: dnsmasqFile}), Now: time.Now}, []Collector{clients()})
	if got.Status[0].State != NotHere || len(got.Facts)+len(got.Measurements) > 0 {
		t.Errorf("clients = no: %s, %v", got.Status[0].State, got.Facts)
	}
}

func TestHalfWrittenLeasesSpoilNoOthers(t *testing.T) {
	cut := func(s, at string) string { before, _, _ := strings.Cut(s, at); return before }
	tests := []struct {
		name, file, content, says string
		want                      []string // names of those who are told of
	}{
		{"dhcpd is writing", iscName, cut(iscFile, "client-hostname \"tc05\""), "half-written or make no sense: 1, the first at line 19", nil},
		{
			"a block that was never finished, with others after it", iscName,
			"lease 10.99.0.60 {\n  starts 6 2026/11/28 08:3" + "\n" + iscFile, "the first at line 1",
			[]string{"tc05"},
		},
		{"a time that is none", iscName, strings.Replace(iscFile, "ends 6 2026/11/28 09:08:22", "ends 6 2026/99/28 09", 1), "the first at line 19", nil},
		{"a string without an end", iscName, strings.Replace(iscFile, `"tc05"`, `"tc05`, 1), "make no sense", nil},
		{"a brace too many", iscName, "}\n" + iscFile, "the first at line 1", []string{"tc05"}},
		{"zeros after a power cut", iscName, iscFile + strings.Repeat("\x00", 100), "make no sense", []string{"tc05"}},
		{"dnsmasq is writing", dnsmasqName, strings.TrimSuffix(dnsmasqFile, "0:b4:c0:4f:30\n"), "", []string{"tc05"}},
		{"half a line", dnsmasqName, dnsmasqFile + "17958586", "the first at line 4", []string{"tc05"}},
		{"Kea is writing", keaName, keaFile + "10.99.0.53,00:16:3e:11:22:44,", "the first at line 5", []string{"tc05"}},
		{"no number", keaName, keaFile + "10.99.0.53,00:16:3e:11:22:44,,x,1795858708,1,0,0,tc06,0,\n", "the first at line 5", []string{"tc05"}},
		{"columns without names", keaName, strings.TrimPrefix(keaFile, keaHead), "make no sense", nil},
		{"a line without an end", iscName, iscFile + strings.Repeat("x", 70<<10), "token too long", []string{"tc05"}},
	}
	for _, tt := range tests {
		s := newSchool(t)
		got := s.twice(tree(map[string]string{tt.name: "", tt.file: tt.content}))
		st := got.Status[0]
		if st.State != OK || !strings.Contains(st.Detail, tt.says) || tt.says == "" && st.Detail != "" {
			t.Errorf("%s: %s: %q, want %q", tt.name, st.State, st.Detail, tt.says)
		}
		var names []string
		for _, f := range got.Facts {
			if strings.HasSuffix(f.Path, "/name") {
				names = append(names, f.Value)
			}
		}
		if !slices.Equal(names, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, names, tt.want)
		}
	}
}

// A server that cannot be read, or whose file is damaged for a day, is no change.
func TestDamagedLeasesAreNoChange(t *testing.T) {
	s := newSchool(t)
	before := s.twice(tree(map[string]string{iscName: iscFile}))
	for _, content := range []string{"", "\x00\x00\x00", strings.Repeat("lease 10.0.0.1 {\n", 100), iscFile[:700]} {
		got := s.look(time.Hour, tree(map[string]string{iscName: content}))
		if d := differences(before.Facts, got.Facts); len(d) > 0 {
			t.Errorf("%.20q: %v changed", content, d)
		}
	}
}

func TestLastEntryForAnAddressCounts(t *testing.T) {
	lease := func(mac, state string) string {
		return "lease 10.99.0.50 {\n  starts 6 2026/11/28 08:38:21;\n  ends 6 2026/11/28 10:08:21;\n  binding state " + state + ";\n  hardware ethernet " + mac + ";\n}\n"
	}
	const a, b = "00:16:3e:00:00:0a", "00:16:3e:00:00:0b"
	for name, tt := range map[string]struct {
		file, content string
		want          []string
	}{
		"given to another":   {iscName, lease(a, "active") + lease(b, "active"), []string{b}},
		"taken back":         {iscName, lease(a, "active") + lease(a, "free"), nil},
		"in reserve":         {iscName, lease(a, "backup"), nil},
		"before failover":    {iscName, "lease 10.0.0.9 {\n  starts 6 2026/11/28 08:00:00;\n  ends never;\n  hardware ethernet " + a + ";\n}\n", []string{a}},
		"abandoned":          {iscName, "lease 10.0.0.9 {\n  ends never;\n  abandoned;\n  hardware ethernet " + a + ";\n}\n", nil},
		"in one line":        {iscName, "lease 10.0.0.9 { ends never; hardware ethernet " + a + "; }\n", []string{a}},
		"statements inside":  {iscName, "lease 10.0.0.9 {\n  ends never;\n  hardware ethernet " + a + ";\n  on expiry {\n    set x = \"}\";\n  }\n}\n", []string{a}},
		"taken away by Kea":  {keaName, keaHead + "10.99.0.50," + a + ",,3600,1795862308,1,0,0,,0,\n10.99.0.50," + a + ",,0,1795862308,1,0,0,,0,\n", nil},
		"declined":           {keaName, keaHead + "10.99.0.50," + a + ",,3600,1795862308,1,0,0,,1,\n", nil},
		"ended":              {keaName, keaHead + "10.99.0.50," + a + ",,3600,1795850000,1,0,0,,0,\n", nil},
		"for ever":           {dnsmasqName, "0 " + a + " 10.99.0.50 * *\n", []string{a}},
		"IPv6":               {dnsmasqName, "0 " + a + " 10.99.0.50 * *\nduid 00:01:00:01\n0 1 fd00::1 x 00:01\n", []string{a}},
		"no Ethernet":        {dnsmasqName, "0 06-" + a + " 10.99.0.50 * *\n", nil},
		"an address of many": {dnsmasqName, "0 ff:ff:ff:ff:ff:ff 10.99.0.50 * *\n", nil},
	} {
		s := newSchool(t)
		var got []string
		for _, f := range s.twice(tree(map[string]string{tt.file: tt.content})).Facts {
			if mac, ok := strings.CutSuffix(strings.TrimPrefix(f.Path, "client/"), "/by"); ok {
				got = append(got, mac)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// Kea cleans its file out beside itself; until that is done the old files count.
func TestFilesOfKeaAreReadInItsOrder(t *testing.T) {
	old := keaHead + "10.99.0.50,00:16:3e:00:00:0a,,3600,1795862308,1,0,0,old,0,\n10.99.0.51,00:16:3e:00:00:0b,,3600,1795862308,1,0,0,stays,0,\n"
	now := keaHead + "10.99.0.50,00:16:3e:00:00:0c,,3600,1795862308,1,0,0,new,0,\n"
	stray := keaHead + "10.99.0.51,00:16:3e:00:00:0d,,3600,1795862308,1,0,0,stray,0,\n"
	for name, files := range map[string]map[string]string{
		"under way": {keaName + ".2": old, keaName: now},
		"completed": {keaName + ".completed": old, keaName + ".2": stray, keaName: now},
	} {
		s := newSchool(t)
		got := factsOf(s.twice(tree(files)).Facts)
		want := map[string]string{
			"client/00:16:3e:00:00:0b/by": "leases", "client/00:16:3e:00:00:0b/name": "stays",
			"client/00:16:3e:00:00:0c/by": "leases", "client/00:16:3e:00:00:0c/name": "new",
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestLeasesOfTheFieldAreRead(t *testing.T) {
	for name, want := range map[string][3]int{
		"debian7.leases": {6, 5, 0}, "options.leases": {1, 1, 1}, "static.leases": {1, 1, 0}, "backup.leases": {2, 1, 0}, "dhcpd6-4.3.3.leases": {},
	} {
		b, err := os.ReadFile(filepath.Join(corpus(t, "dhcp/isc"), name))
		if err != nil {
			t.Fatal(err)
		}
		table := &leaseTable{leases: map[string]clientLease{}, boots: map[string]bool{}}
		r, n := &iscReader{}, 0
		for line := range strings.Lines(string(b)) {
			n++
			r.line(table, n, strings.TrimSuffix(line, "\n"))
		}
		r.end(table, n)
		got := [3]int{len(table.leases)} // addresses, cards, given
		for _, l := range table.leases {
			if l.mac != "" {
				got[1]++
			}
			if l.given {
				got[2]++
			}
		}
		if table.bad != 0 || got != want {
			t.Errorf("%s: %v and %d bad entries, want %v and none: %v", name, got, table.bad, want, table.leases)
		}
	}
}

// Thirty days of a school: leases are renewed, machines are off at night and on
// weekends, firmware asks before systems do, names come and go with them.
func TestThirtyDaysOfLeasesAreNoChange(t *testing.T) {
	for _, server := range []string{iscName, keaName, dnsmasqName} {
		s := newSchool(t)
		s.now = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC) // a Monday
		step := time.Hour
		day := func(i int) fs.FS {
			var b strings.Builder
			if server == keaName {
				b.WriteString(keaHead)
			}
			if at := s.now.Add(step); at.Hour() >= 8 && at.Hour() < 16 && at.Weekday()%6 != 0 || server == iscName { // dhcpd keeps old ones
				for tc := range 30 {
					at := s.now.Add(step - time.Duration(i*7+tc)%60*time.Minute)
					if server == iscName && (at.Hour() < 8 || at.Hour() >= 16) {
						at = at.Add(-24 * time.Hour)
					}
					name := fmt.Sprintf("tc%02d", tc)
					if (i+tc)%3 == 0 {
						name = "" // only firmware was there so far
					}
					b.WriteString(leaseLine(server, tc, name, at, i))
				}
			}
			return tree(map[string]string{server: b.String()})
		}
		s.look(time.Hour, day(0))
		before := s.look(time.Hour, day(1))
		if before = s.look(time.Hour, day(2)); len(before.Facts) != 90 {
			t.Fatalf("%s: %d facts of 30 clients, want 90", server, len(before.Facts))
		}
		step = 3 * time.Hour
		for i := range 30 * 8 {
			got := s.look(step, day(i+3))
			if d := differences(before.Facts, got.Facts); len(d) > 0 {
				t.Fatalf("%s: look %d: %v changed", server, i, d)
			}
			if st := got.Status[0]; !st.State.Complete() || st.Detail != "" {
				t.Fatalf("%s: look %d: %s: %s", server, i, st.State, st.Detail)
			}
		}
	}
}

func leaseLine(server string, tc int, name string, at time.Time, i int) string {
	mac := fmt.Sprintf("00:16:3e:00:01:%02x", tc)
	ip := fmt.Sprintf("10.0.2.%d", 20+(tc+i/24)%200) // another address each day
	ends := at.Add(2 * time.Hour)
	const uuid = "00:4c:4c:45:44:00:51:00:4d:10:80:52:00:b4:c0:4f:30"
	switch server {
	case iscName:
		host := ""
		if name != "" {
			host = "  client-hostname \"" + name + "\";\n"
		}
		const form = "2006/01/02 15:04:05"
		return "lease " + ip + " {\n  starts 6 " + at.Format(form) + ";\n  ends 6 " + ends.Format(form) + ";\n  cltt 6 " + at.Format(form) + ";\n  binding state active;\n" +
			"  hardware ethernet " + mac + ";\n  set vendor-class-identifier = \"PXEClient:Arch:00007:UNDI:003016\";\n" + host + "}\n"
	case keaName:
		return fmt.Sprintf("%s,%s,%s,7200,%d,1,0,0,%s,0,\n", ip, mac, uuid, ends.Unix(), name)
	}
	if name == "" {
		name = "*"
	}
	return fmt.Sprintf("%d %s %s %s %s\n", ends.Unix(), mac, ip, name, uuid)
}

func TestAnotherNameCountsWhenTwoLooksShowIt(t *testing.T) {
	s := newSchool(t)
	named := func(name string) fs.FS {
		return tree(map[string]string{dnsmasqName: "0 00:16:3e:00:00:0a 10.0.2.20 " + name + " *\n"})
	}
	s.twice(named("old"))
	for i, tt := range []struct{ shows, want string }{{"new", "old"}, {"old", "old"}, {"new", "old"}, {"*", "old"}, {"new", "old"}, {"new", "new"}, {"NEW", "new"}, {"-x;rm_", "new"}} {
		if got, _ := s.look(time.Hour, named(tt.shows)).Facts.Get("client/00:16:3e:00:00:0a/name"); got != tt.want {
			t.Errorf("look %d shows %s: %q, want %q", i, tt.shows, got, tt.want)
		}
	}
}

func TestMachinesAreKeptAsLongAsTheyWereKnown(t *testing.T) {
	const day = 24 * time.Hour
	here := tree(map[string]string{dnsmasqName: "0 00:16:3e:00:00:0a 10.0.2.20 tc05 *\n"})
	gone := tree(map[string]string{dnsmasqName: ""})
	for _, tt := range []struct{ known, kept time.Duration }{{time.Hour, 7 * day}, {20 * day, 20 * day}, {400 * day, 90 * day}} {
		s := newSchool(t)
		s.look(0, here)
		s.look(tt.known, here)
		if got := s.look(tt.kept, gone); len(got.Facts) == 0 {
			t.Errorf("known for %v: gone after %v", tt.known, tt.kept)
		}
		if got := s.look(time.Hour, gone); len(got.Facts) > 0 {
			t.Errorf("known for %v: still there after more than %v", tt.known, tt.kept)
		}
	}
}

// A pupil asks for leases with one made-up address after another.
func TestFloodOfAddressesIsBoundedAndPushesNobodyOut(t *testing.T) {
	s := newSchool(t)
	files := func(round, n int, first byte) fstest.MapFS {
		var b strings.Builder
		b.WriteString("0 00:16:3e:00:00:0a 10.0.2.20 tc05 *\n")
		for i := range n {
			fmt.Fprintf(&b, "0 %02x:%02x:00:00:%02x:%02x 10.%d.%d.%d x%d *\n", first, round, i>>8, i&0xff, 64+round, i>>8, i&0xff, i)
		}
		return tree(map[string]string{dnsmasqName: b.String()})
	}
	s.twice(files(0, 0, 0))
	got := s.look(time.Hour, files(1, 9000, 0x02)) // addresses of software
	if v, _ := got.Measurements.Get("m/client/random"); v != "9000" || len(got.Facts) != 2 {
		t.Errorf("%d facts, %s made-up addresses, want 2 and 9000", len(got.Facts), v)
	}
	for round := range 3 { // addresses as of real cards, new ones at each look
		if got = s.look(time.Hour, files(round, 9000, 0x04)); len(got.Facts) != 2 {
			t.Fatalf("round %d: %d facts, want 2", round, len(got.Facts))
		}
	}
	got = s.look(time.Hour, files(2, 9000, 0x04)) // the same ones a second time
	told := 0
	for _, f := range got.Facts {
		if strings.HasSuffix(f.Path, "/by") {
			told++
		}
	}
	name, _ := got.Facts.Get("client/00:16:3e:00:00:0a/name")
	if told != maxClients || name != "tc05" || !strings.Contains(got.Status[0].Detail, "4096 machines are told of, 4905 more are not") {
		t.Errorf("%d are told of, %q among them, status %q", told, name, got.Status[0].Detail)
	}
	if s := s.look(30*24*time.Hour, files(0, 0, 0)); len(s.Facts) != 2 {
		t.Errorf("%d facts a month later, want 2", len(s.Facts))
	}
}

func TestWhoWasHeardOfSinceTheLookBeforeIsMeasured(t *testing.T) {
	s := newSchool(t)
	file := func(a, b int64) fs.FS {
		return tree(map[string]string{dnsmasqName: fmt.Sprintf("%d 00:16:3e:00:00:0a 10.0.2.20 * *\n%d 00:16:3e:00:00:0b 10.0.2.21 * *\n", a, b)})
	}
	const ends = 1795900000
	s.look(0, file(ends, ends))
	for i, tt := range []struct {
		a, b int64
		want string
	}{{ends, ends, "00"}, {ends + 1, ends, "01"}, {ends + 1, ends + 1, "02"}, {ends + 2, ends + 2, "03"}} {
		got := s.look(time.Hour, file(tt.a, tt.b))
		v, _ := got.Measurements.Get("m/client/seen")
		if f := strings.Fields(v); len(f) != 3 || f[0] != "2" || f[2] != tt.want {
			t.Errorf("look %d: %q, want two machines and %s", i, v, tt.want)
		}
	}
}

func FuzzLeases(f *testing.F) {
	f.Add(iscFile, keaFile, dnsmasqFile)
	f.Add("lease 10.0.0.1 {\n  uid \"\\0", keaHead+"x,y\n", "duid 00\n0 1 fd00::1 x *\n")
	f.Fuzz(func(t *testing.T, isc, kea, dnsmasq string) {
		files := tree(map[string]string{iscName: isc, keaName: kea, dnsmasqName: dnsmasq})
		s := newSchool(t)
		for range 2 {
			got := s.look(5*time.Minute, files)
			if st := got.Status[0]; st.State != OK {
				t.Errorf("%s: %s", st.State, st.Detail)
			}
			for _, set := range []fact.Set{got.Facts, got.Measurements} {
				for _, x := range set {
					if err := x.Check(); err != nil {
						t.Error(err)
					}
				}
			}
		}
	})
}
