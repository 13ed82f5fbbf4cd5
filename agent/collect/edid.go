package collect

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

func monitor() Collector {
	return Collector{Name: "monitor", Owns: []string{"hw/monitor/"}, Collect: collectMonitors}
}

// collectMonitors decodes the EDID of each connector that has a monitor. The
// block itself goes along: makers differ in where they put the serial that is
// printed on the case, and the server may know better some day.
func collectMonitors(_ context.Context, h Host, s *Sink) error {
	const dir = "sys/class/drm"
	names, err := h.Names(dir)
	if err != nil {
		return err
	}
	connectors := map[string]int{}
	for _, name := range names {
		connectors[connector(name)]++
	}
	var bad error
	for _, name := range names {
		short := connector(name)
		if short == "" {
			continue
		}
		block, err := h.ReadHead(dir+"/"+name+"/edid", edidSize)
		if errors.Is(err, fs.ErrPermission) {
			s.Denied(dir + "/" + name + "/edid")
		}
		if err != nil || len(block) == 0 {
			continue // nothing is plugged in
		}
		if connectors[short] > 1 {
			short = name
		}
		e, err := parseEDID(block)
		if err != nil {
			bad = fmt.Errorf("%s: %w", name, err)
			continue
		}
		e.facts(s, short)
	}
	return bad
}

// connector drops the number of the graphics card from "card0-HDMI-A-1": it
// depends on which driver was first. It is "" for what is no connector.
func connector(name string) string {
	card, rest, ok := strings.Cut(name, "-")
	if !ok || !strings.HasPrefix(card, "card") {
		return ""
	}
	return rest
}

// edidSize is the length of the base block (VESA E-EDID Standard A.2).
const edidSize = 128

// edid is what the base block tells about a monitor.
type edid struct {
	raw        []byte
	vendor     string // three letters, registered with UEFI
	product    uint16
	number     uint32 // serial number of the header
	week, year int
	width      int // cm
	height     int
	name       string // text descriptor 0xFC
	serial     string // text descriptor 0xFF
	text       string // text descriptors 0xFE, where makers of panels put their part number
}

// errEDID is wrapped by the errors of parseEDID.
var errEDID = errors.New("not an EDID base block")

// parseEDID reads a base block. The header must be right; a wrong checksum is
// left to pass, since cheap switches and adapters break it.
func parseEDID(b []byte) (edid, error) {
	if len(b) < edidSize || string(b[:8]) != "\x00\xff\xff\xff\xff\xff\xff\x00" {
		return edid{}, errEDID
	}
	b = b[:edidSize]
	letters := binary.BigEndian.Uint16(b[8:])
	e := edid{
		raw:     b,
		product: binary.LittleEndian.Uint16(b[10:]),
		number:  binary.LittleEndian.Uint32(b[12:]),
		week:    int(b[16]),
		year:    1990 + int(b[17]),
		width:   int(b[21]),
		height:  int(b[22]),
	}
	for shift := 10; shift >= 0; shift -= 5 {
		e.vendor += string(rune('@' + letters>>shift&31))
	}
	for at := 54; at < 126; at += 18 {
		d := b[at : at+18]
		if d[0] != 0 || d[1] != 0 {
			continue // a timing
		}
		switch d[3] {
		case 0xfc:
			e.name += edidText(d[5:]) // a long name takes two
		case 0xff:
			e.serial = edidText(d[5:])
		case 0xfe:
			e.text = strings.TrimSpace(e.text + " " + edidText(d[5:]))
		}
	}
	return e, nil
}

// edidText reads a text descriptor, which ends with a newline or is full.
func edidText(b []byte) string {
	text, _, _ := strings.Cut(string(b), "\n")
	text, _, _ = strings.Cut(text, "\x00")
	return strings.TrimSpace(text)
}

func (e edid) facts(s *Sink, connector string) {
	put := func(what, value string) { s.Fact(Path("hw", "monitor", connector, what), value) }
	put("vendor", e.vendor)
	put("product", fmt.Sprintf("%04x", e.product))
	put("model", e.name)
	put("panel", real(e.text))
	put("serial", real(e.serial))
	put("number", e.serialNumber())
	if e.year > 1990 {
		made := strconv.Itoa(e.year)
		if e.week >= 1 && e.week <= 54 {
			made = fmt.Sprintf("%s-W%02d", made, e.week)
		}
		put("made", made)
	}
	if e.width > 0 && e.height > 0 {
		put("size", fmt.Sprintf("%dx%d cm", e.width, e.height))
	}
	put("edid", hex.EncodeToString(e.raw))
}

// serialNumber gives the header's number in hexadecimal, "" where the maker did
// not number its monitors.
func (e edid) serialNumber() string {
	switch e.number {
	case 0, 1, 0x01010101, 0xffffffff, 0x12345678, 0x20202020:
		return ""
	}
	return fmt.Sprintf("%08x", e.number)
}
