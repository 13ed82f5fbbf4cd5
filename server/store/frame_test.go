package store

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestUnframeFindsEveryFlippedBitOfKeyAndValue(t *testing.T) {
	k := At(Record, "t/site/", "elm")
	payload := []byte("some payload that is a little longer than a word")
	v := Frame(k, 3, payload)
	version, got, err := Unframe(k, v)
	if version != 3 || !bytes.Equal(got, payload) || err != nil {
		t.Fatalf("Unframe = %d, %q, %v, want what was framed", version, got, err)
	}
	for i := range 8 * len(v) {
		flipped := bytes.Clone(v)
		flipped[i/8] ^= 1 << (i % 8)
		if _, _, err := Unframe(k, flipped); !errors.Is(err, ErrCorrupt) {
			t.Errorf("value with bit %d flipped: Unframe = %v, want ErrCorrupt", i, err)
		}
	}
	for i := range 8 * len(k.K) {
		other := Key{k.Space, bytes.Clone(k.K)}
		other.K[i/8] ^= 1 << (i % 8)
		if _, _, err := Unframe(other, v); !errors.Is(err, ErrCorrupt) {
			t.Errorf("key with bit %d flipped: Unframe = %v, want ErrCorrupt", i, err)
		}
	}
	for n := range len(v) {
		if _, _, err := Unframe(k, v[:n]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("value cut to %d bytes: Unframe = %v, want ErrCorrupt", n, err)
		}
	}
	if _, _, err := Unframe(Key{CI, k.K}, v); !errors.Is(err, ErrCorrupt) {
		t.Errorf("same key in another space: Unframe = %v, want ErrCorrupt", err)
	}
}

func TestCorruptErrorNamesTheRecord(t *testing.T) {
	k := At(Event, "t/\x00\x1b[31m")
	_, _, err := Unframe(k, []byte("short"))
	var c *CorruptError
	if !errors.As(err, &c) || c.Key.String() != k.String() {
		t.Fatalf("Unframe = %v, want a CorruptError with the key", err)
	}
	if s := err.Error(); !strings.Contains(s, `event "t/\x00\x1b[31m"`) || !strings.Contains(s, "backup") {
		t.Errorf("message %q, want the key escaped and what to do", s)
	}
}

func FuzzUnframe(f *testing.F) {
	k := At(CI, "t/k")
	f.Add([]byte("t/k"), Frame(k, 1, []byte("payload")))
	f.Fuzz(func(t *testing.T, name, v []byte) {
		k := Key{CI, name}
		version, payload, err := Unframe(k, v)
		if err == nil && !bytes.Equal(Frame(k, version, payload), v) {
			t.Errorf("Frame(Unframe(%q)) differs", v)
		}
	})
}

func TestEntriesComeBackAsTheyWere(t *testing.T) {
	k := feedKey("lane", 7)
	for _, e := range []entry{
		{at: time.UnixMilli(0)},
		{void: true, at: time.UnixMilli(1_700_000_000_123)},
		{at: time.UnixMilli(-5), dirty: []string{"a", strings.Repeat("b", 300), "c"}},
	} {
		got, err := decodeEntry(k, e.encode(k))
		if err != nil || got.void != e.void || !got.at.Equal(e.at) || !slices.Equal(got.dirty, e.dirty) {
			t.Errorf("decodeEntry(encode(%v)) = %v, %v", e, got, err)
		}
	}
	lane, n, ok := parseFeedKey(k.K)
	if lane != "lane" || n != 7 || !ok {
		t.Errorf("parseFeedKey = %q, %d, %v, want lane, 7, true", lane, n, ok)
	}
	for _, bad := range []string{"", "_", "_/", "_/lane", "_/lane/1234567", "_/lane/123456789", "_//12345678", "t/lane/12345678"} {
		if _, _, ok := parseFeedKey([]byte(bad)); ok {
			t.Errorf("parseFeedKey(%q) is ok, want not", bad)
		}
	}
}

func FuzzDecodeEntry(f *testing.F) {
	k := feedKey("lane", 1)
	_, body, _ := Unframe(k, entry{at: time.UnixMilli(5), dirty: []string{"ci1", "ci2"}}.encode(k))
	f.Add(body)
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeEntry(k, Frame(k, recordV1, b))
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("decodeEntry = %v, want ErrCorrupt", err)
		}
		if err == nil {
			again, err := decodeEntry(k, e.encode(k))
			if err != nil || !slices.Equal(again.dirty, e.dirty) || !again.at.Equal(e.at) || again.void != e.void {
				t.Errorf("decodeEntry(encode(%v)) = %v, %v", e, again, err)
			}
		}
	})
}

func TestTokensComeBackAsTheyWere(t *testing.T) {
	for _, tok := range []Token{{}, {"lane", 1}, {"X7K", 1<<64 - 1}} {
		if got, err := ParseToken(tok.String()); got != tok || err != nil {
			t.Errorf("ParseToken(%q) = %v, %v, want %v", tok.String(), got, err, tok)
		}
	}
	for _, bad := range []string{":", "lane", "lane:", "lane:0", ":1", "lane:-1", "lane:x", "a/b:1", "lane:18446744073709551616", strings.Repeat("x", 65) + ":1"} {
		if _, err := ParseToken(bad); err == nil {
			t.Errorf("ParseToken(%q) = nil, want an error", bad)
		}
	}
}

func TestPrefixEndIsTheFirstKeyAfter(t *testing.T) {
	for _, tt := range []struct{ prefix, want string }{
		{"t/", "t0"},
		{"a\xff\xff", "b"},
		{"a", "b"},
	} {
		if got := PrefixEnd([]byte(tt.prefix)); string(got) != tt.want {
			t.Errorf("PrefixEnd(%q) = %q, want %q", tt.prefix, got, tt.want)
		}
	}
	if got := PrefixEnd([]byte("\xff\xff")); got != nil {
		t.Errorf("PrefixEnd of 0xffff = %q, want none", got)
	}
	if got := PrefixEnd(nil); got != nil {
		t.Errorf("PrefixEnd of nothing = %q, want none", got)
	}
}

func TestUnpackFindsWhatTheChecksumsOfChunksCannot(t *testing.T) {
	for claim, content := range map[string][]byte{"compressed": bytes.Repeat([]byte("abc"), 100), "plain": []byte("abc")} {
		p, err := Pack(content)
		if err != nil {
			t.Fatalf("Pack: %v", err)
		}
		if got, reason := unpack(p.head, p.body); !bytes.Equal(got, content) || reason != "" {
			t.Errorf("%s: unpack(Pack) = %q, %q", claim, got, reason)
		}
		for i := range p.head {
			head := bytes.Clone(p.head)
			head[i] ^= 1
			if got, reason := unpack(head, p.body); reason == "" {
				t.Errorf("%s: head with byte %d changed: unpack = %q, want a reason", claim, i, got)
			}
		}
		if got, reason := unpack(p.head, append(bytes.Clone(p.body), 0)); reason == "" {
			t.Errorf("%s: body with a byte more: unpack = %q, want a reason", claim, got)
		}
	}
}
