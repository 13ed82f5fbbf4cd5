package ingest

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/evidence"
	"rollcall/server/store"

	"google.golang.org/protobuf/proto"
)

// Link is one recorded envelope as a part of its key's chain.
type Link struct {
	Hash  fact.Digest // of the envelope
	Index uint64      // from its receipt: 1 for the first recorded report of the key
	Seq   uint64
	Prev  []byte      // hash of the envelope before it
	State fact.Digest // that it leads to
}

// LinkOf reads a stored envelope. Errors are those of Envelope, or ErrMalformed.
func LinkOf(g store.Getter, tenant string, hash fact.Digest) (Link, error) {
	_, body, err := opened(g, tenant, hash)
	return linkOf(hash, body), err
}

func linkOf(hash fact.Digest, body *rollcallv1.Body) Link {
	l := Link{Hash: hash, Seq: body.GetSeq(), Prev: body.GetPrev()}
	copy(l.State[:], body.GetState())
	return l
}

func opened(g store.Getter, tenant string, hash fact.Digest) (identity.Envelope, *rollcallv1.Body, error) {
	raw, err := Envelope(g, tenant, hash)
	if err != nil {
		return identity.Envelope{}, nil, err
	}
	env, err := identity.OpenEnvelope(raw)
	if err != nil {
		return env, nil, fmt.Errorf("envelope %s: %w", hash, err)
	}
	var body rollcallv1.Body
	if err := proto.Unmarshal(env.Body, &body); err != nil {
		return env, nil, fmt.Errorf("envelope %s: %w: %w", hash, ErrMalformed, err)
	}
	return env, &body, nil
}

// Readable returns a blob of the store as whoever looks for words would read it:
// of an envelope the inflated payload after the rest, any other as it is.
func Readable(kind string, content []byte) []byte {
	if kind != envelopeKind {
		return content
	}
	env, err := identity.OpenEnvelope(content)
	if err != nil {
		return content
	}
	var body rollcallv1.Body
	if proto.Unmarshal(env.Body, &body) != nil {
		return content
	}
	plain, err := inflate(body.GetPayload())
	if err != nil {
		return content
	}
	return slices.Concat(content, plain)
}

// Trail is what Walk has to know of a key.
type Trail struct {
	Key    string
	Public ed25519.PublicKey
	Server []ed25519.PublicKey // that receipts may be signed with
	From   Link                // the last report of the key that was rotated into this one
	Anew   []uint64            // numbers of reports that an operator let begin anew, see enrol.Chain
}

// Walk follows the recorded reports of a key from the first to the last, which
// it returns; From if there is none. It returns an error unless every receipt is
// signed by a key of the server for an envelope that is stored and signed by the
// agent's, their numbers go on by one, their sequences rise, and each names the
// one before. A gap is allowed where an envelope shows a receipt of this server
// for one that is gone, as after a restore from a backup, and where an operator
// has let the key begin anew. An envelope may be missing that is older than
// those that are kept, see PutPruned.
func Walk(r store.Reader, tenant string, t Trail) (Link, error) {
	receipts, err := receiptsOf(r, tenant, t.Key, t.Server)
	if err != nil {
		return Link{}, err
	}
	pruned, err := PrunedBefore(r, tenant)
	if err != nil {
		return Link{}, err
	}
	log := evidence.At(r, tenant)
	last := t.From
	for _, rec := range receipts {
		if err := logged(log, rec); err != nil {
			return last, fmt.Errorf("report %d: %w", rec.Index, err)
		}
		env, body, err := opened(r, tenant, rec.Envelope)
		if errors.Is(err, store.ErrNoBlob) && rec.At < pruned && rec.Index == last.Index+1 {
			last = Link{Hash: rec.Envelope, Index: rec.Index, Seq: last.Seq} // its receipt is kept, and what follows names it
			continue
		}
		if err == nil {
			err = env.Verify(t.Public)
		}
		if err != nil {
			return last, fmt.Errorf("report %d: %w", rec.Index, err)
		}
		next := linkOf(rec.Envelope, body)
		next.Index = rec.Index
		if err := t.follow(last, next, body); err != nil {
			return last, fmt.Errorf("report %d: %w", rec.Index, err)
		}
		last = next
	}
	return last, nil
}

// logged checks that a receipt names the leaf of its report, unless that was
// erased.
func logged(log evidence.View, rec identity.Receipt) error {
	if !rec.Logged {
		return nil
	}
	n, err := log.IndexOf(rec.Envelope)
	if errors.Is(err, evidence.ErrNotFound) {
		return nil
	}
	if err == nil && n != rec.Leaf {
		err = fmt.Errorf("its receipt names leaf %d of the log, it is leaf %d", rec.Leaf, n)
	}
	return err
}

func (t Trail) follow(last, next Link, body *rollcallv1.Body) error {
	var prev []byte
	if last.Index > 0 {
		prev = last.Hash[:]
	}
	switch {
	case next.Index != last.Index+1:
		return fmt.Errorf("the one before it is report %d: some are missing", last.Index)
	case slices.Contains(t.Anew, next.Index):
		return nil
	case next.Seq <= last.Seq:
		return fmt.Errorf("its sequence %d does not follow %d", next.Seq, last.Seq)
	case bytes.Equal(next.Prev, prev):
		return nil
	}
	shown, err := identity.OpenReceiptOf(t.Server, body.GetLastReceipt())
	if err != nil || !bytes.Equal(shown.Envelope[:], next.Prev) {
		return errors.New("it does not name the one before it")
	}
	return nil
}

// receiptsOf returns the receipts of a key by their numbers.
func receiptsOf(r store.Reader, tenant, key string, server []ed25519.PublicKey) ([]identity.Receipt, error) {
	prefix := store.At(store.Record, tenant, "/receipt/", key, "/").K
	var all []identity.Receipt
	if err := receiptsBack(r, tenant, key, server, func(rec identity.Receipt) { all = append(all, rec) }); err != nil {
		return nil, err
	}
	for p, err := range r.Scan(store.Record, prefix, store.PrefixEnd(prefix), 0) {
		if err != nil {
			return nil, err
		}
		k := store.Key{Space: store.Record, K: p.K}
		raw, err := store.OpenFramed(k, p.V)
		if err != nil {
			return nil, err
		}
		rec, err := identity.OpenReceiptOf(server, raw)
		if err == nil && string(rec.Envelope[:]) != string(p.K[len(prefix):]) {
			err = errors.New("it is for another envelope")
		}
		if err != nil {
			return nil, fmt.Errorf("receipt %s: %w", k, err)
		}
		all = append(all, rec)
	}
	slices.SortFunc(all, func(a, b identity.Receipt) int { return cmp.Compare(a.Index, b.Index) })
	return all, nil
}

// PutPruned writes down, in a transaction, that envelopes recorded before a time
// are not kept.
func PutPruned(tx store.Tx, tenant string, before time.Time) error {
	return store.PutFramed(tx, prunedKey(tenant), binary.BigEndian.AppendUint64(nil, uint64(before.UnixMilli())))
}

// PrunedBefore returns the time in milliseconds since 1970 before which envelopes
// are not kept; 0 if all are.
func PrunedBefore(g store.Getter, tenant string) (int64, error) {
	b, err := store.GetFramed(g, prunedKey(tenant))
	if err != nil || len(b) != 8 {
		return 0, err
	}
	return int64(binary.BigEndian.Uint64(b)), nil
}

func prunedKey(tenant string) store.Key { return store.At(store.Meta, tenant, "/envelopes-pruned") }
