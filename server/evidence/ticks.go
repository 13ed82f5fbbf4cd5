package evidence

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/server/store"

	"golang.org/x/mod/sumdb/tlog"
)

// A machine on which nothing changes sends ticks, which are not stored. So that a
// day without a report is no day without evidence, the last tick of each key is
// put on a list, and one leaf of kind Ticks commits to the list by the root of an
// RFC 6962 tree over its entries: one machine's entry is proved without the others.
// The list holds the hash of the envelope, not the envelope: that the machine said
// it is the server's word, given that day and not to be changed afterwards.

// Tick is one entry of a list: the last sign of life of one key.
type Tick struct {
	Key      identity.KeyID
	Seq      uint64
	Envelope [sumSize]byte
	At       int64 // server time, milliseconds since 1970
}

const (
	tickSize = len(identity.KeyID{}) + 8 + sumSize + 8
	// maxTicks bounds one list, so that it is far below store.MaxBlob.
	maxTicks = 200_000
	tickKind = "ticks" // of blob
)

var ticksMagic = [4]byte{'R', 'C', 'T', '1'}

// ErrTicks is wrapped by every error about a list of ticks that is not what its
// leaf says.
var ErrTicks = errors.New("not the list of ticks that the leaf is about")

// Encode gives the entry's binary form, what the tree of a list is made of: key id
// (16 bytes), sequence (8, big-endian), hash of the envelope (32), time (8).
func (t Tick) Encode() []byte {
	b := append(make([]byte, 0, tickSize), t.Key[:]...)
	b = binary.BigEndian.AppendUint64(b, t.Seq)
	b = append(b, t.Envelope[:]...)
	return binary.BigEndian.AppendUint64(b, uint64(t.At))
}

// ParseTick reads what Encode gave.
func ParseTick(b []byte) (Tick, error) {
	var t Tick
	if len(b) != tickSize {
		return t, fmt.Errorf("read tick of %d bytes: %w", len(b), ErrTicks)
	}
	n := copy(t.Key[:], b)
	t.Seq = binary.BigEndian.Uint64(b[n:])
	t.Envelope = [sumSize]byte(b[n+8:])
	t.At = int64(binary.BigEndian.Uint64(b[n+8+sumSize:]))
	return t, nil
}

// TickList is a list in the order of its keys, each once.
type TickList []Tick

// Sort puts a list in its order.
func (l TickList) Sort() {
	slices.SortFunc(l, func(a, b Tick) int { return bytes.Compare(a.Key[:], b.Key[:]) })
}

// encode gives "RCT1" and the entries.
func (l TickList) encode() []byte {
	b := append(make([]byte, 0, len(ticksMagic)+len(l)*tickSize), ticksMagic[:]...)
	for _, t := range l {
		b = append(b, t.Encode()...)
	}
	return b
}

// ParseTicks reads the binary form of a list, and nothing else. Errors wrap
// ErrTicks.
func ParseTicks(b []byte) (TickList, error) {
	body, ok := bytes.CutPrefix(b, ticksMagic[:])
	if !ok || len(body)%tickSize != 0 || len(body)/tickSize > maxTicks {
		return nil, fmt.Errorf("read list of %d bytes: %w", len(b), ErrTicks)
	}
	l := make(TickList, 0, len(body)/tickSize)
	for ; len(body) > 0; body = body[tickSize:] {
		t, err := ParseTick(body[:tickSize])
		if err != nil {
			return nil, err
		}
		if n := len(l); n > 0 && bytes.Compare(l[n-1].Key[:], t.Key[:]) >= 0 {
			return nil, fmt.Errorf("key %s is out of order: %w", t.Key, ErrTicks)
		}
		l = append(l, t)
	}
	return l, nil
}

// tree gives the root over the entries, and all hashes as tlog stores them.
func (l TickList) tree() (root tlog.Hash, hashes tlog.HashReaderFunc, err error) {
	var g Growing
	var stored []tlog.Hash
	for _, t := range l {
		stored = append(stored, g.Add(t.Encode())...)
	}
	root, err = g.Root()
	return root, func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, n := range indexes {
			out[i] = stored[n]
		}
		return out, nil
	}, err
}

// CheckTick returns an error that wraps ErrTicks unless the entry is number pos of
// a list of count entries whose root is given.
func CheckTick(t Tick, pos, count uint64, root [sumSize]byte, proof []tlog.Hash) error {
	if count > maxTicks || pos >= count {
		return fmt.Errorf("entry %d of %d: %w", pos, count, ErrTicks)
	}
	if err := tlog.CheckRecord(proof, int64(count), root, int64(pos), tlog.RecordHash(t.Encode())); err != nil {
		return fmt.Errorf("entry %d of %d: %w: %w", pos, count, ErrTicks, err)
	}
	return nil
}

// Day names the day of a time as lists are named: in UTC, as 2026-11-27.
func Day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func tickKey(tenant, day string, index uint64) store.Key {
	return numbered(tenant, "/ticks/"+day+"/", index)
}

