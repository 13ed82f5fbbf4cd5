package collect

import (
	"encoding/hex"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxLeases bounds the addresses whose leases one server's files tell of.
const maxLeases = 65_536

// forever is when a lease ends that never does.
const forever = math.MaxInt64

// clientLease is what a DHCP server has given to a client. Times are seconds since
// 1970.
type clientLease struct {
	ip, mac, name string
	renewed, ends int64
	given         bool // and not taken back
}

// holds tells whether the client may use the address now.
func (l clientLease) holds(now time.Time) bool { return l.given && l.ends > now.Unix() }

// leaseTable is what the files of one server say in the end: of each address the last
// entry counts.
type leaseTable struct {
	now    time.Time
	leases map[string]clientLease // by address
	boots  map[string]bool        // cards whose machine has asked to boot from the network
	crowd  int                    // addresses beyond maxLeases

	bad, badLine int // entries that make no sense, and the line of the first
}

func (t *leaseTable) put(l clientLease) {
	if _, known := t.leases[l.ip]; !known && len(t.leases) >= maxLeases {
		t.crowd++
		return
	}
	t.leases[l.ip] = l
}

func (t *leaseTable) asksToBoot(mac string) {
	if len(t.boots) < maxLeases {
		t.boots[mac] = true
	}
}

func (t *leaseTable) wrong(line int) {
	if t.bad++; t.bad == 1 {
		t.badLine = line
	}
}

// cardOf gives the address of an Ethernet card in its usual form, "" for what is
// none.
func cardOf(s string) string {
	hw, err := net.ParseMAC(s)
	if err != nil || len(hw) != 6 {
		return ""
	}
	return hw.String()
}

// bootClient tells whether a client identifier is one that firmware makes when it
// boots from the network: type 0 and the 16 bytes of the SMBIOS UUID (RFC 4578
// section 2.3 together with the PXE specification 2.1, option 61).
func bootClient(id []byte) bool { return len(id) == 17 && id[0] == 0 }

// bootClass tells the same of a vendor class (PXE specification 2.1, UEFI 2.5
// section 23.7).
func bootClass(class string) bool {
	return strings.HasPrefix(class, "PXEClient") || strings.HasPrefix(class, "HTTPClient")
}

// colonHex reads "01:b8:2a".
func colonHex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, ":", ""))
	if err != nil {
		return nil
	}
	return b
}

// dnsmasqReader reads dnsmasq.leases: when the lease ends, card, address, name and
// client identifier, "*" for what is not known (dnsmasq(8), dhcp-leasefile, and
// src/lease.c). After a line that begins with "duid" come leases of IPv6, which name
// no card.
type dnsmasqReader struct{ six bool }

func (r *dnsmasqReader) line(t *leaseTable, n int, text string) {
	f := strings.Fields(text)
	switch {
	case len(f) == 0:
		return
	case f[0] == "duid":
		r.six = true
	}
	if r.six {
		return
	}
	if len(f) < 5 {
		t.wrong(n)
		return
	}
	ends, err := strconv.ParseInt(f[0], 10, 64)
	mac := f[1]
	if kind, rest, prefixed := strings.Cut(mac, "-"); prefixed {
		if mac = rest; kind != "01" { // another kind of network
			return
		}
	}
	if mac = cardOf(mac); err != nil || ends < 0 || mac == "" {
		t.wrong(n)
		return
	}
	l := clientLease{ip: f[2], mac: mac, name: f[3], renewed: ends, ends: ends, given: true}
	if ends == 0 {
		l.ends = forever
	}
	t.put(l)
	if bootClient(colonHex(f[4])) {
		t.asksToBoot(mac)
	}
}

func (r *dnsmasqReader) end(*leaseTable, int) {}

// keaFiles gives the files of Kea's memfile back end in the order in which Kea itself
// reads them (Kea Administrator Reference Manual, "Why Is Lease File Cleanup
// Necessary?"): while old entries are cleaned out there are several.
func keaFiles(h Host) []string {
	const name = "var/lib/kea/kea-leases4.csv"
	if h.Exists(name + ".completed") {
		return []string{name + ".completed", name}
	}
	return []string{name + ".2", name + ".1", name}
}

// keaReader reads a lease file of Kea: a first line that names the columns, then one
// line for each change of a lease. A comma in a value is written as &#x2c.
type keaReader struct{ column map[string]int }

func (r *keaReader) line(t *leaseTable, n int, text string) {
	if text == "" {
		return
	}
	f := strings.Split(text, ",")
	if r.column == nil {
		r.column = map[string]int{}
		for i, name := range f[:min(len(f), 50)] {
			r.column[strings.TrimSpace(name)] = i
		}
		for _, name := range []string{"address", "hwaddr", "client_id", "valid_lifetime", "expire", "hostname", "state"} {
			if _, ok := r.column[name]; !ok {
				t.wrong(n)
			}
		}
		return
	}
	value := func(name string) string {
		if i, ok := r.column[name]; ok && i < len(f) {
			return f[i]
		}
		return ""
	}
	lifetime, err := strconv.ParseInt(value("valid_lifetime"), 10, 64)
	expire, err2 := strconv.ParseInt(value("expire"), 10, 64)
	state := value("state")
	mac := cardOf(value("hwaddr"))
	if err != nil || err2 != nil || lifetime < 0 || expire < 0 || len(f) < len(r.column) || state == "" || mac == "" && value("hwaddr") != "" {
		t.wrong(n)
		return
	}
	// State 0 is an ordinary lease; a lifetime of 0 is one that was taken away.
	t.put(clientLease{
		ip: value("address"), mac: mac, name: strings.TrimSuffix(value("hostname"), "."),
		renewed: max(0, expire-lifetime), ends: expire, given: state == "0" && lifetime > 0 && mac != "",
	})
	if mac != "" && bootClient(colonHex(value("client_id"))) {
		t.asksToBoot(mac)
	}
}

