package collect

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
)

func firewall() Collector {
	return Collector{Name: "firewall", Owns: []string{"firewall/"}, Collect: collectFirewall}
}

// collectFirewall tells which tables of iptables' own kind are filled. Those of
// nftables, and all rules, the kernel tells only to who may change them
// (CAP_NET_ADMIN), which the agent may not: the files below /etc that they are
// loaded from are recorded, and the units that load them.
func collectFirewall(_ context.Context, h Host, s *Sink) error {
	found := false
	for _, family := range []string{"ip", "ip6"} {
		name := "proc/net/" + family + "_tables_names"
		if !h.Exists(name) { // "net" is a link to the process's own
			name = "proc/self/net/" + family + "_tables_names"
		}
		var tables []string
		err := h.Lines(name, func(line string) bool {
			tables = append(tables, strings.TrimSpace(line))
			return len(tables) < 16
		})
		switch {
		case errors.Is(err, fs.ErrPermission):
			s.Denied(name)
		case err != nil && !Absent(err):
			return err
		}
		found = found || len(tables) > 0
		slices.Sort(tables)
		s.Fact(Path("firewall", family+"tables"), strings.Join(tables, " "))
	}
	return s.Found(found)
}
