package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/seal"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/ingest"
	"rollcall/server/store"
	"rollcall/server/store/bolt"
)

// backedUpLab is a lab whose server has recipients for its backups, and the file
// with the private key of one.
func backedUpLab(t *testing.T) *lab {
	t.Helper()
	l := newLab(t, loopback(t), "")
	private, first := seal.GenerateIdentity()
	_, second := seal.GenerateIdentity()
	l.write("recovery.key", private+"\n")
	conf, err := os.ReadFile(l.path("server.conf"))
	if err != nil {
		t.Fatal(err)
	}
	l.write("server.conf", string(conf)+"backup_recipient = "+first+"\nbackup_recipient = "+second+"\n")
	return l
}

// goBack kills the server and restores the backup in its place. What it had is
// in the folder "twin" then.
func (l *lab) goBack(backup string) {
	l.t.Helper()
	l.kill()
	if err := os.Rename(l.path("server"), l.path("twin")); err != nil {
		l.t.Fatal(err)
	}
	l.must("rollcall-server", "restore", "--config", l.path("server.conf"), "--identity", l.path("recovery.key"), backup)
	l.start()
}

// history reads what a store holds of machines: revisions, envelopes, fact sets,
// contents, and where each key's chain has come to, all without the server's
// times.
func history(t *testing.T, dir string) map[string]string {
	t.Helper()
	e, err := bolt.Open(filepath.Join(dir, "rollcall.db"), bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	err = e.View(t.Context(), func(r store.Reader) error {
		for _, space := range []store.Space{store.CI, store.Event, store.Blob, store.Record} {
			for p, err := range r.Scan(space, []byte("main/"), []byte("main0"), 0) {
				if err != nil {
					return err
				}
				k := store.Key{Space: space, K: p.K}
				if space == store.Record && !bytes.HasPrefix(p.K, []byte("main/chain/")) {
					continue
				}
				text, err := timeless(k, p.V)
				if err != nil {
					return fmt.Errorf("%s: %w", k, err)
				}
				all[fmt.Sprintf("%s %x", space, p.K)] = text
			}
		}
		return ingest.Envelopes(r, "main", func(hash fact.Digest, raw []byte) error {
			all["envelope "+hash.String()] = string(raw)
			return nil
		})
	})
	if err := errors.Join(err, e.Close()); err != nil {
		t.Fatal(err)
	}
	return all
}

// timeless gives a record without the times that the server gave it, and
// without the receipt, which holds one.
func timeless(k store.Key, stored []byte) (string, error) {
	var v any
	switch k.Space {
	case store.CI:
		v = &cmdb.CI{}
	case store.Event:
		v = &cmdb.Revision{}
	case store.Record:
		v = &enrol.Chain{}
	default: // fact sets, contents and envelopes hold no time of the server
		_, b, err := store.Unframe(k, stored)
		return string(b), err
	}
	if err := store.DecodeJSON(k, stored, v); err != nil {
		return "", err
	}
	record, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	var fields map[string]any
	if err := json.Unmarshal(record, &fields); err != nil {
		return "", err
	}
	for _, name := range []string{"stamp", "created", "changed", "receipt", "Receipt"} {
		delete(fields, name)
	}
	b, err := json.Marshal(fields)
	return string(b), err
}

var gitTimes = regexp.MustCompile(`(?m)^(commit|parent|Date:|Rollcall-[A-Za-z]*[Tt]ime:) .*\n`)

// TestAServerRestoredFromAnOlderBackupEndsAsIfItHadNeverCrashed lets machines
// report, with many changes of files and packages, after the backup that the
// server is restored from. They send again what it has lost: its revisions,
// envelopes, chains, fact sets and contents are those of the server that was
// killed, also the contents that no disk holds any more.
func TestAServerRestoredFromAnOlderBackupEndsAsIfItHadNeverCrashed(t *testing.T) {
	l := backedUpLab(t)
	all := l.recorded("room12-pc04", "room12-pc05")
	pc, next := all["room12-pc04"], all["room12-pc05"]
	pc.enrol("elm/north/room12", "workstation")
	next.enrol("elm/north/room12", "workstation") // its first report is not in the backup
	pc.once()
	l.must("rollcall-server", "backup", "--config", l.path("server.conf"), l.path("monday.age"))
	next.once()
	for i := range 4 {
		pc.edit("etc/motd", fmt.Sprintf("message %d, overwritten soon\n", i))
		next.edit("etc/motd", fmt.Sprintf("message %d, overwritten soon\n", i+2)) // contents that both have
		next.edit("etc/issue", fmt.Sprintf("pc05 %d\n", i))
		pc.upgrade("bash", fmt.Sprintf("5.3-%d", i))
		pc.once()
		next.once()
	}
	repo := l.mirrored("elm/north")
	before := gitTimes.ReplaceAllString(l.git("--git-dir", repo, "log", "-p", "--format=%B", "--all"), "")
	l.goBack(l.path("monday.age"))

	if got := l.must("rollcall", "file", "show", pc.name+":/etc/motd"); strings.Contains(got, "message") {
		t.Fatalf("the restored server knows what came after the backup: %q", got)
	}
	pc.once() // nothing has changed here
	next.edit("etc/motd", "after the restore\n")
	next.once()
	want := history(t, l.path("twin"))
	l.mirrored("elm/north")
	l.stop()
	got := history(t, l.path("server"))
	missing, other, added := 0, 0, 0
	for k, v := range want {
		now, ok := got[k]
		switch {
		case !ok:
			missing++
			t.Errorf("missing: %.100s", k)
		case now != v && !strings.HasPrefix(k, "ci ") && !strings.HasPrefix(k, "record "):
			other++
			t.Errorf("%.100s: %.300s, want %.300s", k, now, v)
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			added++
		}
	}
	// The report after the restore adds a revision, an envelope, a set and a content.
	if missing+other > 0 || added != 4 || len(want) < 40 {
		t.Errorf("%d records of %d missing, %d other, %d added; want 0, 0, 4", missing, len(want), other, added)
	}
	for _, k := range slices.Sorted(maps.Keys(want)) { // the workstation's head and chain are the very ones
		if strings.HasPrefix(k, "ci ") && strings.Contains(want[k], pc.name) && got[k] != want[k] {
			t.Errorf("head of %s: %s, want %s", pc.name, got[k], want[k])
		}
	}
	l.start()
	if out := l.must("rollcall", "find", "--names", "cloned = yes"); strings.TrimSpace(out) != "" {
		t.Errorf("taken for a clone: %s", out)
	}
	if out := l.must("rollcall", "ci", "history", pc.name, "--json") + l.must("rollcall", "ci", "history", next.name, "--json"); strings.Contains(out, "lost") {
		t.Errorf("the history tells of a gap:\n%s", out)
	}
	l.must("rollcall-server", "check", "--config", l.path("server.conf"))
	after := gitTimes.ReplaceAllString(l.git("--git-dir", l.path("server/mirror/elm/north.git"), "log", "-p", "--format=%B", "--all", "--skip=1"), "")
	if patches(after) != patches(before) {
		t.Errorf("the mirror differs:\n%.3000s\nwant\n%.3000s", after, before)
	}
}

// patches sorts what git log -p prints by commit: two machines may have reported
// in another order.
func patches(log string) string {
	commits := strings.Split(log, "\n\ndiff --git ")
	slices.Sort(commits)
	return fmt.Sprint(len(commits), strings.Count(log, "\n+"), strings.Count(log, "\n-"))
}

// TestWhatIsNotKeptIsClosedByAFullReport restores a backup in the place of a
// server whose machine has nothing to send again: no machine may be taken for a
// clone, its state comes, and the history tells of the gap.
func TestWhatIsNotKeptIsClosedByAFullReport(t *testing.T) {
	l := backedUpLab(t)
	m := l.recorded("room12-pc04")["room12-pc04"]
	m.enrol("elm/north/room12", "workstation")
	m.once()
	l.must("rollcall-server", "backup", "--config", l.path("server.conf"), l.path("monday.age"))
	m.edit("etc/motd", "acknowledged, then lost\n")
	m.once()
	l.goBack(l.path("monday.age"))
	kept, err := filepath.Glob(m.state + "/spool/*.env")
	if err != nil || len(kept) != 2 {
		t.Fatalf("%d reports are kept, %v; want 2", len(kept), err)
	}
	for _, name := range kept {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	m.edit("etc/issue", "after the restore\n")
	m.once()
	for path, want := range map[string]string{"/etc/motd": "acknowledged, then lost\n", "/etc/issue": "after the restore\n"} {
		if got := l.must("rollcall", "file", "show", m.name+":"+path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if out := l.must("rollcall", "find", "--names", "cloned = yes"); strings.TrimSpace(out) != "" {
		t.Errorf("taken for a clone: %s", out)
	}
	if out := l.must("rollcall", "ci", "history", m.name, "--json"); !strings.Contains(out, "backup") {
		t.Errorf("the history does not tell of the gap:\n%s", out)
	}
	l.git("--git-dir", l.mirrored("elm/north"), "fsck", "--strict")
}

// TestBackupAndRestoreSurviveBeingKilled kills both at random moments. There is no
// file that is no backup, no server that is half of one, nothing unencrypted is
// left for long, and the same command begins again.
func TestBackupAndRestoreSurviveBeingKilled(t *testing.T) {
	l := backedUpLab(t)
	m := l.recorded("room12-pc04")["room12-pc04"]
	m.enrol("elm/north/room12", "workstation")
	m.once()
	began := time.Now()
	l.must("rollcall-server", "backup", "--config", l.path("server.conf"), l.path("good.age"))
	took := time.Since(began)
	killed := func(after time.Duration, words ...string) {
		t.Helper()
		c := l.command("", "rollcall-server", words...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(after)
		_ = c.Process.Kill()
		_ = c.Wait()
	}
	rounds := 8
	if os.Getenv("ROLLCALL_TORTURE") != "" {
		rounds = 100
	}
	for n := range rounds {
		file := l.path(fmt.Sprintf("backups/%d.age", n))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		after := took * time.Duration(n+1) / time.Duration(rounds+1)
		killed(after, "backup", "--config", l.path("server.conf"), file)
		fresh := l.path(fmt.Sprintf("fresh%d", n))
		from := l.path("good.age")
		if _, err := os.Stat(file); err == nil {
			from = file // it has its name: it is whole
		}
		restore := []string{"restore", "--config", l.path("server.conf"), "--identity", l.path("recovery.key"), "--data", fresh, from}
		killed(after/2, restore...)
		if _, err := os.Stat(filepath.Join(fresh, "server.key")); err == nil {
			l.must("rollcall-server", "check", "--config", l.path("server.conf"), "--data", fresh)
			continue
		}
		l.must("rollcall-server", restore...)
		if left, err := filepath.Glob(fresh + "/.restore-*"); err != nil || len(left) > 0 {
			t.Errorf("round %d: %v is left, %v", n, left, err)
		}
	}
	l.must("rollcall-server", "backup", "--config", l.path("server.conf"), l.path("backups/last.age"))
	half, err := filepath.Glob(l.path("backups/.rollcall-part-*"))
	plain, err2 := filepath.Glob(l.path("server/.backup-*"))
	if err := errors.Join(err, err2); err != nil || len(half)+len(plain) > 0 {
		t.Errorf("left behind: %v, %v, %v", half, plain, err)
	}
}