func (r *keaReader) end(*leaseTable, int) {}

// iscReader reads dhcpd.leases(5) of ISC: blocks "lease ADDRESS { … }", of which the
// last for an address counts. dhcpd appends them and begins each in the first column,
// so a block that was not written to its end damages no other.
type iscReader struct {
	begun int      // line at which the outermost block begins
	depth int      // of braces
	words []string // of the statement so far
	block *iscBlock
}

// iscBlock is a lease that is being read.
type iscBlock struct {
	clientLease
	boots  bool
	state  bool // it says whether it is given
	broken bool
}

// maxWords bounds the words of one statement that are looked at.
const maxWords = 8

func (r *iscReader) line(t *leaseTable, n int, text string) {
	if strings.HasPrefix(text, "lease ") && (r.depth > 0 || len(r.words) > 0) {
		t.wrong(r.begun)
		*r = iscReader{}
	}
	for text != "" {
		var word string
		var quoted, ok bool
		if word, quoted, text, ok = iscWord(text); !ok {
			if r.block != nil {
				r.block.broken = true
			}
			return
		}
		switch {
		case quoted:
			r.add(word)
		case word == "":
		case word == "{":
			r.open(n)
		case word == "}":
			r.close(t, n)
		case word == ";":
			if r.depth == 1 && r.block != nil {
				r.block.statement(r.words)
			}
			r.words = r.words[:0]
		default:
			r.add(word)
		}
	}
}

func (r *iscReader) add(word string) {
	if len(r.words) < maxWords {
		r.words = append(r.words, strings.Clone(word))
	}
}

func (r *iscReader) open(n int) {
	if r.depth++; r.depth == 1 {
		r.begun = n
		if len(r.words) == 2 && r.words[0] == "lease" {
			r.block = &iscBlock{clientLease: clientLease{ip: r.words[1]}}
		}
	}
	r.words = r.words[:0]
}

func (r *iscReader) close(t *leaseTable, n int) {
	unfinished := len(r.words) > 0
	r.words = r.words[:0]
	if r.depth == 0 {
		t.wrong(n)
		return
	}
	if r.depth--; r.depth > 0 || r.block == nil {
		return
	}
	b := *r.block
	if r.block = nil; b.broken || unfinished {
		t.wrong(r.begun)
		return
	}
	if b.mac == "" {
		b.given = false
	} else if b.boots {
		t.asksToBoot(b.mac)
	}
	t.put(b.clientLease)
}

func (r *iscReader) end(t *leaseTable, _ int) {
	if r.depth > 0 || len(r.words) > 0 {
		t.wrong(max(1, r.begun))
	}
}

// statement reads one statement of a lease. Times are in UTC.
func (b *iscBlock) statement(words []string) {
	rest := strings.Join(words[min(1, len(words)):], " ")
	word := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	switch word(0) {
	case "starts", "cltt":
		at, ok := iscTime(rest)
		b.broken = b.broken || !ok
		b.renewed = max(b.renewed, at)
	case "ends":
		at, ok := iscTime(rest)
		b.broken = b.broken || !ok
		b.ends = at
		b.given = b.given || !b.state // before failover there were no states
	case "abandoned":
		b.state, b.given = true, false
	case "binding":
		b.state, b.given = true, rest == "state active"
	case "hardware":
		b.mac = cardOf(word(2))
		b.broken = b.broken || word(1) == "ethernet" && b.mac == ""
	case "client-hostname":
		b.name = word(1)
	case "uid":
		b.boots = b.boots || bootClient([]byte(word(1))) || bootClient(colonHex(word(1)))
	case "set":
		b.boots = b.boots || word(1) == "vendor-class-identifier" && bootClass(word(3))
	}
}

// iscTime reads a time of a lease, "never" as forever.
func iscTime(s string) (seconds int64, ok bool) {
	if s == "never" {
		return forever, true
	}
	t := leaseTime(s)
	return t.Unix(), !t.IsZero()
}

// iscWord cuts the first word off a line: a string without its quotes and escapes, a
// brace, a semicolon, or what stands between blanks. A word that is empty and not
// quoted is none. It is not ok if a string has no end.
func iscWord(line string) (word string, quoted bool, rest string, ok bool) {
	line = strings.TrimLeft(line, " \t\r")
	if line == "" || line[0] == '#' {
		return "", false, "", true
	}
	switch line[0] {
	case '{', '}', ';':
		return line[:1], false, line[1:], true
	case '"':
		return iscString(line[1:])
	}
	end := strings.IndexAny(line, " \t\r{};\"")
	if end < 0 {
		end = len(line)
	}
	return line[:end], false, line[end:], true
}

// iscString reads a string after its first quote. dhcpd writes what is not printable
// as three octal digits.
func iscString(s string) (word string, quoted bool, rest string, ok bool) {
	var b []byte
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return string(b), true, s[i+1:], true
		case s[i] != '\\' || i+1 == len(s):
			b = append(b, s[i])
		case i+3 < len(s) && s[i+1] <= '3' && !slices.ContainsFunc([]byte(s[i+1:i+4]), func(c byte) bool { return !isOctal(c) }):
			b = append(b, (s[i+1]-'0')<<6|(s[i+2]-'0')<<3|(s[i+3]-'0'))
			i += 3
		default:
			i++
			b = append(b, s[i])
		}
	}
	return "", true, "", false
}
