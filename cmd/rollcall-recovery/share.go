package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"rollcall/internal/identity"
	"rollcall/internal/seal"
)

// A share on paper is twelve numbered lines of five words. The fifth word of a
// line is a checksum of the line, so that a typing error is found where it was
// made. Each of the other 48 words is one byte:
//
//	 0     version 1 in the upper half, kind of key in the lower
//	 1-4   set: four random bytes, the same in all shares of one splitting
//	 5     k, how many shares restore the key
//	 6     n, how many there are
//	 7     x, which one this is
//	 8-11  first bytes of the SHA-256 of the recipient's text
//	12-43  the share of the private key
//	44-47  first bytes of the SHA-256 of all of the above
//
// A form that was printed stays readable: another one gets another version.
const (
	shareVersion = 1
	secretSize   = 32
	shareSize    = 48
	perLine      = 4
	shareLines   = shareSize / perLine
	maxShares    = 32
)

// kinds of keys, by the lower half of the first byte.
var kinds = []struct{ name, prefix string }{
	{"X25519", "age-secret-key-"},
	{"hybrid post-quantum", "age-secret-key-pq-"},
}

// share is one part of a private key.
type share struct {
	kind      byte
	set       [4]byte
	k, n, x   byte
	recipient [4]byte
	value     [secretSize]byte
}

func recipientSum(recipient string) [4]byte {
	sum := sha256.Sum256([]byte(recipient))
	return [4]byte(sum[:4])
}

func (s share) encode() []byte {
	b := append([]byte{shareVersion<<4 | s.kind}, s.set[:]...)
	b = append(b, s.k, s.n, s.x)
	b = append(b, s.recipient[:]...)
	b = append(b, s.value[:]...)
	sum := sha256.Sum256(b)
	return append(b, sum[:4]...)
}

func decodeShare(b []byte) (share, error) {
	if len(b) != shareSize {
		return share{}, fmt.Errorf("%d words, a share has %d", len(b), shareSize)
	}
	body, sum := b[:shareSize-4], sha256.Sum256(b[:shareSize-4])
	if !bytes.Equal(sum[:4], b[shareSize-4:]) {
		return share{}, errors.New("the checksum of the whole share does not fit: a line is missing, twice there, or damaged")
	}
	s := share{kind: body[0] & 15, set: [4]byte(body[1:5]), k: body[5], n: body[6], x: body[7], recipient: [4]byte(body[8:12]), value: [secretSize]byte(body[12:])}
	if body[0]>>4 != shareVersion || int(s.kind) >= len(kinds) {
		return share{}, errors.New("it was made by a newer version of this program")
	}
	if s.k < 2 || s.n < s.k || s.x == 0 || s.x > s.n {
		return share{}, fmt.Errorf("share %d of %d, of which %d are needed: there is no such share", s.x, s.n, s.k)
	}
	return s, nil
}

// setName shows which splitting a share is of.
func (s share) setName() string {
	text := hex.EncodeToString(s.set[:])
	return text[:4] + "-" + text[4:]
}

// lineCheck makes the fifth word of a line.
func lineCheck(number int, four []byte) byte {
	var b [1 + perLine]byte
	b[0] = byte(number)
	copy(b[1:], four)
	sum := sha256.Sum256(b[:])
	return sum[0]
}

// sheet is a share as it is printed.
func (s share) sheet(recipient string, at time.Time) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "ROLLCALL RECOVERY SHARE %d\n\n", s.x)
	fmt.Fprintf(&b, "Any %d of %d shares of the set %s restore a private key (%s)\n", s.k, s.n, s.setName(), kinds[s.kind].name)
	fmt.Fprintf(&b, "made %s for the recipient\n%s\n", at.UTC().Format(time.DateOnly), shown(recipient))
	fmt.Fprintf(&b, "whose words are %s.\n\n", identity.WordsOf([]byte(recipient)))
	b.WriteString("Keep it where nobody alone can reach enough of them. To use it: on a machine that\nis on no network run 'rollcall-recovery join' and type in what follows.\n\n")
	code := s.encode()
	for i := range shareLines {
		four := code[i*perLine : (i+1)*perLine]
		fmt.Fprintf(&b, "%2d", i+1)
		for _, c := range four {
			fmt.Fprintf(&b, "  %-9s", identity.Word(c))
		}
		fmt.Fprintf(&b, "  %s\n", identity.Word(lineCheck(i+1, four)))
	}
	return b.Bytes()
}