// PutTicks writes down the list of a day's ticks, which it sorts, and the leaf that
// commits to it: the list first, in as many transactions as it takes. One day may
// have several leaves. An interruption leaves a list that nothing names.
func PutTicks(ctx context.Context, u store.Updater, tenant string, now time.Time, day string, all TickList) error {
	all.Sort()
	for part := range slices.Chunk(all, maxTicks) {
		root, _, err := part.tree()
		if err != nil {
			return fmt.Errorf("ticks of %s: %w", day, err)
		}
		list := part.encode()
		name := fact.Digest(sha256.Sum256(list))
		if err := store.PutBlob(ctx, u, tenant, tickKind, name, list); err != nil {
			return fmt.Errorf("ticks of %s: %w", day, err)
		}
		e := Entry{Kind: Ticks, By: "server", Subject: root[:], Detail: map[string]string{
			"day": day, "machines": strconv.Itoa(len(part)), "list": hex.EncodeToString(name[:]),
		}}
		err = store.UpdateAgain(ctx, u, func(tx store.Tx) error {
			n, err := In(tx, tenant).Append(now, e)
			if err != nil {
				return err
			}
			return store.PutFramed(tx, tickKey(tenant, day, n), nil)
		})
		if err != nil {
			return fmt.Errorf("ticks of %s: %w", day, err)
		}
	}
	return nil
}

// listOf names the list that a leaf is about.
func (e Entry) listOf() (name fact.Digest, count uint64, err error) {
	b, err := hex.DecodeString(e.Detail["list"])
	if err == nil {
		count, err = strconv.ParseUint(e.Detail["machines"], 10, 32)
	}
	if err != nil || len(b) != len(name) || e.Kind != Ticks || len(e.Subject) != sumSize {
		return name, 0, fmt.Errorf("leaf of kind %s: %w", e.Kind, ErrTicks)
	}
	return fact.Digest(b), count, nil
}

// ticks reads the list of a leaf and compares it with the leaf.
func (v View) ticks(e Entry) (TickList, tlog.HashReaderFunc, error) {
	name, count, err := e.listOf()
	if err != nil {
		return nil, nil, err
	}
	b, err := store.GetBlob(v.r, v.tenant, tickKind, name)
	if err != nil {
		return nil, nil, err
	}
	l, err := ParseTicks(b)
	if err != nil {
		return nil, nil, err
	}
	root, hashes, err := l.tree()
	if err == nil && (!bytes.Equal(root[:], e.Subject) || uint64(len(l)) != count) {
		err = fmt.Errorf("list %s of %d machines: %w", name, len(l), ErrTicks)
	}
	return l, hashes, err
}

// CheckTicks returns an error unless the list of a leaf of kind Ticks is the one
// that the leaf commits to, is of that day, and is found by its day. It wraps
// store.ErrNoBlob where the list is gone.
func (v View) CheckTicks(t Told) error {
	l, _, err := v.ticks(t.Entry)
	if err != nil {
		return err
	}
	day := t.Entry.Detail["day"]
	for _, tick := range l {
		if Day(time.UnixMilli(tick.At)) != day {
			return fmt.Errorf("key %s of another day than %s: %w", tick.Key, day, ErrTicks)
		}
	}
	k := tickKey(v.tenant, day, t.Index)
	if b, err := v.r.Get(k); err != nil || b == nil {
		return errors.Join(fmt.Errorf("it cannot be found by its day: record %s is missing", k), err)
	}
	return nil
}

// Alive is the last tick of a key on a day, with its place in the list of a leaf.
type Alive struct {
	Index      uint64 // of the leaf
	Tick       Tick
	Pos, Count uint64
	Proof      tlog.RecordProof
}

// AliveOn returns the last tick of a key that is written down for a day; ok is
// false if none is.
func (v View) AliveOn(day string, key identity.KeyID) (a Alive, ok bool, err error) {
	leaves, err := v.tickLeaves(day)
	if err != nil {
		return a, false, err
	}
	for _, index := range slices.Backward(leaves) {
		e, err := v.entry(index)
		if err != nil {
			return a, false, err
		}
		l, hashes, err := v.ticks(e)
		if err != nil {
			return a, false, fmt.Errorf("leaf %d: %w", index, err)
		}
		pos, found := slices.BinarySearchFunc(l, key, func(t Tick, k identity.KeyID) int { return bytes.Compare(t.Key[:], k[:]) })
		if !found {
			continue
		}
		a = Alive{Index: index, Tick: l[pos], Pos: uint64(pos), Count: uint64(len(l))}
		a.Proof, err = tlog.ProveRecord(int64(len(l)), int64(pos), hashes)
		return a, err == nil, err
	}
	return a, false, nil
}

// entry reads what a leaf of an unsigned kind tells.
func (v View) entry(index uint64) (Entry, error) {
	x, err := v.Explain(index)
	if err != nil {
		return Entry{}, err
	}
	return ParseEntry(x.Content)
}

// tickLeaves lists the leaves about the ticks of a day, or with "" of all days.
func (v View) tickLeaves(day string) (all []uint64, err error) {
	prefix := store.At(store.Record, v.tenant, "/ticks/").K
	from := prefix
	if day != "" {
		from = append(slices.Clone(prefix), day+"/"...)
	}
	for p, err := range v.r.Scan(store.Record, from, store.PrefixEnd(from), 0) {
		if err != nil {
			return nil, err
		}
		n, err := number(store.Key{Space: store.Record, K: p.K}, p.K[max(len(p.K)-8, 0):])
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}

// TickLists names the lists that leaves are about, which are contents of the store
// of kind "ticks".
func (v View) TickLists() (all []fact.Digest, err error) {
	leaves, err := v.tickLeaves("")
	for _, n := range leaves {
		e, err := v.entry(n)
		if err != nil {
			return nil, err
		}
		name, _, err := e.listOf()
		if err != nil {
			return nil, fmt.Errorf("leaf %d: %w", n, err)
		}
		all = append(all, name)
	}
	return all, err
}
