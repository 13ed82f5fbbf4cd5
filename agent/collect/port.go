package collect

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// ephemeral is where Linux's own choice of ports begins
// (net.ipv4.ip_local_port_range): ports from there on are not listened on by
// configuration.
const ephemeral = 32768

func ports() Collector {
	return Collector{Name: "ports", Owns: []string{"port/"}, Collect: collectPorts}
}

// collectPorts lists the sockets that wait for others, on the running machine
// with the unit that each belongs to.
func collectPorts(ctx context.Context, h Host, s *Sink) error {
	var units map[socketKey]string
	if h.Live {
		units = socketUnits(ctx, h)
	}
	found := 0
	for _, table := range []struct{ file, proto string }{{"tcp", "tcp"}, {"tcp6", "tcp"}, {"udp", "udp"}, {"udp6", "udp"}} {
		name := "proc/net/" + table.file
		if !h.Exists(name) { // "net" is a link to the process's own
			name = "proc/self/net/" + table.file
		}
		err := h.Lines(name, func(line string) bool {
			if local, ok := parseSocket(line, table.proto); ok {
				unit := cmp.Or(units[socketKey{table.proto, local}], "listening")
				s.Fact(Path("port", table.proto, local.String()), unit)
			}
			return true
		})
		switch {
		case err == nil:
			found++
		case errors.Is(err, fs.ErrPermission):
			s.Denied(name)
		case !Absent(err):
			return err
		}
	}
	if found == 0 {
		return fs.ErrNotExist
	}
	return nil
}

// parseSocket reads a line of /proc/net/{tcp,udp}{,6} (proc_pid_net(5)):
//
//	sl local_address rem_address st …
//
// It gives the local address of a listening TCP socket (state 0A) or of a UDP
// socket that is not connected (state 07), below the ephemeral ports.
func parseSocket(line, proto string) (netip.AddrPort, bool) {
	f := strings.Fields(line)
	want := "0A"
	if proto == "udp" {
		want = "07"
	}
	if len(f) < 4 || f[3] != want {
		return netip.AddrPort{}, false
	}
	local, ok := parseKernelAddr(f[1])
	remote, ok2 := parseKernelAddr(f[2])
	if !ok || !ok2 || local.Port() == 0 || local.Port() >= ephemeral || remote.Port() != 0 {
		return netip.AddrPort{}, false
	}
	return local, true
}

// parseKernelAddr reads "0100007F:0016": the address as words of four bytes in
// the order of the processor, which is little-endian on all that Debian Edu runs
// on, then the port.
func parseKernelAddr(s string) (netip.AddrPort, bool) {
	a, p, ok := strings.Cut(s, ":")
	port, err := strconv.ParseUint(p, 16, 16)
	raw, err2 := hex.DecodeString(a)
	if !ok || err != nil || err2 != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for word := range slices.Chunk(raw, 4) {
		slices.Reverse(word)
	}
	addr, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr, uint16(port)), ok
}
