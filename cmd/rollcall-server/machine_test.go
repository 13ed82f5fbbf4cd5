package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// machine is one agent with its root and state.
type machine struct {
	l     *lab
	name  string
	root  string
	state string
	netns string
	live  bool // the agent runs inside of the root and sees its own machine
}

// recorded unpacks recorded machines.
func (l *lab) recorded(names ...string) map[string]*machine {
	l.t.Helper()
	out, err := exec.Command("../../testdata/hosts/unpack", append([]string{l.path("hosts")}, names...)...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("unpack: %v\n%s", err, out)
	}
	all := map[string]*machine{}
	for _, name := range names {
		all[name] = &machine{l: l, name: name, root: l.path("hosts/" + name), state: l.path("state/" + name)}
	}
	return all
}

// enter makes the root the agent's own: it runs in a mount namespace with that
// root, a fresh /proc, and the /sys of its network namespace.
func (m *machine) enter() {
	m.l.t.Helper()
	b, err := os.ReadFile(filepath.Join(m.l.bin, "rollcall-agent"))
	if err != nil {
		m.l.t.Fatal(err)
	}
	agent := filepath.Join(m.root, "usr/bin/rollcall-agent")
	if err := os.MkdirAll(filepath.Dir(agent), 0o755); err != nil {
		m.l.t.Fatal(err)
	}
	if err := os.WriteFile(agent, b, 0o755); err != nil {
		m.l.t.Fatal(err)
	}
	m.live = true
}

// inside runs a command with the machine's root, network and host name.
const inside = `set -e
cd "$1"; name=$2; shift 2
mkdir -p proc sys dev run tmp
hostname "$name"
mount -t proc proc proc
mount -t sysfs sysfs sys
exec chroot . "$@"`

// agent runs the agent on the machine.
func (m *machine) agent(command string, args ...string) (string, error) {
	if !m.live {
		words := []string{command, "--config", m.l.path("agent.conf"), "--state", m.state, "--root", m.root}
		return m.l.try(m.netns, "rollcall-agent", append(words, args...)...)
	}
	words := []string{"netns", "exec", m.netns, "unshare", "--mount", "--uts", "sh", "-c", inside, "sh", m.root, m.name, "/usr/bin/rollcall-agent", command}
	var out bytes.Buffer
	c := exec.Command("ip", append(words, args...)...)
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out.String(), err
}

// enrol admits the machine to a site.
func (m *machine) enrol(site, class string) {
	m.l.t.Helper()
	token, seen := filepath.Join(m.root, "token"), "/token"
	if !m.live {
		token = m.l.path("token-" + m.name)
		seen = token
	}
	m.l.must("rollcall", "enrol", "token", "--site", site, "--class", class, "--out", token)
	if out, err := m.agent("enrol", "--token-file", seen); err != nil {
		m.l.t.Fatalf("enrol %s: %v\n%s", m.name, err, out)
	}
	if class == "server" {
		m.l.second()
	}
}

// second lets a second person approve the server that waits.
func (l *lab) second() {
	l.t.Helper()
	ola := l.path("ola.login")
	if _, err := os.Stat(ola); err != nil {
		l.must("rollcall", "operator", "add", "ola", "--role", "approver", "--out", ola)
	}
	var waiting struct {
		Keys []struct {
			ID string `json:"key_id"`
		} `json:"keys"`
	}
	if err := json.Unmarshal([]byte(l.must("rollcall", "enrol", "pending", "--json")), &waiting); err != nil || len(waiting.Keys) != 1 {
		l.t.Fatalf("%d machines wait, want one: %v", len(waiting.Keys), err)
	}
	l.must("rollcall", "--login", ola, "enrol", "approve", waiting.Keys[0].ID)
}

func (m *machine) once() {
	m.l.t.Helper()
	if out, err := m.agent("once"); err != nil {
		m.l.t.Fatalf("%s: rollcall-agent once: %v\n%s\nserver log:\n%s", m.name, err, out, m.l.log)
	}
}

func (m *machine) edit(path, text string) {
	m.l.t.Helper()
	if err := os.WriteFile(filepath.Join(m.root, path), []byte(text), 0o644); err != nil {
		m.l.t.Fatal(err)
	}
}

func (m *machine) read(path string) []byte {
	m.l.t.Helper()
	b, err := os.ReadFile(filepath.Join(m.root, path))
	if err != nil {
		m.l.t.Fatal(err)
	}
	return b
}

// upgrade gives an installed package another version in dpkg's status.
func (m *machine) upgrade(name, version string) {
	m.l.t.Helper()
	status := string(m.read("var/lib/dpkg/status"))
	at := strings.Index(status, "\nPackage: "+name+"\n")
	from := at + strings.Index(status[max(0, at):], "\nVersion: ") + len("\nVersion: ")
	if at < 0 {
		m.l.t.Fatalf("package %s is not installed", name)
	}
	to := from + strings.IndexByte(status[from:], '\n')
	m.edit("var/lib/dpkg/status", status[:from]+version+status[to:])
}

// pullDIMM empties the first filled memory slot of the SMBIOS table: structure
// type 17, size at offset 0x0c (DMTF DSP0134).
func (m *machine) pullDIMM() {
	m.l.t.Helper()
	const name = "sys/firmware/dmi/tables/DMI"
	b := m.read(name)
	for at := 0; at+4 < len(b); {
		length := int(b[at+1])
		if b[at] == 17 && binary.LittleEndian.Uint16(b[at+0x0c:]) != 0 {
			binary.LittleEndian.PutUint16(b[at+0x0c:], 0)
			m.edit(name, string(b))
			return
		}
		end := bytes.Index(b[at+length:], []byte{0, 0})
		if end < 0 {
			break
		}
		at += length + end + 2
	}
	m.l.t.Fatal("no filled memory slot in the SMBIOS table")
}

// addCard adds a network card as sysfs would show it.
func (m *machine) addCard() {
	m.l.t.Helper()
	dir := filepath.Join(m.root, "sys/class/net/enp9s0")
	if err := os.MkdirAll(filepath.Join(dir, "device"), 0o755); err != nil {
		m.l.t.Fatal(err)
	}
	for name, text := range map[string]string{"address": "52:54:00:99:00:01\n", "type": "1\n", "mtu": "1500\n", "addr_assign_type": "0\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			m.l.t.Fatal(err)
		}
	}
}
