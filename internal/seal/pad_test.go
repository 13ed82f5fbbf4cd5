package seal

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"filippo.io/age"
)

// frame is what age adds to a content of less than 64 KiB beside the header:
// nonce and one tag.
const frame = 16 + 16

func TestTheSizeOfSealedContentShowsInStepsOfOneKiB(t *testing.T) {
	ids, r := pair(t)
	_, public := GenerateIdentity()
	two, err := ParseRecipients(append(r.Names(), public))
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[int]int{}
	for n := 0; n <= 4*padStep; n += 37 {
		plain := bytes.Repeat([]byte{'x'}, n)
		sealed, err := two.Seal(plain)
		if err != nil {
			t.Fatal(err)
		}
		sizes[len(sealed)]++
		if got, err := Open(sealed, ids, int64(n)); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("%d bytes: got %d bytes, %v", n, len(got), err)
		}
	}
	header := len("age-encryption.org/v1\n") + 2*len("-> X25519 "+strings.Repeat("e", 43)+"\n"+strings.Repeat("b", 43)+"\n") +
		len("-> "+padStanza+" "+padV1+"\n\n") + len("--- "+strings.Repeat("m", 43)+"\n")
	for size := range sizes {
		if (size-header-frame)%padStep != 0 {
			t.Errorf("a sealed file has %d bytes, which is no multiple of %d beside the %d of its frame", size, padStep, header+frame)
		}
	}
	if len(sizes) != 5 {
		t.Errorf("contents of 0 to 4 KiB have %d sealed sizes, want 5", len(sizes))
	}
}

func TestWellAndBadlyCompressibleSecretsHaveTheSameSealedSize(t *testing.T) {
	_, r := pair(t)
	a, err := r.Seal(bytes.Repeat([]byte("a"), 5000))
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 5000)
	for i := range noise {
		noise[i] = byte(i * i >> 3)
	}
	b, err := r.Seal(noise)
	if err != nil || len(a) != len(b) {
		t.Errorf("%d and %d bytes, %v", len(a), len(b), err)
	}
}

// sealBare makes an age file as plain age does, with the padding line if asked
// for.
func sealBare(t testing.TB, content []byte, version string, public string) []byte {
	t.Helper()
	key, err := age.ParseX25519Recipient(public)
	if err != nil {
		t.Fatal(err)
	}
	var to age.Recipient = key
	if version != "" {
		to = otherMark{key, strings.Fields(version)}
	}
	var b bytes.Buffer
	w, err := age.Encrypt(&b, to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type otherMark struct {
	age.Recipient
	args []string
}

func (o otherMark) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	stanzas, err := o.Recipient.Wrap(fileKey)
	return append(stanzas, &age.Stanza{Type: padStanza, Args: o.args}), err
}

func TestPaddingIsTakenOffOnlyWhereTheHeaderSaysSo(t *testing.T) {
	private, public := GenerateIdentity()
	ids, err := ParseIdentities(strings.NewReader(private))
	if err != nil {
		t.Fatal(err)
	}
	padded, err := pad([]byte("psk=x\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, version string
		content       []byte
		want          string // empty: refused
	}{
		{"sealed before there was padding", "", []byte("psk=x\n"), "psk=x\n"},
		{"a gzip file of the machine itself", "", padded, string(padded)},
		{"padded", "1", padded, "psk=x\n"},
		{"a newer version", "2", padded, ""},
		{"no version", "1 1", padded, ""},
		{"not padded though it says so", "1", []byte("psk=x\n"), ""},
		{"something behind it", "1", append(bytes.Clone(padded), 0), ""},
		{"another member behind it", "1", append(bytes.Clone(padded), padded...), ""},
		{"cut", "1", padded[:len(padded)-1], ""},
		{"a changed sum", "1", append(bytes.Clone(padded[:len(padded)-8]), 0, 0, 0, 0, 6, 0, 0, 0), ""},
	} {
		got, err := Open(sealBare(t, tt.content, tt.version, public), ids, 1<<20)
		if string(got) != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: got %d bytes, %v", tt.name, len(got), err)
		}
	}
}

func TestHybridRecipientsArePaddedToo(t *testing.T) {
	a, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	b, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseRecipients([]string{a.Recipient().String(), b.Recipient().String()})
	if err != nil {
		t.Fatal(err)
	}
	small, err := r.Seal([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	larger, err := r.Seal(bytes.Repeat([]byte("x"), 800))
	if err != nil || len(small) != len(larger) {
		t.Errorf("%d and %d bytes, %v", len(small), len(larger), err)
	}
}

func TestGunzipOfDebianTakesThePaddingOff(t *testing.T) {
	for _, n := range []int{0, 1, 1000, 1024, 70_000} {
		plain := bytes.Repeat([]byte("\x00y"), n)
		padded, err := pad(plain)
		if err != nil {
			t.Fatal(err)
		}
		if len(padded)%padStep != 0 {
			t.Errorf("%d bytes are padded to %d", n, len(padded))
		}
		c := exec.CommandContext(t.Context(), "gunzip")
		c.Stdin = bytes.NewReader(padded)
		if got, err := c.Output(); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("gunzip gave %d bytes of %d, %v", len(got), len(plain), err)
		}
	}
}

// FuzzUnpad: no bytes make unpad panic or exceed the limit.
func FuzzUnpad(f *testing.F) {
	padded, err := pad([]byte("psk=x"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(padded)
	f.Add(padded[:20])
	f.Add([]byte("\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff\x04\x00RP\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 100
		if got, err := unpad(bytes.NewReader(b), padV1, limit); len(got) > limit || err != nil && got != nil {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
	})
}
