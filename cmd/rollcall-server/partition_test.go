package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// partitions are what can come between two machines of a network, in their
// namespaces: "S" stands for the server's, "M" for the machine's.
var partitions = []struct {
	name        string
	begin, heal []string
}{
	{"the link is down", []string{"ip -n M link set eth0 down"}, []string{"ip -n M link set eth0 up"}},
	{"answers are lost", []string{"ip -n S route add blackhole 10.77.0.10/32"}, []string{"ip -n S route del blackhole 10.77.0.10/32"}},
	{"nothing leaves", []string{"ip -n M route add blackhole 10.77.0.1/32"}, []string{"ip -n M route del blackhole 10.77.0.1/32"}},
	{"connections are reset", rule("tcp dport 7465 reject with tcp reset"), unruled},
	{"three in ten packets are lost", rule("numgen random mod 10 < 3 drop"), unruled},
	{"64 kbit/s", []string{"tc -n M qdisc add dev eth0 root tbf rate 64kbit burst 4kb latency 400ms"}, []string{"tc -n M qdisc del dev eth0 root"}},
}

// rule puts one rule before what arrives at the server, as nft(8) reads it.
func rule(words string) []string {
	in := "ip netns exec S nft "
	return []string{in + "add table inet bad", in + "add chain inet bad in { type filter hook input priority 0 ; }", in + "add rule inet bad in " + words}
}

var unruled = []string{"ip netns exec S nft delete table inet bad"}

// TestPartitionsDeliverEverythingOnceAndInOrder cuts a machine off in each way
// while it changes and looks: every state that it saw is in the history, once and
// in order, after the network is whole again.
func TestPartitionsDeliverEverythingOnceAndInOrder(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	ns := network(t, "52:54:00:cc:00:01")
	do := func(lines []string) {
		t.Helper()
		for _, words := range lines {
			c := strings.Fields(words)
			for i := range c {
				switch c[i] {
				case "S":
					c[i] = ns[0]
				case "M":
					c[i] = ns[1]
				}
			}
			if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", words, err, out)
			}
		}
	}
	l := newLab(t, "10.77.0.1:7465", ns[0])
	m := l.recorded("room12-pc04")["room12-pc04"]
	m.netns = ns[1]
	m.enter()
	m.enrol("elm/north/room12", "workstation")
	m.once()
	var want []string
	change := func() (string, error) {
		want = append(want, fmt.Sprint(len(want)))
		m.edit("etc/motd", "edit "+want[len(want)-1]+"\n")
		return m.agent("once")
	}
	for _, p := range partitions {
		do(p.begin)
		through := 0
		for range rounds(t, 1, 6) {
			if _, err := change(); err == nil {
				through++
			}
		}
		do(p.heal)
		if out, err := change(); err != nil {
			t.Fatalf("%s, healed: %v\n%s", p.name, err, out)
		}
		t.Logf("%s: %d reports came through at once", p.name, through)
	}
	l.haveEdits(m.name, want)
}
