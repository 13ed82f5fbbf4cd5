package index

import (
	"slices"
	"strings"
	"testing"
)

func TestNamesAndSerialNumbersComeBack(t *testing.T) {
	for value, most := range map[string]int{
		"skole0001-ws012": 10, "room1-pc07.lan": 10, "CZC9/07_X-1": 8, "1234": 3, "12345": 4, "a.b": -1, "Room-7": -1, "ab cd": -1, "ærlig": -1, "": -1,
		"ABCDef": -1, strings.Repeat("z", mostWord): 42, strings.Repeat("_", mostWord): 42, strings.Repeat("z", mostWord+1): -1, "abc\x01": -1,
	} {
		packed, frame, ok := word(nil, []byte(value))
		if ok != (most >= 0) || ok && len(packed) > most {
			t.Errorf("%q takes %d bytes, packed: %v; want %d", value, len(packed), ok, most)
			continue
		}
		if !ok {
			continue
		}
		if n, ok := wordSize(frame); !ok || n != len(packed) {
			t.Errorf("%q takes %d bytes, its frame says %d, %v", value, len(packed), n, ok)
		}
		if got := string(unword([]byte("x"), packed, frame)); got != "x"+value {
			t.Errorf("%q comes back as %q", value, got)
		}
	}
	if _, ok := wordSize(maxFrames); ok {
		t.Error("the last frame is taken for a word")
	}
}

func TestListsKeepTheirTags(t *testing.T) {
	l := newLists()
	refs := map[int]listRef{}
	for _, n := range []int{0, 1, 16, 17, 1000, untold - 1, untold, untold + 1, 200_000} {
		v := make([]uint32, n)
		for i := range v {
			v[i] = uint32(n + i)
		}
		refs[n] = l.makeTagged(uint32(n%(1<<tagBits)), v)
	}
	for n, r := range refs {
		tag, v := l.getTagged(r)
		if len(v) != n || n > 0 && (tag != uint32(n%(1<<tagBits)) || v[0] != uint32(n) || v[n-1] != uint32(2*n-1)) {
			t.Errorf("a list of %d comes back with %d and tag %d", n, len(v), tag)
		}
		l.drop(r)
	}
	if l.words != 0 {
		t.Errorf("%d words are held by no list", l.words)
	}
}

func TestFormsComeBackWhateverTheyHold(t *testing.T) {
	for _, n := range []int{0, 1, 30, 31, 32, 20_000} {
		for _, m := range []int{0, 1, 30, 31, 32, 1000} {
			f := form{adds: make([]uint32, n), drops: make([]uint32, m), own: owns{2, 1, 7}}
			for i := range f.adds {
				f.adds[i] = uint32(3 * i)
			}
			c := newCore()
			set := c.sets.add(setRec{})
			c.keep(set, f, true)
			if got := c.formOf(set); !slices.Equal(got.adds, f.adds) || !slices.Equal(got.drops, f.drops) || !slices.Equal(got.own[:3], f.own) || !c.sets.at(set).owning() {
				t.Errorf("a form of %d and %d facts comes back with %d and %d, own facts %v", n, m, len(got.adds), len(got.drops), got.own)
			}
		}
	}
}
