package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"rollcall/server"
)

// TestASignedPolicyReachesAMachineByTheServerAndByAFile goes the whole way that its
// users go: a key on one machine, a line in agent.conf of another, and a server that
// is started again in between.
func TestASignedPolicyReachesAMachineByTheServerAndByAFile(t *testing.T) {
	l := newLab(t, loopback(t), "")
	m := l.recorded("room12-pc04")["room12-pc04"]
	line := l.must("rollcall-recovery", "policy", "key", "--out", l.path("policy.key"))
	l.write("agent.conf", line+"policy_file = "+l.path("policy")+"\n")
	m.enrol("elm/north/room12", "workstation")
	m.once()
	var st struct {
		Realm string `json:"realm"`
	}
	l.decode(l.must("rollcall", "policy", "status", "--json"), &st)
	sign := func(version int, more string) string {
		t.Helper()
		day := func(d int) string { return time.Now().AddDate(0, 0, d).Format(time.DateOnly) }
		name := fmt.Sprintf("policy-%d", version)
		l.write(name+".txt", fmt.Sprintf("realm = %s\nversion = %d\nfrom = %s\nuntil = %s\n%s", st.Realm, version, day(-1), day(300), more))
		l.must("rollcall-recovery", "policy", "sign", "--key", l.path("policy.key"), "--out", l.path(name), l.path(name+".txt"))
		return l.path(name)
	}
	has := func(filter string, want bool) {
		t.Helper()
		if got := strings.TrimSpace(l.must("rollcall", "find", "--names", filter)) != ""; got != want {
			t.Errorf("%s: %t, want %t", filter, got, want)
		}
	}
	has("pkg(bash)", true)
	has("fact(agent/policy/state) = none", true)

	first := sign(1, "skip = dpkg\n")
	l.must("rollcall", "policy", "publish", first)
	l.kill()
	l.start()
	m.once() // brings it along
	m.once()
	has("pkg(bash)", false)
	has("fact(agent/policy/version) = 1 and fact(agent/policy/state) = \"in force\"", true)
	if out := l.must("rollcall", "policy", "status"); !strings.Contains(out, "1        1  in force") {
		t.Errorf("status\n%s", out)
	}
	if out := l.must("rollcall", "log", "actions", "--kind", "policy"); !strings.Contains(out, "publish policy") {
		t.Errorf("log\n%s", out)
	}

	l.write("policy", read(t, sign(2, "skip = accounts\n")))
	m.once()
	has("pkg(bash)", true)
	has("fact(agent/policy/version) = 2", true)
	if out, err := m.agent("status"); err != nil || !strings.Contains(out, "version 2, from file, until") || !strings.Contains(out, "collectors: accounts") {
		t.Errorf("status of the agent: %v\n%s", err, out)
	}
	l.write("policy", read(t, first)) // somebody puts an old one back
	m.once()
	has("fact(agent/policy/version) = 2", true)
	has("fact(agent/policy/refused/file)", true)
	l.stop()
	checkAll(t, l.config(), server.Known{})
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
