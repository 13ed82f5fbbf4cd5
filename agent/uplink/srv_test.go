package uplink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"rollcall/internal/identity"
)

// zone answers for SRV records as name servers would.
type zone map[string][]*net.SRV

func (z zone) look(_ context.Context, name string) ([]*net.SRV, error) {
	records, ok := z[name]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return records, nil
}

func TestAServiceIsLookedForWhereTheMachineBelongs(t *testing.T) {
	z := zone{
		"_rollcall._tcp.intern.":      {{Target: "tjener.intern.", Port: 7465}, {Target: "backup.intern.", Port: 7466}},
		"_rollcall._tcp.elm.example.": {{Target: "cmdb.elm.example.", Port: 7465}},
		"_rollcall._tcp.none.":        {{Target: ".", Port: 0}},
		"_rollcall._tcp.evil.":        {{Target: "a b$(reboot).", Port: 7465}, {Target: "-\n.", Port: 1}, {Target: "good.evil.", Port: 1}},
	}
	tests := []struct {
		name      string
		addresses []string
		domains   []string
		want      []string
	}{
		{"in the machine's own domain", []string{Service}, []string{"intern"}, []string{"tjener.intern:7465", "backup.intern:7466"}},
		{"in the first that has one", []string{Service}, []string{"school.example", "intern", "elm.example"}, []string{"tjener.intern:7465", "backup.intern:7466"}},
		{"in the domain that is named", []string{Service + ".elm.example"}, []string{"intern"}, []string{"cmdb.elm.example:7465"}},
		{"beside an address", []string{"10.0.2.2:7465", Service}, []string{"intern"}, []string{"10.0.2.2:7465", "tjener.intern:7465", "backup.intern:7466"}},
		{"not beside an address that is known", []string{"10.0.2.2:7465", Service}, nil, []string{"10.0.2.2:7465"}},
		{"where a domain says that it has none", []string{Service}, []string{"none"}, nil},
		{"by a machine without a domain", []string{Service}, nil, nil},
		{"among names that are none", []string{Service}, []string{"evil"}, []string{"good.evil:1"}},
		{"not where there is no need", []string{"tjener:7465"}, []string{"intern"}, []string{"tjener:7465"}},
	}
	for _, tt := range tests {
		c := &Client{Addresses: tt.addresses, Domains: func() []string { return tt.domains }, LookupSRV: z.look}
		got, err := c.resolve(t.Context())
		if !slices.Equal(got, tt.want) || (err == nil) != (tt.want != nil) || err != nil && !errors.Is(err, ErrAway) {
			t.Errorf("%s: %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
	var many []*net.SRV
	for n := range 100 {
		many = append(many, &net.SRV{Target: fmt.Sprintf("s%d.", n), Port: 1})
	}
	c := &Client{Addresses: []string{Service + ".many"}, LookupSRV: zone{"_rollcall._tcp.many.": many}.look}
	if got, err := c.resolve(t.Context()); err != nil || len(got) != maxTargets {
		t.Errorf("of 100 answers %d are taken, %v", len(got), err)
	}
}

// A name server that lies leads to nobody who is believed.
func TestAnAnswerOfTheNameServersIsNoPin(t *testing.T) {
	f := &fake{}
	c := serve(t, f)
	host, port, err := net.SplitHostPort(c.Addresses[0])
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	c.Addresses = []string{Service + ".intern"}
	c.LookupSRV = zone{"_rollcall._tcp.intern.": {{Target: host + ".", Port: uint16(n)}}}.look
	connect(t, c)
	c.Pins = []string{"sha256:" + strings.Repeat("0", 64)}
	if _, err := c.Connect(t.Context()); !errors.Is(err, identity.ErrPin) {
		t.Errorf("another one: %v, want ErrPin", err)
	}
}

// FuzzTargets: whatever the name servers answer, an address is a host and a port.
func FuzzTargets(f *testing.F) {
	f.Add("tjener.intern.", uint16(7465))
	f.Add(".", uint16(0))
	f.Add("a b$(reboot).", uint16(1))
	f.Add("::1", uint16(1))
	f.Fuzz(func(t *testing.T, target string, port uint16) {
		for _, a := range targetsOf([]*net.SRV{{Target: target, Port: port}}) {
			host, p, err := net.SplitHostPort(a)
			if err != nil || host == "" || p != strconv.Itoa(int(port)) || strings.ContainsAny(a, " /%@\n") {
				t.Errorf("%q, %d gives %q, %v", target, port, a, err)
			}
		}
	})
}
