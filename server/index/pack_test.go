package index

import (
	"slices"
	"strings"
	"testing"
)

func TestPackedValuesComeBack(t *testing.T) {
	var d frames
	for _, v := range []string{
		"", "x", "sha256:" + strings.Repeat("0a", 32) + " 0644 root:root", strings.Repeat("f", 700), "4c4c4544-0042-3510-8033-b4c04f4d4a32",
		"deadbeef", "deadbee", "DEADBEEF00", "a\x00b\x01c\x02", "12345678 tail", "12345678" + " " + strings.Repeat("t", 100), "ærlig 0123456789abcdef0 æ", "sha256:xyz 0644 root:root",
		"52:54:00:12:34:0f", "52:54:00:12:34:0F", "52:54:00:12:34:0f/x 52:54:00:12:34:0f", "keyed:" + strings.Repeat("b1", 32) + " 0600 root:shadow",
		"SHA256:" + strings.Repeat("Ab3/+", 8) + "xyA", "SHA256:" + strings.Repeat("Ab3/+", 8) + "xyz", "4C4C4544-0042-3510-8033-b4c04f4d4a32", "a\x03b\x04\x05\x06",
	} {
		for range 2 {
			p := d.pack(nil, v)
			if got := string(d.unpack(nil, p)); got != v {
				t.Errorf("%q comes back as %q", v, got)
			}
		}
	}
	if n := len(d.pack(nil, "sha256:"+strings.Repeat("0a", 32)+" 0644 root:root")); n > 36 {
		t.Errorf("a file takes %d bytes", n)
	}
	if len(d.list()) == 0 {
		t.Error("no frame is shared")
	}
}

func FuzzPack(f *testing.F) {
	f.Add("sha256:00112233445566778899aabbccddeeff 0644 root:root", "a")
	f.Fuzz(func(t *testing.T, a, b string) {
		var d frames
		for _, v := range []string{a, b, a + b, a} {
			if got := string(d.unpack(nil, d.pack(nil, v))); got != v {
				t.Fatalf("%q comes back as %q", v, got)
			}
		}
		if strings.EqualFold(a, b) && string(fold(nil, a)) != string(fold(nil, b)) {
			t.Fatalf("%q and %q are equal but for case and fold apart", a, b)
		}
	})
}

func TestListsKeepWhatIsPutIn(t *testing.T) {
	w := newWorld(t, 11)
	l := newLists()
	model := map[int][]uint32{}
	refs := map[int]slim{}
	for step := range 200_000 {
		k, v := w.rnd.IntN(40), uint32(w.rnd.IntN(3000))
		if k > 30 {
			v = uint32(w.rnd.IntN(3))
		}
		if w.rnd.IntN(3) == 0 || step > 150_000 {
			refs[k] = l.slimRemove(refs[k], v)
			model[k] = without(model[k], v)
		} else {
			refs[k] = l.slimAdd(refs[k], v)
			model[k] = insert(model[k], v)
		}
		if step%1000 == 0 {
			for k, want := range model {
				var one [1]uint32
				if got := l.slimGet(refs[k], &one); !slices.Equal(got, want) {
					t.Fatalf("step %d: list %d is %v, want %v", step, k, got, want)
				}
			}
		}
	}
	big := make([]uint32, 200_000)
	for i := range big {
		big[i] = uint32(i)
	}
	if r := l.make(big); !slices.Equal(l.get(r), big) {
		t.Error("a list that is larger than a chunk is not kept")
	}
}

func TestTablesFindWhatIsInThem(t *testing.T) {
	for name, hash := range map[string]func(uint32) uint64{
		"many with one hash":     func(v uint32) uint64 { return uint64(v%97) << 56 },
		"many with one home":     func(v uint32) uint64 { return uint64(v%97)<<56 | uint64(v)*0x9e3779b1 },
		"hashes of low bits too": func(v uint32) uint64 { return uint64(v) * 0x9e3779b97f4a7c15 },
	} {
		t.Run(name, func(t *testing.T) { findsWhatIsIn(t, hash) })
	}
}

func findsWhatIsIn(t *testing.T, hash func(uint32) uint64) {
	w := newWorld(t, 12)
	var tab table
	in := map[uint32]bool{}
	for step := range 20_000 {
		v := uint32(w.rnd.IntN(500))
		if step > 10_000 && v > 250 { // numbers that need more bits
			v <<= v % 24
		}
		if in[v] {
			tab.remove(hash(v), v, hash)
			delete(in, v)
		} else {
			tab.insert(hash(v), v, hash)
			in[v] = true
		}
		q := uint32(w.rnd.IntN(500))
		if step%2 == 0 {
			q = v
		}
		if _, ok := tab.find(hash(q), func(x uint32) bool { return x == q }); ok != in[q] {
			t.Fatalf("find(%d) = %v, want %v", q, ok, in[q])
		}
	}
}
