package proof

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"rollcall/server/evidence"
)

// golden is the proof file of the first version, and what it takes to believe it;
// server/prove_test.go writes it.
func golden(t testing.TB) ([]byte, Trust) {
	t.Helper()
	b, err := os.ReadFile("testdata/proof-v1")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/proof-v1.trust")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(text))
	server, err := hex.DecodeString(lines[0])
	if err != nil {
		t.Fatal(err)
	}
	w, err := evidence.ParseWitness(lines[1])
	if err != nil {
		t.Fatal(err)
	}
	return b, Trust{Server: server, Witnesses: []evidence.Witness{w}}
}

func TestEachFailureIsNamed(t *testing.T) {
	b, trust := golden(t)
	for _, tt := range []struct {
		name  string
		forge func(f *File)
		want  string
	}{
		{"the endorsement", func(f *File) { f.Endorsement[10] ^= 1 }, "log key: the server that is trusted does not vouch for it"},
		{"the root", func(f *File) { f.Checkpoint = bytes.Replace(f.Checkpoint, []byte("\n"), []byte("\n1"), 1) }, "checkpoint: not a checkpoint signed by this log"},
		{"a hash on the way to the root", func(f *File) { f.Report.Proof[0][3] ^= 1 }, "report in the log: leaf 2 is not in the tree"},
		{"the report", func(f *File) { f.Report.Content[200] ^= 1 }, "report in the log: leaf 2 (report) commits to something else"},
		{"the admission's proof", func(f *File) { f.Keys[0].Proof[0][3] ^= 1 }, "key admitted: leaf"},
		{"the admission's text", func(f *File) {
			f.Keys[0].Content = bytes.Replace(f.Keys[0].Content, []byte("kari"), []byte("ola"), 1)
		}, "key admitted: leaf"},
		{"a fact", func(f *File) { f.Sets[0][len(f.Sets[0])-1] ^= 1 }, "state: "},
		{"the statement", func(f *File) { f.Statement[80] ^= 1 }, "nothing left out: open statement"},
		{"the time", func(f *File) { f.At = 5 }, "time: the report came at"},
		{"the cosignature", func(f *File) { f.Witnessed[0].Note = f.Checkpoint }, "witness auditor: it has not cosigned"},
	} {
		f, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		// The report's index stands in the sentence.
		want := strings.Replace(tt.want, "leaf 2 ", fmt.Sprintf("leaf %d ", f.Report.Index), 1)
		tt.forge(&f)
		if err := Verify(f, trust).Err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is forged: %v, want %q", tt.name, err, want)
		}
	}
}

func TestAFileIsBelievedByNothingInIt(t *testing.T) {
	b, _ := golden(t)
	f, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if res := Verify(f, Trust{}); res.OK() || res.Facts != nil || res.Err() == nil {
		t.Errorf("without trust: %+v", res.Steps)
	}
	if (Result{}).OK() || (Result{}).Err() == nil {
		t.Error("a result without steps is fine")
	}
}

func TestLeavesComeBack(t *testing.T) {
	var b bytes.Buffer
	w, err := NewLeavesWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"one", "", strings.Repeat("x", maxLeaf)}
	for _, l := range want {
		if err := w.Add([]byte(l)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Add(make([]byte, maxLeaf+1)); err == nil {
		t.Error("a leaf that nobody could read is written")
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	read := func(b []byte) (got []string, err error) {
		for l, e := range ReadLeaves(bytes.NewReader(b)) {
			if e != nil {
				return got, e
			}
			got = append(got, string(l))
		}
		return got, nil
	}
	if got, err := read(b.Bytes()); err != nil || !slices.Equal(got, want) {
		t.Errorf("read %d leaves, %v", len(got), err)
	}
	for _, bad := range [][]byte{nil, []byte("x"), b.Bytes()[:b.Len()-1], append(bytes.Clone(b.Bytes()), 0), append(bytes.Clone(b.Bytes()), 0xff, 0xff)} {
		if _, err := read(bad); err == nil {
			t.Errorf("%d bytes are read", len(bad))
		}
	}
}

// FuzzVerify changes bytes of the golden file: whatever verifies proves what it
// proves, for there is nothing else that these keys have signed; and no file brings
// the program down. A patch is a list of three bytes: where, twice, and what to
// flip there. (A fuzzer that is given the whole file spends its time shortening it.)
func FuzzVerify(f *testing.F) {
	golden, trust := golden(f)
	good, err := Parse(golden)
	if err != nil {
		f.Fatal(err)
	}
	want := Verify(good, trust)
	if err := want.Err(); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{})
	f.Add([]byte{1, 0, 1})
	f.Add([]byte{4, 200, 2, 9, 9, 32})
	f.Fuzz(func(t *testing.T, patch []byte) {
		b := bytes.Clone(golden)
		for ; len(patch) >= 3; patch = patch[3:] {
			b[(int(patch[0])<<8|int(patch[1]))%len(b)] ^= patch[2]
		}
		file, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrFile) {
				t.Errorf("%v, want ErrFile", err)
			}
			// What Parse refuses for its form must not bring Verify down either.
			if json.Unmarshal(bytes.TrimPrefix(b, []byte(magic)), &file) != nil {
				return
			}
		}
		got := Verify(file, trust)
		if got.OK() && (got.Index != want.Index || got.Key != want.Key || got.CI != want.CI || !slices.Equal(got.Facts, want.Facts)) {
			t.Errorf("it proves leaf %d of CI %s", got.Index, got.CI)
		}
		if !got.OK() && got.Facts != nil {
			t.Error("facts without a proof")
		}
	})
}

func FuzzParse(f *testing.F) {
	small, err := File{CI: "ci1", LogKey: "a+b+c", Keys: []Leaf{{Index: 1, Proof: [][]byte{{1}}}}, Sets: [][]byte{{2}}}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(small)
	f.Add([]byte(magic + "{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrFile) {
				t.Errorf("%v, want ErrFile", err)
			}
			return
		}
		if again, err := file.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("it has another form: %v", err)
		}
		if Verify(file, Trust{}).OK() {
			t.Error("it is believed though nothing is trusted")
		}
	})
}

func FuzzReadLeaves(f *testing.F) {
	f.Add([]byte(leavesMagic + "\x00\x03abc"))
	f.Add([]byte(leavesMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		var again bytes.Buffer
		w, err := NewLeavesWriter(&again)
		if err != nil {
			t.Fatal(err)
		}
		for l, err := range ReadLeaves(bytes.NewReader(b)) {
			if err != nil {
				return
			}
			if err := w.Add(l); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil || !bytes.Equal(again.Bytes(), b) {
			t.Errorf("%q is read as %q, %v", b, again.Bytes(), err)
		}
	})
}
