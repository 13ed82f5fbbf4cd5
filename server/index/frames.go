package index

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Bounds of the frames that get a number.
const (
	maxFrames = 1 << 14
	maxFrame  = 64 // bytes of a frame
)

// frames are what values are made of beside what fills their holes. They get numbers
// where values are read, by several goroutines.
type frames struct {
	mu     sync.RWMutex // guards byText, and changes of all
	byText map[string]uint32
	all    atomic.Pointer[[]frame] // only grows
}

type frame struct {
	text []byte
	fill int // bytes that fill it
}

// number returns the number of a frame. One that begins with a digest or a
// fingerprint is followed by the one that has a hash instead.
func (t *frames) number(text []byte, fill int, add bool) (uint32, bool) {
	t.mu.RLock()
	n, ok := t.byText[string(text)]
	full := len(t.list())+2 > maxFrames
	t.mu.RUnlock()
	if ok || !add || full {
		return n, ok
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if n, ok = t.byText[string(text)]; ok {
		return n, true
	}
	all := t.list()
	if len(all)+2 > maxFrames {
		return 0, false
	}
	if t.byText == nil {
		t.byText = map[string]uint32{}
	}
	n = uint32(len(all))
	all = append(all, frame{slices.Clone(text), fill})
	t.byText[string(text)] = n
	if text[0] == markDigest || text[0] == markKey {
		long, _ := fills(text)
		text = slices.Clone(text)
		text[0] = shortMark(text[0])
		now, _ := fills(text)
		all = append(all, frame{text, fill - long + now})
	}
	t.all.Store(&all)
	return n, true
}

// list returns the frames that there are; what is in it stays.
func (t *frames) list() []frame {
	if all := t.all.Load(); all != nil {
		return *all
	}
	return nil
}

func (t *frames) at(n uint32) frame { return t.list()[n] }

func (t *frames) bytes() (n int) {
	for _, f := range t.list() {
		n += 2*len(f.text) + 2*mapEntry
	}
	return n
}
