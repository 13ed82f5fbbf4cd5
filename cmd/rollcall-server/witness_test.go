package main

import (
	"os"
	"strings"
	"testing"
)

// TestAnAuditorWatchesAServerThatIsRolledBack is docs/evidence.md with the real
// programs: an auditor's witness cosigns, the server's database is put back behind
// everybody's back, and the witness refuses it until a person has decided.
func TestAnAuditorWatchesAServerThatIsRolledBack(t *testing.T) {
	l := newLab(t, loopback(t), "")
	l.write("vera.login", l.must("rollcall-server", "operator", "add", "--config", l.path("server.conf"), "--role", "auditor", "vera"))
	witness := func(args ...string) (string, error) {
		return l.try("", "rollcall-server", append([]string{"witness", "--login", l.path("vera.login"), "--dir", l.path("witness")}, args...)...)
	}
	restart := func() { // the end of a server signs its log
		t.Helper()
		l.stop()
		l.start()
	}
	restart()
	out, err := witness("--name", "auditor", "--once")
	if err != nil || !strings.HasPrefix(out, "auditor+") || !strings.Contains(out, "cosigned") {
		t.Fatalf("first look: %s, %v", out, err)
	}
	key := strings.Fields(out)[0]
	if out, err = witness("--key"); err != nil || strings.TrimSpace(out) != key {
		t.Errorf("--key prints %s, %v, want %s", out, err, key)
	}
	l.stop()
	old, err := os.ReadFile(l.path("server/rollcall.db"))
	if err != nil {
		t.Fatal(err)
	}
	l.start()
	l.must("rollcall", "site", "add", "elm/north/room99")
	restart()
	if out, err = witness("--once"); err != nil || !strings.Contains(out, "more than before: cosigned") {
		t.Fatalf("second look: %s, %v", out, err)
	}
	if status := l.must("rollcall", "--login", l.path("vera.login"), "status"); !strings.Contains(status, "seen by auditor") {
		t.Errorf("status does not tell of the witness:\n%s", status)
	}
	l.stop()
	l.write("server/rollcall.db", string(old))
	l.start()
	for _, look := range [][]string{{"--once"}, {"--every", "1s"}} { // also the one that goes on ends
		if out, err = witness(look...); err == nil || !strings.Contains(err.Error(), "exit status 1") || !strings.Contains(err.Error(), "ALARM") {
			t.Errorf("after the rollback, %v: %s, %v", look, out, err)
		}
	}
	if _, err = witness("--accept", "restored from a copy"); err != nil {
		t.Fatal(err)
	}
	if out, err = witness("--once"); err != nil || !strings.Contains(out, "cosigned") {
		t.Errorf("after it was accepted: %s, %v", out, err)
	}
	if _, err = witness("--every", "1ms"); err == nil || !strings.Contains(err.Error(), "exit status 2") {
		t.Errorf("--every 1ms: %v", err)
	}
}
