package store

import (
	"context"
	"encoding/json"
	"fmt"
)

// PutFramed stores a payload in its frame, version 1.
func PutFramed(tx Tx, k Key, payload []byte) error { return own(tx, k, Frame(k, recordV1, payload)) }

// OpenFramed returns the payload of a stored value in a frame of version 1. It
// shares memory with b. A CorruptError names the record.
func OpenFramed(k Key, b []byte) ([]byte, error) {
	version, payload, err := Unframe(k, b)
	if err != nil {
		return nil, err
	}
	if version != recordV1 {
		return nil, &CorruptError{Key: k, Reason: fmt.Sprintf("version %d is not known to this program", version)}
	}
	return payload, nil
}

// GetFramed returns the payload stored under a key; nil if there is none.
func GetFramed(g Getter, k Key) ([]byte, error) {
	b, err := g.Get(k)
	if err != nil || b == nil {
		return nil, err
	}
	return OpenFramed(k, b)
}

// PutJSON stores v as framed JSON, or in its compact form if it has one.
func PutJSON(tx Tx, k Key, v any) error {
	if c, ok := v.(Compact); ok {
		f := Fields{b: make([]byte, frameHead, 1<<10)}
		if err := c.AppendFields(&f); err != nil {
			return fmt.Errorf("encode record %s: %w", k, err)
		}
		return own(tx, k, frameIn(k, recordV2, f.b))
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode record %s: %w", k, err)
	}
	return PutFramed(tx, k, b)
}

// DecodeJSON reads a stored value of framed JSON, or in compact form, into v.
func DecodeJSON(k Key, b []byte, v any) error {
	if c, ok := v.(compactReader); ok && len(b) > 0 && b[0] == recordV2 {
		_, payload, err := Unframe(k, b)
		if err != nil {
			return err
		}
		if err := readFields(payload, c); err != nil {
			return &CorruptError{Key: k, Reason: err.Error()}
		}
		return nil
	}
	payload, err := OpenFramed(k, b)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(payload, v); err != nil {
		return &CorruptError{Key: k, Reason: err.Error()}
	}
	return nil
}

// GetJSON reads the framed JSON stored under a key into v and tells whether
// there was any.
func GetJSON(g Getter, k Key, v any) (found bool, err error) {
	b, err := g.Get(k)
	if err != nil || b == nil {
		return false, err
	}
	return true, DecodeJSON(k, b, v)
}

// Updater is what Engine and Writer share, for code that writes and does not
// care whether its transaction is its own or shares a batch.
type Updater interface {
	Update(ctx context.Context, fn func(Tx) error) error
}

// ListJSON reads all framed JSON of one space whose keys begin with prefix, in
// the order of the keys. A CorruptError names the record that is damaged.
func ListJSON[T any](r Reader, s Space, prefix []byte) ([]T, error) {
	var all []T
	for p, err := range r.Scan(s, prefix, PrefixEnd(prefix), 0) {
		if err != nil {
			return nil, err
		}
		var v T
		if err := DecodeJSON(Key{Space: s, K: p.K}, p.V, &v); err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}
