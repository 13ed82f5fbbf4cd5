package server

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/store"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// theUpload are the files of a recorded machine, with changes: nil takes one away.
func theUpload(t testing.TB, change map[string][]byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	const dir = "sitesummary/testdata/upload"
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		files[strings.TrimPrefix(name, dir+"/")] = b
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range change {
		files[name] = b
		if b == nil {
			delete(files, name)
		}
	}
	return files
}

func tarball(t testing.TB, files map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	tw := tar.NewWriter(zw)
	for name, content := range files {
		err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "./" + name, Size: int64(len(content)), Mode: 0o644})
		if _, werr := tw.Write(content); errors.Join(err, werr) != nil {
			t.Fatal(err, werr)
		}
	}
	if err := errors.Join(tw.Close(), zw.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var uploadURL = regexp.MustCompile(`url=http://([^/ ]+)/cgi-bin/sitesummary-collector.cgi`)

// besideSitesummary starts a server that takes uploads, and gives its address.
func besideSitesummary(t testing.TB, change ...func(*Config)) (*running, string) {
	t.Helper()
	r := start(t, append([]func(*Config){func(c *Config) { c.Sitesummary = "127.0.0.1:0" }}, change...)...)
	waitFor(t, "the index", func() bool { ready, _, _ := r.srv.index.Ready(); return ready })
	var at []string
	waitFor(t, "the address", func() bool {
		at = uploadURL.FindStringSubmatch(r.logs.String())
		return at != nil
	})
	return r, at[1]
}

// upload sends bytes as sitesummary-upload of Debian 12 does, and returns all of
// the answer.
func upload(t testing.TB, to string, file []byte, headers ...string) string {
	t.Helper()
	const boundary = "----------ThIs_Is_tHe_bouNdaRY_$"
	form := "--" + boundary + "\r\nContent-Disposition: form-data; name=\"sitesummary\"; filename=\"output.tar.gz\"\r\n" +
		"Content-Encoding: identity\r\nContent-Type: application/octet-stream\r\n\r\n" + string(file) + "\r\n--" + boundary + "--\r\n\r\n"
	conn, err := net.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST http://%s/cgi-bin/sitesummary-collector.cgi HTTP/1.1\r\nUser-Agent: sitesummary-upload\r\nHost: %s\r\n", to, to)
	for _, h := range headers {
		fmt.Fprintf(conn, "%s\r\n", h)
	}
	fmt.Fprintf(conn, "Content-Type: multipart/form-data; boundary=%s\r\nContent-Length: %d\r\n\r\n%s", boundary, len(form), form)
	b, err := io.ReadAll(conn)
	if err != nil && len(b) == 0 {
		t.Fatal(err)
	}
	return string(b)
}

// taken fails the test unless the answer is the one that the client waits for.
func taken(t testing.TB, answer string) {
	t.Helper()
	if !strings.Contains(answer, "SITESUMMARY HTTP-POST OK\n") {
		t.Fatalf("the server answers:\n%s", answer)
	}
}

func refused(t testing.TB, why, answer, want string) {
	t.Helper()
	if strings.Contains(answer, "POST OK") || !strings.Contains(answer, want) {
		t.Errorf("%s: the server answers:\n%s", why, answer)
	}
}

func (r *running) get(name string) *rollcallv1.GetReply {
	r.t.Helper()
	reply, err := r.kari.Get(r.t.Context(), &rollcallv1.GetRequest{Ci: name})
	if err != nil {
		r.t.Fatal(err)
	}
	return reply
}

func TestAnUnchangedSitesummaryClientBecomesACI(t *testing.T) {
	r, at := besideSitesummary(t)
	taken(t, upload(t, at, tarball(t, theUpload(t, nil))))
	got := r.get("room12-pc07")
	item := got.GetItem()
	if item.GetTrust() != "unsigned" || item.GetClass() != "workstation" || item.GetPresence() != "live" || item.GetSerial() != "PC0R1521" || got.GetKeyId() != "" {
		t.Errorf("the CI is %+v", got)
	}
	found := r.find(t, `trust = unsigned and pkg(cups) < 2.5 and mac = 2C:4D:54:01:15:21 and model = "ThinkCentre M710s"`)
	if len(found) != 1 || found[0] != "room12-pc07" {
		t.Errorf("a filter finds %q", found)
	}

	// The same again is no history; a change is one revision.
	taken(t, upload(t, at, tarball(t, theUpload(t, nil))))
	if n := r.get("room12-pc07").GetItem().GetRevision(); n != 1 {
		t.Errorf("the same upload again leads to revision %d", n)
	}
	newer := bytes.ReplaceAll(theUpload(t, nil)["debian/dpkg-l"], []byte("deb12u8 "), []byte("deb12u9 "))
	taken(t, upload(t, at, tarball(t, theUpload(t, map[string][]byte{"debian/dpkg-l": newer}))))
	if n := r.get("room12-pc07").GetItem().GetRevision(); n != 2 {
		t.Errorf("an upgrade leads to revision %d, want 2", n)
	}

	if _, err := r.kari.Manifest(t.Context(), &rollcallv1.ManifestRequest{Ci: "room12-pc07"}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a restore from what nobody signed: %v", err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r.sound()
}

func (r *running) find(t testing.TB, filter string) (names []string) {
	t.Helper()
	reply, err := r.kari.List(t.Context(), &rollcallv1.ListRequest{Filter: filter})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range reply.GetItems() {
		names = append(names, i.GetName())
	}
	return names
}

// sound checks the whole store of a server that has ended.
func (r *running) sound() {
	r.t.Helper()
	rep, err := CheckAll(context.Background(), r.cfg, Known{})
	if err != nil || len(rep.Faults) > 0 {
		r.t.Errorf("check: %v, %v", rep.Faults, err)
	}
}

// Whoever signs keeps the CI: no upload in the name of its card changes anything.
func TestAnUploadNeverChangesACIThatAnAgentKeeps(t *testing.T) {
	r, at := besideSitesummary(t)
	m := r.machine(1)
	body(m.Machine, 1)
	m.report(t, true)
	before := r.get(m.ci)
	mac := fact.NewSet(m.Facts["net"]).Below("net/")[0].Value
	forged := map[string][]byte{
		"system/ifconfig-a": []byte("eth0: flags=1<UP>  mtu 1500\n        ether " + mac + "  txqueuelen 1000\n\n"), "system/hostname": []byte("mallory\n"),
	}
	taken(t, upload(t, at, tarball(t, theUpload(t, forged))))
	if after := r.get(m.ci); after.GetItem().GetRevision() != before.GetItem().GetRevision() || after.GetItem().GetName() != before.GetItem().GetName() {
		t.Errorf("the upload changed %+v to %+v", before.GetItem(), after.GetItem())
	}
	if found := r.find(t, "trust = unsigned"); len(found) != 0 {
		t.Errorf("it became another CI: %q", found)
	}
}

// The day an agent comes to a machine that only uploaded: the operator is offered
// the match, and from then on its CI is the agent's.
func TestAnAgentTakesTheCIOfItsMachinesUploadsOver(t *testing.T) {
	r, at := besideSitesummary(t)
	taken(t, upload(t, at, tarball(t, theUpload(t, nil))))
	m := r.stranger(7)
	m.Facts["net"] = fact.NewSet([]fact.Fact{{Path: "net/eno1/permanent", Value: "2c:4d:54:01:15:21"}, {Path: "net/eno1/mac", Value: "2c:4d:54:01:15:21"}})
	if _, err := r.enrol(m, r.token(&rollcallv1.NewTokenRequest{NeedsApproval: true})); err != nil {
		t.Fatal(err)
	}
	list, err := r.kari.Pending(t.Context(), &rollcallv1.PendingRequest{})
	if err != nil || len(list.GetKeys()) != 1 {
		t.Fatalf("%d wait, %v", len(list.GetKeys()), err)
	}
	k := list.GetKeys()[0]
	if k.GetLikeCi() != "room12-pc07" || !strings.Contains(k.GetLikeWhy(), "MAC") {
		t.Fatalf("it is like %q (%s)", k.GetLikeCi(), k.GetLikeWhy())
	}
	ci := r.get("room12-pc07").GetItem().GetId()
	if _, err := r.kari.Approve(t.Context(), &rollcallv1.DecideRequest{Key: k.GetKeyId(), Ci: ci}); err != nil {
		t.Fatal(err)
	}
	m.ci = ci
	m.report(t, true)
	item := r.get(ci).GetItem()
	if item.GetTrust() != "T1" || item.GetName() != "room12-pc07" {
		t.Errorf("the CI is %+v", item)
	}
	revision := item.GetRevision()
	taken(t, upload(t, at, tarball(t, theUpload(t, map[string][]byte{"debian/debian_version": []byte("13.0\n")}))))
	if n := r.get(ci).GetItem().GetRevision(); n != revision {
		t.Errorf("an upload after that leads from revision %d to %d", revision, n)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r.sound()
}

func TestHostileUploadsAreRefusedInWords(t *testing.T) {
	r, at := besideSitesummary(t, func(c *Config) { c.SitesummaryMachines = 2 })
	machine := func(n int) []byte {
		return tarball(t, map[string][]byte{"system/ifconfig-a": fmt.Appendf(nil, "eth0: flags=1<UP>\n  ether 02:00:00:00:01:%02x  x\n", n)})
	}
	good := tarball(t, theUpload(t, nil))
	refused(t, "no archive", upload(t, at, []byte("hello")), "400")
	refused(t, "no MAC", upload(t, at, tarball(t, theUpload(t, map[string][]byte{"system/ifconfig-a": nil}))), "no MAC")
	refused(t, "words of success in a name", upload(t, at, tarball(t, map[string][]byte{"system/SITESUMMARY HTTP-POST OK": nil})), "400")
	refused(t, "a body beyond its bound", upload(t, at, bytes.Repeat(good, 6<<20/len(good))), "400")
	for path, want := range map[string]int{"/": http.StatusNotFound, "/sitesummary/": http.StatusNotFound, "/cgi-bin/sitesummary-collector.cgi": http.StatusMethodNotAllowed} {
		reply, err := http.Get("http://" + at + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = reply.Body.Close()
		if reply.StatusCode != want {
			t.Errorf("GET %s: %d, want %d", path, reply.StatusCode, want)
		}
	}
	if found := r.find(t, ""); len(found) != 0 {
		t.Fatalf("one of them became a CI: %q", found)
	}

	taken(t, upload(t, at, machine(1)))
	taken(t, upload(t, at, machine(2)))
	refused(t, "a machine more than may come", upload(t, at, machine(3)), "sitesummary_machines")
	for range 5 {
		taken(t, upload(t, at, machine(2)))
	}
	refused(t, "one machine again and again", upload(t, at, machine(2)), "429")

	if _, err := r.kari.Set(t.Context(), &rollcallv1.SetRequest{Ci: "unnamed", Fields: map[string]string{"status": "disposed"}}); err != nil {
		t.Fatal(err)
	}
	refused(t, "a machine that was disposed of", upload(t, at, machine(1)), "403")
}

// From behind a web server on the same machine the sender is the one that it names.
func TestTheSenderBehindAProxyIsTheOneThatItNames(t *testing.T) {
	r, at := besideSitesummary(t)
	taken(t, upload(t, at, tarball(t, theUpload(t, nil)), "X-Forwarded-For: 192.0.2.66, 10.0.16.21"))
	h, err := r.kari.History(t.Context(), &rollcallv1.HistoryRequest{Ci: "room12-pc07"})
	if err != nil || len(h.GetRevisions()) != 1 {
		t.Fatalf("history: %v, %v", h, err)
	}
	if by := h.GetRevisions()[0].GetBy(); by != "sitesummary 10.0.16.21" {
		t.Errorf("it came from %q", by)
	}
}

// What is kept of an upload goes with its CI, and the machine may come again.
func TestAnErasedMachineLeavesNothingOfItsUploads(t *testing.T) {
	r, at := besideSitesummary(t)
	taken(t, upload(t, at, tarball(t, theUpload(t, nil))))
	ci := r.get("room12-pc07").GetItem().GetId()
	if _, err := r.srv.eraser.Erase(t.Context(), cmdb.Erasure{CI: ci}); err != nil {
		t.Fatal(err)
	}
	err := r.srv.engine.View(t.Context(), func(v store.Reader) error {
		for _, space := range store.Spaces {
			for p, err := range v.Scan(space, nil, nil, 0) {
				if err != nil {
					return err
				}
				for _, word := range []string{"2c:4d:54:01:15:21", "room12-pc07", "PC0R1521"} {
					if bytes.Contains(p.K, []byte(word)) || bytes.Contains(p.V, []byte(word)) {
						t.Errorf("%q of space %v still holds %s", p.K, space, word)
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	taken(t, upload(t, at, tarball(t, theUpload(t, nil))))
	if n := r.get("room12-pc07").GetItem().GetRevision(); n != 1 {
		t.Errorf("it came again as revision %d", n)
	}
}

func TestUploadsOfOneMachineAtOnceMakeOneCI(t *testing.T) {
	r, at := besideSitesummary(t)
	file := tarball(t, theUpload(t, nil))
	answers := make(chan string)
	for range 5 {
		go func() { answers <- upload(t, at, file) }()
	}
	for range 5 {
		taken(t, <-answers)
	}
	if found := r.find(t, ""); len(found) != 1 {
		t.Errorf("they became %q", found)
	}
}

func TestSlowUploadsHoldNobodyUp(t *testing.T) {
	_, at := besideSitesummary(t)
	for range 16 {
		conn, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := fmt.Fprintf(conn, "POST /cgi-bin/sitesummary-collector.cgi HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"+
			"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 { // some of them are being read by then
		taken(t, upload(t, at, tarball(t, theUpload(t, nil))))
	}
}

// The folder shows what is known: of uploads, of agents, and nothing of what is gone.
func TestEntriesAreKeptAsSitesummaryKeepsThem(t *testing.T) {
	dir := t.TempDir()
	r, at := besideSitesummary(t, func(c *Config) { c.SitesummaryFolder = dir })
	file := func(entry, name string) string {
		b, err := os.ReadFile(filepath.Join(dir, "entries", entry, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		return string(b)
	}
	const uploaded = "ether-2c:4d:54:01:15:21"
	taken(t, upload(t, at, tarball(t, theUpload(t, nil))))
	if got := file(uploaded, "debian/dpkg-l"); got != string(theUpload(t, nil)["debian/dpkg-l"]) {
		t.Errorf("the uploaded table of packages is\n%s", got)
	}

	m := r.machine(1)
	body(m.Machine, 1)
	const reported = "ether-02:00:00:00:00:01"
	m.report(t, true)
	waitFor(t, "the entry of an agent", func() bool { return file(reported, "system/hostname") != "" })
	if got := file(reported, "system/ifconfig-a"); !strings.Contains(got, "ether 02:00:00:00:00:01 ") {
		t.Errorf("its interfaces are\n%s", got)
	}
	if got := file(reported, "debian/dpkg-l"); strings.Count(got, "\nii ") < 10 {
		t.Errorf("its packages are\n%s", got)
	}

	if _, err := r.kari.Set(t.Context(), &rollcallv1.SetRequest{Ci: m.ci, Fields: map[string]string{"status": "disposed"}}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the entry of what was disposed of to go", func() bool { return file(reported, "system/hostname") == "" })
	ci := r.get("room12-pc07").GetItem().GetId()
	if _, err := r.srv.eraser.Erase(t.Context(), cmdb.Erasure{CI: ci}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the entry of what was erased to go", func() bool { return file(uploaded, "system/hostname") == "" })
}

// Where an operator says that the CI of the uploads is one that an agent keeps, the
// uploads change neither.
func TestUploadsOfAMergedCIAreThoseOfTheOneThatStays(t *testing.T) {
	r, at := besideSitesummary(t)
	taken(t, upload(t, at, tarball(t, theUpload(t, nil))))
	m := r.machine(1)
	body(m.Machine, 1)
	m.report(t, true)
	if _, err := r.kari.Merge(t.Context(), &rollcallv1.MergeRequest{Ci: "room12-pc07", Into: m.ci, Anyway: true}); err != nil {
		t.Fatal(err)
	}
	before := []uint64{r.get("room12-pc07").GetItem().GetRevision(), r.get(m.ci).GetItem().GetRevision()}
	taken(t, upload(t, at, tarball(t, theUpload(t, map[string][]byte{"debian/debian_version": []byte("13.0\n")}))))
	after := []uint64{r.get("room12-pc07").GetItem().GetRevision(), r.get(m.ci).GetItem().GetRevision()}
	if !slices.Equal(before, after) {
		t.Errorf("an upload leads from revisions %d to %d", before, after)
	}

	// Merged into another that nobody signs for, it goes on as that one.
	other := theUpload(t, map[string][]byte{"system/hostname": []byte("pc08\n"), "system/ifconfig-a": []byte("eth0: flags=1<UP>\n  ether 02:00:00:00:00:88  x\n")})
	taken(t, upload(t, at, tarball(t, other)))
	third := theUpload(t, map[string][]byte{"system/hostname": []byte("pc09\n"), "system/ifconfig-a": []byte("eth0: flags=1<UP>\n  ether 02:00:00:00:00:99  x\n")})
	taken(t, upload(t, at, tarball(t, third)))
	if _, err := r.kari.Merge(t.Context(), &rollcallv1.MergeRequest{Ci: "pc09", Into: "pc08", Anyway: true}); err != nil {
		t.Fatal(err)
	}
	third["debian/debian_version"] = []byte("13.1\n")
	for range 2 {
		taken(t, upload(t, at, tarball(t, third)))
	}
	if got := r.find(t, "fact(os/debian) = 13.1"); !slices.Equal(got, []string{"pc08"}) {
		t.Errorf("the upload went to %q", got)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r.sound()
}

// What a boot server sees does not keep a machine from telling of itself.
func TestAnUploadOfAMachineThatIsObservedIsTaken(t *testing.T) {
	r, at := besideSitesummary(t)
	r.site("elm")
	files := theUpload(t, nil)
	mac := firstMAC.FindString(string(files["system/ifconfig-a"]))
	tjener := r.bootServer(1, "elm")
	tjener.sees(t, mac+" tc05")
	r.wait("trust = observed", "tc05")
	taken(t, upload(t, at, tarball(t, files)))
	r.wait("trust = unsigned", "room12-pc07")
	r.wait("trust = observed", "tc05")
}

var firstMAC = regexp.MustCompile(`([0-9a-f]{2}:){5}[0-9a-f]{2}`)