// shown is a recipient as it fits a page: a post-quantum one has 1,960 characters.
func shown(recipient string) string {
	if len(recipient) > 78 {
		return recipient[:60] + "…"
	}
	return recipient
}

// parseLine reads one numbered line of a sheet; the number may be left out.
func parseLine(number int, text string) ([]byte, error) {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("-,.", r) })
	if len(words) > 0 && words[0] == fmt.Sprint(number) {
		words = words[1:]
	}
	if len(words) != perLine+1 {
		return nil, fmt.Errorf("line %d: %d words, want %d", number, len(words), perLine+1)
	}
	var line [perLine + 1]byte
	for i, word := range words {
		b, ok := identity.ByteOf(word)
		if !ok {
			return nil, fmt.Errorf("line %d: word %d is none of the list%s", number, i+1, alike(word))
		}
		line[i] = b
	}
	if lineCheck(number, line[:perLine]) != line[perLine] {
		return nil, fmt.Errorf("line %d: a word is wrong, or two have changed places: the fifth word does not fit", number)
	}
	return line[:perLine], nil
}

// alike offers the words that begin as the unknown one does.
func alike(word string) string {
	if len(word) < 2 {
		return ""
	}
	var found []string
	for b := range 256 {
		if w := identity.Word(byte(b)); strings.HasPrefix(w, word[:min(len(word), 3)]) {
			found = append(found, w)
		}
	}
	if len(found) == 0 || len(found) > 4 {
		return ""
	}
	return "; did you mean " + strings.Join(found, " or ") + "?"
}

// splitIdentity makes the shares of a private key in text form.
func splitIdentity(private, recipient string, k, n int, random io.Reader) ([]share, error) {
	prefix, secret, err := bech32Decode(private)
	if err != nil {
		return nil, fmt.Errorf("read private key: %w", err)
	}
	defer clear(secret)
	kind := -1
	for i, known := range kinds {
		if known.prefix == prefix && len(secret) == secretSize {
			kind = i
		}
	}
	if kind < 0 {
		return nil, errors.New("read private key: a kind that cannot be split")
	}
	if n > maxShares {
		return nil, fmt.Errorf("%d shares: at most %d can be made", n, maxShares)
	}
	points, err := splitSecret(secret, k, n, random)
	if err != nil {
		return nil, err
	}
	var set [4]byte
	if _, err := io.ReadFull(random, set[:]); err != nil {
		return nil, fmt.Errorf("draw shares: %w", err)
	}
	shares := make([]share, n)
	for i, p := range points {
		shares[i] = share{byte(kind), set, byte(k), byte(n), p.x, recipientSum(recipient), [secretSize]byte(p.y)}
	}
	return shares, nil
}

// named is a share and where it came from, for errors.
type named struct {
	share
	from string
}

// fits tells what is wrong with a share beside those that are there.
func (s named) fits(others []named) error {
	for _, o := range others {
		switch {
		case s.set != o.set:
			return fmt.Errorf("%s: it is of the set %s, and %s of %s: shares of two splittings do not mix", s.from, s.setName(), o.from, o.setName())
		case s.kind != o.kind || s.k != o.k || s.n != o.n || s.recipient != o.recipient:
			return fmt.Errorf("%s: it does not belong to %s, although both say that they are of the set %s", s.from, o.from, s.setName())
		case s.x == o.x:
			return fmt.Errorf("%s: it is share %d, as %s", s.from, s.x, o.from)
		}
	}
	return nil
}

