package agent

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	rollcallv1 "rollcall/proto/rollcall/v1"
)

// smallDisk is a file system for a state folder that a test can fill.
type smallDisk struct {
	t    *testing.T
	dir  string
	fill string
}

func newSmallDisk(t *testing.T) *smallDisk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts a file system")
	}
	d := &smallDisk{t: t, dir: t.TempDir()}
	d.fill = filepath.Join(d.dir, "somebody-elses")
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", d.dir).CombinedOutput(); err != nil {
		t.Skipf("cannot mount here: %s", out)
	}
	t.Cleanup(func() {
		if out, err := exec.CommandContext(context.WithoutCancel(t.Context()), "umount", d.dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %s", out)
		}
	})
	return d
}

// full leaves no room.
func (d *smallDisk) full() {
	d.t.Helper()
	f, err := os.Create(d.fill)
	must(d.t, err)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		d.t.Fatal(err)
	}
	must(d.t, f.Close())
}

func (d *smallDisk) free() {
	d.t.Helper()
	must(d.t, os.Remove(d.fill))
}

// told gives the events of kind "agent" of a report.
func told(r *rollcallv1.Report) (texts []string) {
	for _, e := range r.GetEvents() {
		if e.GetKind() == "agent" {
			texts = append(texts, e.GetText())
		}
	}
	return texts
}

func TestAMachineWithoutRoomSaysSoGoesOnAndReportsLater(t *testing.T) {
	d := newSmallDisk(t)
	m := installed(t, filepath.Join(d.dir, "state"))
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	m.deps.Now = func() time.Time { return now }
	_, err := Enrol(t.Context(), m.cfg, "test", m.srv.token(t), m.deps.Dial)
	must(t, err)
	a := m.open()
	look := func(what string, full bool, reports, ticks int) {
		t.Helper()
		now = now.Add(time.Hour)
		if _, err := a.Once(t.Context(), "test"); isFull(err) != full || err != nil && !full {
			t.Fatalf("%s: %v, want no room %v", what, err, full)
		}
		if len(m.srv.reports) != reports || m.srv.ticks != ticks {
			t.Errorf("%s: the server has %d reports and was told %d times that nothing changed, want %d and %d", what, len(m.srv.reports), m.srv.ticks, reports, ticks)
		}
	}
	status := func(what string, looks int, since time.Time) {
		t.Helper()
		st, err := ReadStatus(m.cfg)
		must(t, err)
		switch n := st.NoRoom; {
		case looks == 0 && n != nil:
			t.Errorf("%s: status says %+v", what, n)
		case looks > 0 && (n == nil || n.Looks != looks || !n.Since.Equal(since) || !strings.Contains(n.Problem, "no space left")):
			t.Errorf("%s: status says %+v, want %d looks since %s", what, n, looks, since)
		}
	}
	look("first", false, 1, 0)
	status("with room", 0, now)
	d.full()
	look("nothing has changed", true, 1, 1)
	since := now
	status("the first without room", 1, since)
	m.write("etc/motd", "changed while there was no room\n")
	look("changed", true, 1, 1)
	must(t, a.Close())
	a = m.open() // a restart
	look("changed, after a restart", true, 1, 1)
	status("after a restart", 3, since)
	d.free()
	look("with room again", false, 2, 1)
	status("with room again", 0, since)
	events := told(m.srv.reports[1])
	if len(events) != 1 || !strings.Contains(events[0], since.Format(time.RFC3339)) || !strings.Contains(events[0], "for 3 looks") {
		t.Errorf("the report tells %q, want once since when, and of 3 looks", events)
	}
	m.write("etc/motd", "changed again\n")
	look("after that", false, 3, 1)
	if events := told(m.srv.reports[2]); len(events) > 0 {
		t.Errorf("the next report tells it again: %q", events)
	}
	must(t, a.Close())
}

// What was seen while nothing had changed is told by the next report that there is.
func TestAMachineWithoutRoomDeliversWhatWaitsAndTellsLater(t *testing.T) {
	d := newSmallDisk(t)
	m := installed(t, filepath.Join(d.dir, "state"))
	_, err := Enrol(t.Context(), m.cfg, "test", m.srv.token(t), m.deps.Dial)
	must(t, err)
	a := m.open()
	once := func(full bool) Summary {
		t.Helper()
		sum, err := a.Once(t.Context(), "test")
		if isFull(err) != full || err != nil && !full {
			t.Fatalf("%v, want no room %v", err, full)
		}
		return sum
	}
	once(false)
	m.srv.setAway(true)
	m.write("etc/motd", "waits\n")
	once(false)
	d.full()
	m.srv.setAway(false)
	m.write("etc/motd", "does not fit\n")
	once(true)
	if len(m.srv.reports) != 2 {
		t.Errorf("the server has %d reports, want what waited too", len(m.srv.reports))
	}
	m.write("etc/motd", "waits\n") // as it was
	d.free()
	once(false) // what waited is acknowledged, and nothing has changed
	if st, err := ReadStatus(m.cfg); err != nil || st.NoRoom != nil || st.Spool.Waiting > 0 {
		t.Errorf("with room again: %+v, %d wait, %v", st.NoRoom, st.Spool.Waiting, err)
	}
	must(t, a.Close())
	a = m.open()
	m.write("etc/motd", "changed\n")
	once(false)
	last := m.srv.reports[len(m.srv.reports)-1]
	if events := told(last); len(events) != 1 || last.GetFull() {
		t.Errorf("the next report tells %q, full %v", events, last.GetFull())
	}
	must(t, a.Close())
}

func TestTheRecordOfMissingRoomHasOneSize(t *testing.T) {
	n := &NoRoom{Since: time.Date(2026, 3, 1, 8, 0, 0, 123456789, time.UTC), Looks: 1 << 60, Problem: syscall.EDQUOT.Error()}
	b, err := n.encode()
	if err != nil || len(b) != roomSize {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	name := filepath.Join(t.TempDir(), roomFile)
	must(t, os.WriteFile(name, b, 0o600))
	if got, err := readRoom(name); err != nil || *got != *n {
		t.Errorf("read %+v, %v", got, err)
	}
	n.Problem = strings.Repeat("x", roomSize)
	if b, err := n.encode(); err == nil {
		t.Errorf("encoded %d bytes, want an error", len(b))
	}
	for _, bad := range []string{"", "{}", strings.Repeat("x", roomSize)} {
		name := filepath.Join(t.TempDir(), roomFile)
		must(t, os.WriteFile(name, []byte(bad), 0o600))
		if n, err := readRoom(name); err == nil {
			t.Errorf("%.20q: read %+v, want an error", bad, n)
		}
	}
}
