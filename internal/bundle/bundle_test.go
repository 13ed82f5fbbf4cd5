package bundle

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

var head = &rollcallv1.BundleHead{Public: bytes.Repeat([]byte{1}, 32), Hostname: "pc07", MadeMs: 1}

func some() []Record {
	return []Record{{Kind: Enrolment, Data: []byte("asks")}, {Kind: Envelope, Data: []byte("a report")}, {Kind: Content, Data: bytes.Repeat([]byte("x"), 200_000)}, {Kind: Content}, {Kind: Receipt, Data: []byte("r")}, {Kind: Answer, Data: []byte("a")}}
}

func written(t testing.TB, all []Record) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, head)
	for _, rec := range all {
		if err == nil {
			err = w.Add(rec.Kind, rec.Data)
		}
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// read returns what comes before the end or the error.
func read(b []byte) (all []Record, err error) {
	r, err := NewReader(bytes.NewReader(b))
	for err == nil {
		var rec Record
		if rec, err = r.Next(); err == nil {
			if !bytes.Equal(b[rec.At:rec.At+int64(len(rec.Data))], rec.Data) {
				return all, errors.New("a record is not where it is said to be")
			}
			all = append(all, rec)
		}
	}
	return all, err
}

func same(a, b Record) bool { return a.Kind == b.Kind && bytes.Equal(a.Data, b.Data) }

func TestWhatIsReadIsWhatWasWritten(t *testing.T) {
	got, err := read(written(t, some()))
	if !errors.Is(err, io.EOF) || !slices.EqualFunc(got, some(), same) {
		t.Errorf("%d records, %v, want all %d", len(got), err, len(some()))
	}
}

// The bytes are a promise: a file may be on its way for weeks.
func TestTheFormIsAPromise(t *testing.T) {
	want := "RCB1" + "h\x2a\x0a\x20" + string(bytes.Repeat([]byte{1}, 32)) + "\x12\x04pc07\x18\x01" + "e\x01x" + ".\x20"
	if got := written(t, []Record{{Kind: Envelope, Data: []byte("x")}}); string(got[:len(got)-32]) != want {
		t.Errorf("the form has changed:\n%q, want\n%q", got, want)
	}
}

func TestADamagedFileGivesWhatComesBeforeTheDamage(t *testing.T) {
	whole := written(t, some()[:2])
	for n := range len(whole) {
		if got, err := read(whole[:n]); !errors.Is(err, ErrDamaged) || len(got) > 2 {
			t.Errorf("cut to %d bytes: %d records, %v, want ErrDamaged", n, len(got), err)
		}
		bad := bytes.Clone(whole)
		bad[n] ^= 1
		if _, err := read(bad); !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d changed: %v, want ErrDamaged", n, err)
		}
	}
	if _, err := read(append(bytes.Clone(whole), 'e')); !errors.Is(err, ErrDamaged) {
		t.Errorf("with something behind its end: %v, want ErrDamaged", err)
	}
	if got, err := read(whole[:len(whole)-3]); len(got) != 2 || !errors.Is(err, ErrDamaged) {
		t.Errorf("without its last bytes: %d records, %v, want both", len(got), err)
	}
}

func TestRecordsOfLaterProgramsArePassedOver(t *testing.T) {
	all := append(some()[:1:1], Record{Kind: 'z', Data: []byte("?")}, some()[1])
	got, err := read(written(t, all))
	if !errors.Is(err, io.EOF) || len(got) != 2 || !same(got[1], some()[1]) {
		t.Errorf("%v, %v, want the two that are known", got, err)
	}
}

func TestALengthThatLiesCostsNothing(t *testing.T) {
	for name, b := range map[string][]byte{
		"a long envelope": []byte("RCB1h\x00e\xff\xff\xff\x01"),
		"a long content":  []byte("RCB1h\x00c\x80\x80\x80\x08"),
		"an endless one":  []byte("RCB1h\x00c\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
		"no length":       []byte("RCB1h\x00c\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
	} {
		allocated := testing.AllocsPerRun(1, func() {
			if _, err := read(b); err == nil || errors.Is(err, io.EOF) {
				t.Errorf("%s: %v, want an error", name, err)
			}
		})
		if allocated > 100 {
			t.Errorf("%s: %v allocations", name, allocated)
		}
	}
	if w, err := NewWriter(io.Discard, head); err != nil || w.Add(Envelope, make([]byte, identity.MaxEnvelope+1)) == nil {
		t.Error("a record over the limit is written")
	}
}

// A file is whole or not there, whatever ends the writing; the one before it stays.
func TestAFileIsWholeOrAsItWas(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "pc07.rcb")
	add := func(w *Writer) error { return w.Add(Envelope, []byte("one")) }
	if err := Create(name, head, add); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	failed := errors.New("no more")
	if err := Create(name, head, func(w *Writer) error { return errors.Join(add(w), failed) }); !errors.Is(err, failed) {
		t.Errorf("Create = %v, want the error of what fills it", err)
	}
	if err := Create(filepath.Join(dir, "none", "x.rcb"), head, add); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("into a folder that is not there: %v", err)
	}
	after, err := os.ReadFile(name)
	info, _ := os.Stat(name)
	if err != nil || !bytes.Equal(before, after) || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has changed, or its mode is %v: %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%d files are left, %v, want one", len(left), err)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(written(f, some()[:2]))
	f.Add(written(f, nil)[:20])
	f.Add([]byte("RCB1h\x00c\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := read(b)
		switch {
		case err == nil:
			t.Error("it never ends")
		case errors.Is(err, io.EOF):
			for _, rec := range all {
				if len(rec.Data) > limit(rec.Kind) {
					t.Errorf("a record %c of %d bytes", rec.Kind, len(rec.Data))
				}
			}
		case !errors.Is(err, ErrDamaged):
			t.Errorf("%v, want ErrDamaged", err)
		}
	})
}
