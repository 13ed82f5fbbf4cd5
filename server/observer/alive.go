package observer

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/fact"
)

// seen is the measurement of which machines an observer has heard of since its look
// before; the agent's collector of clients describes its form.
const seen = "m/client/seen"

// heard is what an observer measured, and when it was told.
type heard struct {
	measured string
	at       time.Time
}

// Told takes what a CI measured, with a report or without one: whom it has heard of
// since was there until now.
func (s *Service) Told(ci string, measured []byte) {
	if s.Most == 0 || !bytes.Contains(measured, []byte(seen)) {
		return
	}
	set, err := fact.DecodeSet(measured)
	if err != nil {
		return // it was refused, or says nothing
	}
	v, _ := set.Get(seen)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.heard == nil {
		s.heard = map[string]heard{}
	}
	if _, known := s.heard[ci]; !known && len(s.heard) >= maxHeard || len(v) > maxClients/4+100 {
		return
	}
	s.heard[ci] = heard{v, s.Now()}
	if o := s.watch[ci]; o != nil {
		s.apply(o, s.heard[ci])
	}
}

// apply notes who was heard of, if the measurement is of the machines that the facts
// tell of; else it is of those that a later report tells of.
func (s *Service) apply(o *observer, h heard) {
	bits, ok := bitsOf(h.measured, o.macs)
	if !ok {
		return
	}
	for i := range o.macs {
		if bits[i/8]&(1<<(i%8)) == 0 {
			continue
		}
		o.last[i] = h.at
		if o.ids[i] != "" {
			s.Presence.Heard(o.ids[i], h.at)
		}
	}
}

// bitsOf reads a measurement: how many machines, the CRC-32 of their addresses, and a
// bit for each.
func bitsOf(v string, macs []string) ([]byte, bool) {
	f := strings.Fields(v)
	if len(f) != 3 || f[0] != strconv.Itoa(len(macs)) || f[1] != fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(strings.Join(macs, "")))) {
		return nil, false
	}
	bits, err := hex.DecodeString(f[2])
	return bits, err == nil && len(bits) == (len(macs)+7)/8
}
