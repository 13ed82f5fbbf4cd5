package evidence

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/identity"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const origin = "rollcall/00/t"

// keyOf makes the same key from the same number in every run.
func keyOf(n byte) identity.Key {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func verifierOf(t testing.TB, k identity.Key) string {
	t.Helper()
	v, err := LogVerifier(origin, identity.Public(k))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func witnessOf(t testing.TB, name string, k identity.Key) Witness {
	t.Helper()
	w, err := NewWitness(name, identity.Public(k))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func signed(t testing.TB, c Checkpoint, k identity.Key) []byte {
	t.Helper()
	b, err := c.Sign(k)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCheckpointIsANoteOfC2SP(t *testing.T) {
	k, c := keyOf(1), Checkpoint{Origin: origin, Size: 7, Root: tlog.RecordHash([]byte("x"))}
	msg := signed(t, c, k)
	if want := fmt.Sprintf("rollcall/00/t\n7\n%s\n\n— rollcall/00/t ", c.Root); !strings.HasPrefix(string(msg), want) {
		t.Errorf("checkpoint is\n%s\nwant it to begin\n%s", msg, want)
	}
	// By the library alone, as others would verify it.
	v, err := note.NewVerifier(verifierOf(t, k))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(msg, note.VerifierList(v)); err != nil {
		t.Errorf("the library does not open it: %v", err)
	}
	if got, _, err := OpenCheckpoint(msg, verifierOf(t, k)); err != nil || got != c {
		t.Errorf("OpenCheckpoint = %+v, %v, want %+v", got, err, c)
	}
	name, pub, err := LogVerifierKey(verifierOf(t, k))
	if err != nil || name != origin || !pub.Equal(identity.Public(k)) {
		t.Errorf("LogVerifierKey = %q, %x, %v", name, pub, err)
	}
}

func TestCheckpointWithAnyFlippedBitIsRefused(t *testing.T) {
	k, wk := keyOf(1), keyOf(2)
	w := witnessOf(t, "auditor", wk)
	msg := signed(t, Checkpoint{Origin: origin, Size: 7, Root: tlog.RecordHash([]byte("x"))}, k)
	msg, err := Cosign(msg, verifierOf(t, k), "auditor", wk, day)
	if err != nil {
		t.Fatal(err)
	}
	want, cosigned, err := OpenCheckpoint(msg, verifierOf(t, k), w)
	if err != nil || len(cosigned) != 1 || cosigned[0].Witness.String() != w.String() || !cosigned[0].At.Equal(day) {
		t.Fatalf("OpenCheckpoint = %v, %v, want one cosignature of %s", cosigned, err, day)
	}
	for i := range 8 * len(msg) {
		bad := bytes.Clone(msg)
		bad[i/8] ^= 1 << (i % 8)
		got, cosigned, err := OpenCheckpoint(bad, verifierOf(t, k), w)
		if err != nil && !errors.Is(err, ErrCheckpoint) {
			t.Errorf("bit %d: %v, want ErrCheckpoint", i, err)
		}
		// A name or key id that nobody knows is passed over, and the last digit of
		// base64 has spare bits: what is read is what was signed, or nothing.
		if err == nil && (got != want || len(cosigned) > 1 || len(cosigned) == 1 && cosigned[0].At != day) {
			t.Errorf("bit %d of %q flipped: %+v, cosigned by %v", i, msg, got, cosigned)
		}
	}
}

// TestWhatIsSignedAsOneThingIsNotAnother is CVE class 19 for notes.
func TestWhatIsSignedAsOneThingIsNotAnother(t *testing.T) {
	k := keyOf(1)
	c := Checkpoint{Origin: origin, Size: 7}
	own, err := LogVerifier(origin, identity.Public(k))
	if err != nil {
		t.Fatal(err)
	}
	w := witnessOf(t, origin, k) // the log's own key and name, as a witness
	sign := func(v note.Verifier, wrap func([]byte) ([]byte, []byte)) []byte {
		b, err := note.Sign(&note.Note{Text: c.text()}, signer{v, k, wrap})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	v, err := note.NewVerifier(own)
	if err != nil {
		t.Fatal(err)
	}
	plain := func(msg []byte) ([]byte, []byte) { return nil, msg }
	cosig := func(msg []byte) ([]byte, []byte) { return be64(5), cosigned(5, msg) }
	if _, got, err := OpenCheckpoint(sign(w, plain), own, w); err == nil {
		t.Errorf("a log's signature passes as a cosignature: %v", got)
	}
	if _, _, err := OpenCheckpoint(sign(v, cosig), own, w); err == nil {
		t.Error("a cosignature passes as the log's signature")
	}
	if _, _, err := OpenCheckpoint(sign(w, cosig), own, w); err == nil {
		t.Error("a checkpoint that only a witness has signed is accepted")
	}
	other := signed(t, Checkpoint{Origin: "rollcall/01/t", Size: 7}, k)
	if _, _, err := OpenCheckpoint(other, own); err == nil {
		t.Error("the checkpoint of another log, with the same key, is accepted")
	}
	// The text of another origin under this log's signature.
	b, err := note.Sign(&note.Note{Text: "rollcall/01/t\n7\n" + c.Root.String() + "\n"}, signer{v, k, plain})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenCheckpoint(b, own); err == nil {
		t.Error("another origin under this log's signature is accepted")
	}
	for _, text := range []string{
		origin + "\n07\n" + c.Root.String() + "\n", origin + "\n7\n" + c.Root.String() + "\nmore\n", origin + "\n-7\n" + c.Root.String() + "\n",
		origin + "\n7\n" + c.Root.String()[:20] + "\n", origin + "\n9999999999999999999999\n" + c.Root.String() + "\n", origin + "\n",
	} {
		b, err := note.Sign(&note.Note{Text: text}, signer{v, k, plain})
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := OpenCheckpoint(b, own); !errors.Is(err, ErrCheckpoint) {
			t.Errorf("signed %q is read as %+v, %v", text, got, err)
		}
	}
}

func TestWitnessKeysComeBackOrAreRefused(t *testing.T) {
	w := witnessOf(t, "auditor", keyOf(2))
	got, err := ParseWitness(" " + w.String() + "\n")
	if err != nil || got.String() != w.String() {
		t.Errorf("ParseWitness(%s) = %s, %v", w, got, err)
	}
	log := verifierOf(t, keyOf(2))
	for _, bad := range []string{"", "auditor", log, strings.Replace(w.String(), "auditor", "auditot", 1), w.String()[:len(w.String())-4], strings.ToUpper(w.String())} {
		if got, err := ParseWitness(bad); err == nil {
			t.Errorf("ParseWitness(%q) = %s, want an error", bad, got)
		}
	}
	for _, bad := range []string{"", "a b", "a+b", "a\x1b", strings.Repeat("a", 101)} {
		if _, err := NewWitness(bad, identity.Public(keyOf(2))); err == nil {
			t.Errorf("a witness may be called %q", bad)
		}
	}
}

// TestForgedElementsOfProofsAreRefused is CVE class 20 (GO-2026-6179): each leaf,
// each hash of each proof, each root and each number is forged in turn.
func TestForgedElementsOfProofsAreRefused(t *testing.T) {
	b := newBase(t, openBolt(t))
	const n = 13
	b.fill(n)
	b.see(func(v View) error {
		root, err := v.Root(n)
		if err != nil {
			return err
		}
		c := Checkpoint{Origin: origin, Size: n, Root: root}
		for i := range uint64(n) {
			leaf, err := v.Leaf(i)
			if err != nil {
				return err
			}
			proof, err := v.Inclusion(n, i)
			if err != nil {
				return err
			}
			if err := c.CheckInclusion(i, leaf, proof); err != nil {
				t.Errorf("leaf %d: %v", i, err)
			}
			forgeInclusion(t, c, i, leaf, proof)
		}
		for old := uint64(1); old <= n; old++ {
			was, err := v.Root(old)
			if err != nil {
				return err
			}
			proof, err := v.Consistency(n, old)
			if err != nil {
				return err
			}
			o := Checkpoint{Origin: origin, Size: old, Root: was}
			if err := c.CheckGrowth(o, proof); err != nil {
				t.Errorf("tree of %d: %v", old, err)
			}
			forgeGrowth(t, c, o, proof)
		}
		return nil
	})
}

func forgeInclusion(t *testing.T, c Checkpoint, i uint64, leaf []byte, proof []tlog.Hash) {
	t.Helper()
	refuse := func(what string, err error) {
		t.Helper()
		if err == nil {
			t.Errorf("leaf %d of %d: %s is accepted", i, c.Size, what)
		}
	}
	for j := range leaf {
		forged := bytes.Clone(leaf)
		forged[j] ^= 1
		refuse(fmt.Sprintf("another byte %d of the leaf", j), c.CheckInclusion(i, forged, proof))
	}
	for j := range proof {
		forged := slices.Clone(proof)
		forged[j][5] ^= 1
		refuse(fmt.Sprintf("another hash %d", j), c.CheckInclusion(i, leaf, forged))
		refuse(fmt.Sprintf("a proof without hash %d", j), c.CheckInclusion(i, leaf, slices.Delete(slices.Clone(proof), j, j+1)))
		refuse(fmt.Sprintf("a proof with hash %d twice", j), c.CheckInclusion(i, leaf, slices.Insert(slices.Clone(proof), j, proof[j])))
	}
	for other := range c.Size + 2 {
		if other != i {
			refuse(fmt.Sprintf("index %d", other), c.CheckInclusion(other, leaf, proof))
		}
	}
	refuse("an interior node as a leaf", c.CheckInclusion(i/2, append(bytes.Clone(leaf), leaf...), proof))
	forged := c
	forged.Root[0] ^= 1
	refuse("another root", forged.CheckInclusion(i, leaf, proof))
}

func forgeGrowth(t *testing.T, c, old Checkpoint, proof []tlog.Hash) {
	t.Helper()
	refuse := func(what string, c, old Checkpoint, proof []tlog.Hash) {
		t.Helper()
		if c.CheckGrowth(old, proof) == nil {
			t.Errorf("%d out of %d: %s is accepted", c.Size, old.Size, what)
		}
	}
	for j := range proof {
		forged := slices.Clone(proof)
		forged[j][31] ^= 0x80
		refuse(fmt.Sprintf("another hash %d", j), c, old, forged)
		refuse(fmt.Sprintf("a proof without hash %d", j), c, old, slices.Delete(slices.Clone(proof), j, j+1))
	}
	forged := old
	forged.Root[1] ^= 1
	refuse("another old root", c, forged, proof)
	forged = c
	forged.Root[1] ^= 1
	refuse("another new root", forged, old, proof)
	if old.Size < c.Size {
		refuse("a log that shrinks", old, c, proof)
	}
	forged = old
	forged.Origin = "rollcall/01/t"
	refuse("another log", c, forged, proof)
}

func FuzzOpenCheckpoint(f *testing.F) {
	k, wk := keyOf(1), keyOf(2)
	log, w := verifierOf(f, k), witnessOf(f, "auditor", wk)
	msg := signed(f, Checkpoint{Origin: origin, Size: 7}, k)
	f.Add(msg)
	cosigned, err := Cosign(msg, log, "auditor", wk, day)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(cosigned)
	f.Add([]byte("\n\n— "))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, _, err := OpenCheckpoint(b, log, w)
		if err != nil && !errors.Is(err, ErrCheckpoint) {
			t.Errorf("%v, want ErrCheckpoint", err)
		}
		if err == nil && (c != Checkpoint{Origin: origin, Size: 7}) {
			t.Errorf("%q opens as %+v, which nobody signed", b, c)
		}
	})
}

func FuzzParseWitness(f *testing.F) {
	f.Add(witnessOf(f, "auditor", keyOf(2)).String())
	f.Add("a+b+c")
	f.Fuzz(func(t *testing.T, s string) {
		w, err := ParseWitness(s)
		if err != nil {
			return
		}
		if again, err := ParseWitness(w.String()); err != nil || again.String() != w.String() {
			t.Errorf("%q is read as %s, which is read as %s, %v", s, w, again, err)
		}
	})
}

func TestCosigningKeepsOnlyBothSignatures(t *testing.T) {
	k := keyOf(1)
	msg := signed(t, Checkpoint{Origin: origin, Size: 7}, k)
	var err error
	for i := range byte(3) {
		if msg, err = Cosign(msg, verifierOf(t, k), fmt.Sprintf("w%d", i), keyOf(10+i), day.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(string(msg), "— "); n != 2 {
		t.Errorf("%d signatures, want the log's and the last witness's:\n%s", n, msg)
	}
	if _, err := Cosign(msg, verifierOf(t, keyOf(9)), "w", keyOf(2), day); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("cosigning the checkpoint of another key: %v", err)
	}
}
