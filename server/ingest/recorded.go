package ingest

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/store"
)

// recorded is what is kept of a recorded report: what came, and what was given for
// it. Reports stand in the order of their leaves in the log. So those of one commit
// lie in the same pages of the store, where their hashes would put each into pages
// of its own: with its receipt and the way to both that was two thirds of all pages
// that a report changed.
type recorded struct {
	key      string
	hash     fact.Digest // of the envelope
	receipt  []byte
	before   uint64 // leaf of the last report of the same key before it, plus 1; 0: none is kept in this form
	envelope []byte // nil: it is a content of the store, or is not kept
}

// smallReport is the size in bytes of the largest envelope that is kept in the
// report's record.
const smallReport = 32 << 10

func reportKey(tenant string, leaf uint64) store.Key {
	k := store.At(store.Record, tenant, "/report/")
	k.K = binary.BigEndian.AppendUint64(k.K, leaf)
	return k
}

// AppendFields implements store.Compact. Changing a number breaks every existing
// database.
func (r recorded) AppendFields(f *store.Fields) error {
	f.Text(1, r.key)
	f.Bytes(2, r.hash[:])
	f.Bytes(3, r.receipt)
	f.Uint(4, r.before)
	f.Bytes(5, r.envelope)
	return nil
}

// ReadField implements store.Compact.
func (r *recorded) ReadField(number uint64, v []byte) error {
	switch number {
	case 1:
		r.key = string(v)
	case 2:
		if len(v) != len(r.hash) {
			return errors.New("a hash has another length")
		}
		r.hash = fact.Digest(v)
	case 3:
		r.receipt = bytes.Clone(v)
	case 4:
		r.before = store.UintOf(v)
	case 5:
		r.envelope = bytes.Clone(v)
	}
	return nil
}

// outline is a recorded report without its envelope.
type outline struct{ recorded }

// ReadField implements store.Compact.
func (o *outline) ReadField(number uint64, v []byte) error {
	if number == 5 {
		return nil
	}
	return o.recorded.ReadField(number, v)
}

// recordedAs finds a report by the hash of its envelope; ok is false for one that
// was not recorded, or by a program that kept reports by their hashes.
func recordedAs(g store.Getter, tenant string, hash fact.Digest) (r recorded, leaf uint64, ok bool, err error) {
	leaf, err = evidence.IndexOf(g, tenant, hash)
	if errors.Is(err, evidence.ErrNotFound) {
		return r, 0, false, nil
	}
	if err == nil {
		ok, err = store.GetJSON(g, reportKey(tenant, leaf), &r)
	}
	return r, leaf, ok && r.hash == hash, err
}

// ReceiptFor returns the receipt that an envelope of a key got; nil if none is
// stored.
func ReceiptFor(g store.Getter, tenant, key string, hash fact.Digest) ([]byte, error) {
	r, _, ok, err := recordedAs(g, tenant, hash)
	if err != nil || ok && r.key == key {
		return r.receipt, err
	}
	b, err := store.GetFramed(g, receiptKey(tenant, key, hash))
	return bytes.Clone(b), err
}

// reportsSince calls fn with every report that was recorded with a leaf from one on,
// without envelopes, and returns the leaf after the last one.
func reportsSince(r store.Reader, tenant string, from uint64, fn func(recorded) error) (next uint64, err error) {
	first := reportKey(tenant, from).K
	prefix := first[:len(first)-8]
	for p, err := range r.Scan(store.Record, first, store.PrefixEnd(prefix), 0) {
		if err != nil {
			return from, err
		}
		k := store.Key{Space: store.Record, K: p.K}
		var o outline
		if len(p.K) != len(first) {
			err = &store.CorruptError{Key: k, Reason: "not the number of a leaf"}
		}
		if err == nil {
			err = store.DecodeJSON(k, p.V, &o)
		}
		if err == nil {
			err = fn(o.recorded)
		}
		if err != nil {
			return from, err
		}
		from = binary.BigEndian.Uint64(p.K[len(prefix):]) + 1
	}
	return from, nil
}

