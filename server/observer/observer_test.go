package observer

import (
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"rollcall/internal/fact"
)

func TestOnlyAddressesOfRealCardsAreTaken(t *testing.T) {
	for s, want := range map[string]bool{
		"00:16:3e:00:00:0a": true, "b8:2a:72:11:22:33": true,
		"02:16:3e:00:00:0a": false, "01:00:5e:00:00:01": false, "00:00:00:00:00:00": false, "ff:ff:ff:ff:ff:ff": false,
		"00:16:3E:00:00:0A": false, "00-16-3e-00-00-0a": false, "0016.3e00.000a": false, "00:16:3e:00:00:0a:0b:0c": false, "": false, "x": false,
	} {
		if got := card(s) != ""; got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
	}
}

func TestClientsAreTakenUpToABound(t *testing.T) {
	var facts []fact.Fact
	for i := range maxClients + 100 {
		facts = append(facts, fact.Fact{Path: fmt.Sprintf("client/00:16:3e:00:%02x:%02x/by", i>>8, i&255), Value: "leases"})
	}
	if n := len(clientsOf(fact.NewSet(facts))); n != maxClients {
		t.Errorf("%d clients, want %d", n, maxClients)
	}
}

func FuzzClients(f *testing.F) {
	f.Add("client/00:16:3e:00:00:0a/by", "leases", "1 8b0b4b2c 01")
	f.Add("client/x/name", "tc05", "4096 00000000 ff")
	f.Fuzz(func(t *testing.T, path, value, measured string) {
		set := fact.Set{{Path: path, Value: value}}
		all := clientsOf(set)
		var macs []string
		for _, c := range all {
			if len(c.by) > 40 {
				t.Errorf("%d bytes of what it is seen by", len(c.by))
			}
			macs = append(macs, c.mac)
		}
		if bits, ok := bitsOf(measured, macs); ok && len(bits) != (len(macs)+7)/8 {
			t.Errorf("%d bytes of bits for %d machines", len(bits), len(macs))
		}
		want := fmt.Sprintf("%d %08x ", len(macs), crc32.ChecksumIEEE([]byte(strings.Join(macs, "")))) + strings.Repeat("00", (len(macs)+7)/8)
		if _, ok := bitsOf(want, macs); len(macs) > 0 && !ok {
			t.Errorf("%q is not understood", want)
		}
	})
}