// joined is what shares give: a private key and its recipient.
type joined struct{ private, public string }

// joinShares puts shares together. Each of them must fit the others. With more
// than are needed, one that holds something else is found and named.
func joinShares(all []named) (joined, error) {
	for i, s := range all {
		if err := s.fits(all[:i]); err != nil {
			return joined{}, err
		}
	}
	if len(all) == 0 {
		return joined{}, errors.New("no shares")
	}
	k := int(all[0].k)
	if len(all) < k {
		return joined{}, fmt.Errorf("%d shares of the set %s are here, %d are needed", len(all), all[0].setName(), k)
	}
	points := make([]point, len(all))
	for i, s := range all {
		points[i] = point{s.x, s.value[:]}
	}
	for skip := -1; skip < len(points); skip++ {
		some := points[:k:k]
		if skip >= 0 { // leave one out: it may be the wrong one
			if len(points) == k {
				break
			}
			some = append(points[:skip:skip], points[skip+1:]...)[:k]
		}
		j, err := restored(all[0], some)
		if err != nil {
			continue
		}
		return j, strangers(all, some)
	}
	return joined{}, fmt.Errorf("the shares do not give the key that they are said to belong to: one of them is forged; with more than %d it can be found which", k)
}

// restored computes the key, and takes it only if it is the one that the shares
// name.
func restored(s named, points []point) (joined, error) {
	secret, err := valuesAt(0, points)
	if err != nil {
		return joined{}, err
	}
	defer clear(secret)
	private := strings.ToUpper(bech32Encode(kinds[s.kind].prefix, secret))
	ids, err := seal.ParseIdentities(strings.NewReader(private))
	if err != nil {
		return joined{}, err
	}
	public := ids.Recipients()[0]
	if recipientSum(public) != s.recipient {
		return joined{}, errors.New("another key")
	}
	return joined{private, public}, nil
}

// strangers names the shares that do not lie where the good ones say.
func strangers(all []named, good []point) error {
	var errs []error
	for _, s := range all {
		want, err := valuesAt(s.x, good)
		if err != nil {
			return err
		}
		if !bytes.Equal(want, s.value[:]) {
			errs = append(errs, fmt.Errorf("%s: share %d holds something else than the others say: it is forged", s.from, s.x))
		}
	}
	return errors.Join(errs...)
}

// sheetNumber reads the number that a line of a sheet begins with; 0 for none.
func sheetNumber(line string) int {
	fields := strings.Fields(line)
	if len(fields) != perLine+2 {
		return 0
	}
	n := 0
	if _, err := fmt.Sscanf(fields[0], "%d", &n); err != nil || fmt.Sprint(n) != fields[0] || n > shareLines {
		return 0
	}
	return n
}

// parseSheets reads the shares of a text; what is not a numbered line of words is
// left out. from names the text in errors.
func parseSheets(text, from string) ([]named, error) {
	var out []named
	var code []byte
	for line := range strings.Lines(text) {
		number := sheetNumber(line)
		if number == 0 {
			continue
		}
		where := from
		if len(out) > 0 {
			where = fmt.Sprintf("%s, share sheet %d", from, len(out)+1)
		}
		if number != len(code)/perLine+1 {
			return nil, fmt.Errorf("%s: line %d where line %d is due", where, number, len(code)/perLine+1)
		}
		four, err := parseLine(number, line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
		if code = append(code, four...); len(code) < shareSize {
			continue
		}
		s, err := decodeShare(code)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
		out, code = append(out, named{s, where}), nil
	}
	if len(code) > 0 {
		return nil, fmt.Errorf("%s: it ends after line %d of %d", from, len(code)/perLine, shareLines)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: there is no share in it", from)
	}
	return out, nil
}
