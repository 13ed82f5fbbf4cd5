package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"rollcall/internal/identity"
	"rollcall/server/store"
)

func someTicks(n int) TickList {
	l := make(TickList, n)
	for i := range l {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
		l[i] = Tick{Key: identity.KeyID(sum[:16]), Seq: uint64(i + 7), Envelope: sha256.Sum256(sum[:]), At: day.UnixMilli() + int64(i)}
	}
	return l
}

func TestOneMachineOfADayIsProvedWithoutTheOthers(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		b.fill(3)
		name := Day(day)
		for _, n := range []int{1, 2, 5, 1000} { // a day may have several leaves: the newest counts
			all := someTicks(n)
			if err := PutTicks(t.Context(), b.writer, tenant, day, name, all); err != nil {
				t.Fatal(err)
			}
			b.see(func(v View) error {
				for _, want := range []Tick{all[0], all[n/2], all[n-1]} {
					a, ok, err := v.AliveOn(name, want.Key)
					if err != nil || !ok || a.Tick != want || a.Count != uint64(n) {
						t.Fatalf("one of %d: %+v, %v, %v, want %+v", n, a, ok, err, want)
					}
					e, err := v.entry(a.Index)
					if err != nil || e.Kind != Ticks || e.Detail["day"] != name {
						t.Errorf("its leaf: %+v, %v", e, err)
					}
					root := [sumSize]byte(e.Subject)
					if err := CheckTick(a.Tick, a.Pos, a.Count, root, a.Proof); err != nil {
						t.Errorf("one of %d: %v", n, err)
					}
					other := a.Tick
					other.At++
					root[0] ^= 1
					for what, err := range map[string]error{
						"another time":  CheckTick(other, a.Pos, a.Count, [sumSize]byte(e.Subject), a.Proof),
						"another place": CheckTick(a.Tick, (a.Pos+1)%a.Count, a.Count, root, a.Proof),
						"one more":      CheckTick(a.Tick, a.Pos, 2*a.Count, [sumSize]byte(e.Subject), a.Proof),
						"another root":  CheckTick(a.Tick, a.Pos, a.Count, root, a.Proof),
						"no place":      CheckTick(a.Tick, a.Count, a.Count, [sumSize]byte(e.Subject), a.Proof),
					} {
						if !errors.Is(err, ErrTicks) {
							t.Errorf("one of %d, %s: %v, want ErrTicks", n, what, err)
						}
					}
				}
				if _, ok, err := v.AliveOn(name, identity.KeyID{1}); ok || err != nil {
					t.Errorf("a key that was not alive: %v, %v", ok, err)
				}
				if _, ok, err := v.AliveOn("2026-03-02", all[0].Key); ok || err != nil {
					t.Errorf("another day: %v, %v", ok, err)
				}
				return nil
			})
		}
		b.see(func(v View) error {
			seen := 0
			_, err := v.Check(nil, func(err error) { t.Error(err) }, func(told Told) {
				if told.Entry.Kind == Ticks {
					seen++
					if err := v.CheckTicks(told); err != nil {
						t.Errorf("%s: %v", told, err)
					}
				}
			})
			if lists, lerr := v.TickLists(); seen != 4 || len(lists) != 4 || lerr != nil {
				t.Errorf("%d leaves, %d lists, %v, want 4", seen, len(lists), lerr)
			}
			return err
		})
	})
}

func TestADayOfAHundredThousandMachinesFits(t *testing.T) {
	if testing.Short() {
		t.Skip("six megabytes with fsync")
	}
	b := newBase(t, openBolt(t))
	all, began := someTicks(maxTicks+1), time.Now()
	if err := PutTicks(t.Context(), b.writer, tenant, day, Day(day), all[:100_000]); err != nil {
		t.Fatal(err)
	}
	t.Logf("100,000 machines: %s", time.Since(began))
	if err := PutTicks(t.Context(), b.writer, tenant, day, Day(day), all); err != nil {
		t.Fatal(err)
	}
	b.see(func(v View) error {
		n, err := v.Size()
		if n != 3 {
			t.Errorf("%d leaves, want one, and two for more than fit into one list", n)
		}
		began = time.Now()
		if _, ok, err := v.AliveOn(Day(day), all[0].Key); err != nil || !ok {
			t.Errorf("%v, %v", ok, err)
		}
		t.Logf("one of them is found and proved: %s", time.Since(began))
		return err
	})
}

func TestAListThatIsNotTheLeafsIsFound(t *testing.T) {
	b := newBase(t, openBolt(t))
	all := someTicks(10)
	if err := PutTicks(t.Context(), b.writer, tenant, day, "2026-03-02", all); err != nil {
		t.Fatal(err)
	}
	b.see(func(v View) error {
		e, err := v.entry(0)
		if err != nil {
			return err
		}
		if err := v.CheckTicks(Told{Entry: e}); !errors.Is(err, ErrTicks) {
			t.Errorf("ticks of another day: %v, want ErrTicks", err)
		}
		fewer := e
		fewer.Detail = map[string]string{"day": Day(day), "machines": "9", "list": e.Detail["list"]}
		if err := v.CheckTicks(Told{Entry: fewer}); !errors.Is(err, ErrTicks) {
			t.Errorf("another number: %v, want ErrTicks", err)
		}
		gone := fewer
		gone.Detail = map[string]string{"day": Day(day), "machines": "10", "list": "00" + e.Detail["list"][2:]}
		if err := v.CheckTicks(Told{Entry: gone}); !errors.Is(err, store.ErrNoBlob) {
			t.Errorf("no list: %v, want ErrNoBlob", err)
		}
		return nil
	})
}

func FuzzParseTicks(f *testing.F) {
	l := someTicks(3)
	l.Sort()
	f.Add(l.encode())
	f.Add(l.encode()[:70])
	f.Add([]byte("RCT1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := ParseTicks(b); err == nil && !bytes.Equal(l.encode(), b) {
			t.Errorf("a list of %d has two forms", len(l))
		}
	})
}
