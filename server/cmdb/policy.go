package cmdb

import (
	"fmt"
	"time"

	"rollcall/server/store"
)

// Published is the policy that an operator published last. The bundle itself is
// beside it, for it is only needed where a machine has an older version.
type Published struct {
	Version int64     `json:"version"`
	Key     string    `json:"key"`    // pin of the key that signed it
	Digest  []byte    `json:"digest"` // SHA-256 of the bundle
	By      string    `json:"by"`
	At      time.Time `json:"at"`
}

// Policy returns what is published; false if nothing is.
func (v View) Policy() (p Published, ok bool, err error) {
	ok, err = store.GetJSON(v.r, policyKey(v.tenant), &p)
	return p, ok, err
}

// PolicyBundle returns the bundle that is published.
func (v View) PolicyBundle() ([]byte, error) {
	k := policyBundleKey(v.tenant)
	b, err := store.GetFramed(v.r, k)
	if err == nil && b == nil {
		err = &store.CorruptError{Key: k, Reason: "it is missing"}
	}
	return b, err
}

// PublishPolicy stores a bundle in the place of the one before. It returns ErrInvalid
// unless its version is higher than that of one that the same key has signed, and
// ErrScope to whom some sites are hidden: all machines get it. The bundle is for the
// caller to check.
func (w Writer) PublishPolicy(p Published, bundle []byte) error {
	if !w.scope.All() {
		return fmt.Errorf("publish policy %d: %w: they are %s", p.Version, ErrScope, w.scope)
	}
	var old Published
	there, err := store.GetJSON(w.tx, policyKey(w.tenant), &old)
	if err != nil {
		return err
	}
	if there && old.Key == p.Key && old.Version >= p.Version {
		return fmt.Errorf("publish policy %d: %w: version %d is published, and machines take no lower one", p.Version, ErrInvalid, old.Version)
	}
	if err := store.PutFramed(w.tx, policyBundleKey(w.tenant), bundle); err != nil {
		return err
	}
	return w.put(policyKey(w.tenant), p)
}
