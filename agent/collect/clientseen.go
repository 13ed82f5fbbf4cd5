package collect

import (
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
	"time"
)

// Clients is what is kept of the machines that were seen, from look to look, by the
// address of their card. It is plain data, to be saved by the agent as JSON.
type Clients map[string]Client

// Client is what is kept of one machine. Times are seconds since 1970.
type Client struct {
	First   int64  `json:"first"`             // look that saw it first
	Here    int64  `json:"here"`              // last look in which it had a lease or a mount
	Renewed int64  `json:"renewed,omitempty"` // of its newest lease
	Name    string `json:"name,omitempty"`
	Next    string `json:"next,omitempty"` // another name that one look has shown
	Leased  bool   `json:"leased,omitempty"`
	Mounts  bool   `json:"mounts,omitempty"`
	Boots   bool   `json:"boots,omitempty"`
	Told    bool   `json:"told,omitempty"` // two looks have seen it

	fresh bool // it was heard of since the look before
}

// A machine that is not seen any more is kept for as long as it was known, within
// these bounds: what came for a day is soon gone, what stands in a classroom lasts
// over the holidays.
const (
	shortKept = 7 * 24 * time.Hour
	longKept  = 90 * 24 * time.Hour
	// apart is how far apart two looks are that both count.
	apart = time.Minute
)

// Clients gives what is kept of the machines that were seen.
func (c *Cache) Clients() Clients {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(Clients, len(c.clients))
	maps.Copy(out, c.clients)
	return out
}

// SetClients takes what Clients gave.
func (c *Cache) SetClients(seen Clients) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clients = seen
}

// take adds what a look saw and drops what was not seen for long. It returns how many
// machines there was no room for: those that are known stay.
func (c Clients) take(sights map[string]*sight, now time.Time) (beyond int) {
	for mac, known := range c {
		known.fresh = false
		c[mac] = known
		if sights[mac] != nil {
			continue
		}
		kept := min(max(time.Duration(known.Here-known.First)*time.Second, shortKept), longKept)
		if !known.Told || now.Sub(time.Unix(known.Here, 0)) > kept {
			delete(c, mac)
		}
	}
	for _, mac := range slices.Sorted(maps.Keys(sights)) {
		s := sights[mac]
		if !s.leased && !s.mounts {
			continue
		}
		known, ok := c[mac]
		if !ok && len(c) >= maxClients {
			beyond++
			continue
		}
		c[mac] = known.next(s, now, !ok)
	}
	return beyond
}

// next gives what is kept after a look has seen the machine.
func (k Client) next(s *sight, now time.Time, first bool) Client {
	at := now.Unix()
	if first {
		k.First = at
	}
	k.Told = k.Told || !first && now.Sub(time.Unix(k.First, 0)) >= apart
	k.fresh = first || s.alive || s.renewed > k.Renewed
	k.Here, k.Renewed = max(k.Here, at), max(k.Renewed, s.renewed)
	k.Leased, k.Mounts, k.Boots = k.Leased || s.leased, k.Mounts || s.mounts, k.Boots || s.boots
	slices.Sort(s.names)
	switch {
	case len(s.names) == 0 || slices.Contains(s.names, k.Name):
		k.Next = "" // firmware asks without a name: that is no change
	case k.Name == "" || k.Next == s.names[0]:
		k.Name, k.Next = s.names[0], ""
	default:
		k.Next = s.names[0]
	}
	return k
}

// told lists the machines that two looks have seen, in the order of their facts.
func (c Clients) told() (macs []string) {
	for _, mac := range slices.Sorted(maps.Keys(c)) {
		if c[mac].Told {
			macs = append(macs, mac)
		}
	}
	return macs
}

// facts puts what stands still.
func (c Clients) facts(s *Sink) {
	for _, mac := range c.told() {
		k := c[mac]
		var by []string
		if k.Leased {
			by = append(by, "leases")
		}
		if k.Mounts {
			by = append(by, "nfs")
		}
		s.Fact(Path("client", mac, "by"), strings.Join(by, " "))
		s.Fact(Path("client", mac, "name"), k.Name)
		if k.Boots {
			s.Fact(Path("client", mac, "boot"), "network")
		}
	}
}

// fresh says which of the machines that are told of were heard of since the look
// before: their number, a CRC-32 of their addresses, by which the reader sees that it
// counts the same ones, and one bit for each in the order of the facts, the first one
// the lowest of the first byte.
func (c Clients) fresh() string {
	macs := c.told()
	if len(macs) == 0 {
		return ""
	}
	bits := make([]byte, (len(macs)+7)/8)
	for i, mac := range macs {
		if c[mac].fresh {
			bits[i/8] |= 1 << (i % 8)
		}
	}
	return fmt.Sprintf("%d %08x %x", len(macs), crc32.ChecksumIEEE([]byte(strings.Join(macs, ""))), bits)
}
