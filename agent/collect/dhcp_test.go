package collect

import (
	"testing"
	"time"
)

func TestTimesOfLeasesAreUnderstood(t *testing.T) {
	for text, want := range map[string]time.Time{
		"6 2026/11/28 05:17:51":                        time.Date(2026, 11, 28, 5, 17, 51, 0, time.UTC),
		"epoch 1795842000; # Sat Nov 28 05:00:00 2026": time.Unix(1795842000, 0).UTC(),
		"never":                   {},
		"":                        {},
		"epoch 99999999999999999": {},
		"6 2026/13/28 05:17:51":   {},
	} {
		if got := leaseTime(text); !got.Equal(want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestForeignServerIsNoFactUntilItIsSeenTwice(t *testing.T) {
	lease := func(server string) string {
		return "lease {\n  interface \"eth0\";\n  option dhcp-server-identifier " + server + ";\n  expire never;\n}\n"
	}
	look := func(server string, m Memory) Result {
		files := tree(map[string]string{"var/lib/dhcp/dhclient.leases": lease(server)})
		return new(Runner).Run(t.Context(), Host{FS: files, Now: time.Now}, []Collector{dhcpClients()}, m)
	}
	first := look("10.0.2.2", Memory{})
	second := look("192.168.1.1", first.Memory)
	third := look("192.168.1.1", second.Memory)
	for i, tt := range []struct {
		r    Result
		want string
	}{{first, "10.0.2.2"}, {second, "10.0.2.2"}, {third, "192.168.1.1"}} {
		if got, _ := tt.r.Facts.Get("dhcp/eth0/server"); got != tt.want {
			t.Errorf("look %d: %q, want %q", i+1, got, tt.want)
		}
	}
}

func FuzzDHCPClients(f *testing.F) {
	f.Add("lease {\n interface \"eth0\";\n option dhcp-server-identifier 10.0.2.2;\n expire 6 2026/11/28 05:17:51;\n}\n", "SERVER_ADDRESS=10.0.2.2\nROUTER=10.0.2.2\n", "[dhcp4]\ndhcp_server_identifier=10.0.2.2\n")
	f.Fuzz(func(t *testing.T, isc, networkd, manager string) {
		inert(t, tree(map[string]string{
			"var/lib/dhcp/dhclient.leases": isc, "run/systemd/netif/leases/2": networkd, "run/NetworkManager/devices/2": manager, "sys/class/net/eth0/ifindex": "2\n",
		}), dhcpClients())
	})
}