// receiptsBack goes from the last report of a key back to the first that is kept in
// this form, and calls fn with each receipt.
func receiptsBack(r store.Reader, tenant, key string, server []ed25519.PublicKey, fn func(identity.Receipt)) error {
	chain, err := enrol.At(r, tenant).Chain(key)
	if err != nil {
		return err
	}
	for last, next := uint64(math.MaxUint64), chain.Last; next > 0; {
		var o outline
		k := reportKey(tenant, next-1)
		found, err := store.GetJSON(r, k, &o)
		if err == nil && (!found || next >= last) {
			err = &store.CorruptError{Key: k, Reason: "a report is missing, or is not where the one after it says"}
		}
		if err != nil {
			return err
		}
		if o.key != key {
			return nil // that of the key before it, see enrol.Rotate
		}
		rec, err := identity.OpenReceiptOf(server, o.receipt)
		if err == nil && rec.Envelope != o.hash {
			err = errors.New("it is for another envelope")
		}
		if err != nil {
			return fmt.Errorf("receipt %s: %w", k, err)
		}
		fn(rec)
		last, next = next, o.before
	}
	return nil
}

// Named calls fn with every envelope that got a receipt or was kept apart, and the
// key that it is of. Reports are those with a leaf from one on; Named returns the
// leaf after the last one, for the next time.
func Named(r store.Reader, tenant string, from uint64, fn func(key string, hash fact.Digest)) (next uint64, err error) {
	for _, kind := range []string{"/receipt/", "/fork/"} {
		prefix := []byte(tenant + kind)
		for p, err := range r.Scan(store.Record, prefix, store.PrefixEnd(prefix), 0) {
			if err != nil {
				return from, err
			}
			key, hash, ok := strings.Cut(string(p.K[len(prefix):]), "/")
			if !ok || len(hash) != len(fact.Digest{}) {
				return from, &store.CorruptError{Key: store.Key{Space: store.Record, K: p.K}, Reason: "not the name of an envelope"}
			}
			fn(key, fact.Digest([]byte(hash)))
		}
	}
	return reportsSince(r, tenant, from, func(r recorded) error {
		fn(r.key, r.hash)
		return nil
	})
}

// Forget removes, in a transaction, that an envelope of a key was recorded or kept
// apart: its report, its receipt and its fork. A large envelope is a content of the
// store, which stays.
func Forget(tx store.Tx, tenant, key string, hash fact.Digest) error {
	gone := []store.Key{receiptKey(tenant, key, hash), forkKey(tenant, key, hash)}
	r, leaf, ok, err := recordedAs(tx, tenant, hash)
	if err != nil {
		return err
	}
	if ok && r.key == key {
		gone = append(gone, reportKey(tenant, leaf))
	}
	for _, k := range gone {
		if err := tx.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// DropEnvelope removes, in a transaction, the envelope from the record of a report,
// whose receipt stays. One that is a content of the store is for the caller.
func DropEnvelope(tx store.Tx, tenant string, hash fact.Digest) error {
	r, leaf, ok, err := recordedAs(tx, tenant, hash)
	if err != nil || !ok || r.envelope == nil {
		return err
	}
	r.envelope = nil
	return store.PutJSON(tx, reportKey(tenant, leaf), r)
}

// Receipts calls fn with every receipt that was given, as it is written down; who
// signed it is not looked at.
func Receipts(r store.Reader, tenant string, fn func(key string, rec identity.Receipt) error) error {
	given := func(k store.Key, key string, raw []byte) error {
		rec, err := identity.ReadReceipt(raw)
		if err != nil {
			return fmt.Errorf("receipt %s: %w", k, err)
		}
		return fn(key, rec)
	}
	prefix := []byte(tenant + "/receipt/")
	for p, err := range r.Scan(store.Record, prefix, store.PrefixEnd(prefix), 0) {
		if err != nil {
			return err
		}
		k := store.Key{Space: store.Record, K: p.K}
		raw, err := store.OpenFramed(k, p.V)
		if err != nil {
			return err
		}
		key, _, _ := strings.Cut(string(p.K[len(prefix):]), "/")
		if err := given(k, key, raw); err != nil {
			return err
		}
	}
	_, err := reportsSince(r, tenant, 0, func(rec recorded) error {
		return given(store.At(store.Record, tenant, "/report/ ", rec.hash.String()), rec.key, rec.receipt)
	})
	return err
}

// Envelopes calls fn with every envelope that is kept in the record of its report,
// not as a content of the store.
func Envelopes(r store.Reader, tenant string, fn func(hash fact.Digest, raw []byte) error) error {
	prefix := reportKey(tenant, 0).K
	prefix = prefix[:len(prefix)-8]
	for p, err := range r.Scan(store.Record, prefix, store.PrefixEnd(prefix), 0) {
		var rec recorded
		if err == nil {
			err = store.DecodeJSON(store.Key{Space: store.Record, K: p.K}, p.V, &rec)
		}
		if err == nil && rec.envelope != nil {
			err = fn(rec.hash, rec.envelope)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
