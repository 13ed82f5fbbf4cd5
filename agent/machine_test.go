package agent

import (
	"path/filepath"
	"testing"
	"time"
)

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := installed(t, filepath.Join(t.TempDir(), "state"))
	_, err := Enrol(t.Context(), m.cfg, "test", m.srv.token(t), m.deps.Dial)
	must(t, err)
	return m
}

// installed is a machine that has not been enrolled yet.
func installed(t *testing.T, state string) *machine {
	t.Helper()
	m := &machine{t: t, srv: startServer(t), cfg: Default()}
	m.cfg.Root, m.cfg.State = t.TempDir(), state
	m.deps = Deps{Dial: m.srv.dial(), Version: "test", Now: time.Now}
	m.write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
	m.write("etc/group", "root:x:0:\n")
	m.write("etc/motd", "hello\n")
	m.write("etc/hostname", "pc07\n")
	m.write("etc/shadow", "root:canary-password:19000:0:99999:7:::\n")
	m.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
	m.packages("1.0")
	return m
}
