package collect

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"
)

// diagMessage is what the kernel gives for a socket on [2001:db8::1]:22 in
// control group 4711.
func diagMessage() []byte {
	b := make([]byte, inetDiagMsgSize)
	b[0], b[1] = unix.AF_INET6, stateListen
	binary.BigEndian.PutUint16(b[4:], 22)
	addr := netip.MustParseAddr("2001:db8::1").As16()
	copy(b[8:], addr[:])
	attr := make([]byte, 12)
	binary.NativeEndian.PutUint16(attr, 12)
	binary.NativeEndian.PutUint16(attr[2:], inetDiagCgroupID)
	binary.NativeEndian.PutUint64(attr[4:], 4711)
	return append(b, attr...)
}

func TestSocketTellsItsControlGroup(t *testing.T) {
	local, group, ok := parseDiag(diagMessage())
	if !ok || group != 4711 || local.String() != "[2001:db8::1]:22" {
		t.Errorf("got %v %d %v", local, group, ok)
	}
}

func TestUnitsOwnTheControlGroupsBelowThem(t *testing.T) {
	root := rootWith(t, map[string]string{
		"sys/fs/cgroup/cgroup.procs":                                   "",
		"sys/fs/cgroup/system.slice/ssh.service/cgroup.procs":          "",
		"sys/fs/cgroup/system.slice/system-x.slice/x@1.service/y/pids": "",
		"sys/fs/cgroup/init.scope/cgroup.procs":                        "",
	})
	got := map[string]int{}
	for _, unit := range controlGroups(Host{FS: root}) {
		got[unit]++
	}
	if len(got) != 2 || got["ssh.service"] != 1 || got["x@1.service"] != 2 {
		t.Errorf("got %v", got)
	}
	if got := controlGroups(memHost(fstest.MapFS{})); len(got) > 0 {
		t.Errorf("got %v without control groups", got)
	}
}

func TestKernelTellsAboutOurOwnSocket(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skipf("no sockets here: %v", err)
	}
	defer l.Close()
	answer, err := dumpSockets(t.Context(), unix.AF_INET, unix.IPPROTO_TCP)
	if err != nil {
		t.Skipf("no sock_diag here: %v", err)
	}
	for _, m := range answer {
		if local, _, ok := parseDiag(m.Data); ok && local.String() == l.Addr().String() {
			return
		}
	}
	t.Errorf("%s is not among %d sockets with a control group", l.Addr(), len(answer))
}

func FuzzSocketDiag(f *testing.F) {
	f.Add(diagMessage())
	f.Fuzz(func(t *testing.T, b []byte) { parseDiag(b) })
}
