package cmdb

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/store"
)

// Content is what a file holds, with its SHA-256, which the caller has verified.
type Content struct {
	Digest fact.Digest
	Bytes  []byte
	Sealed bool // age ciphertext: nobody asks for its MD5
}

// Bounds of one transaction of PutContents: far below the store's limits.
const (
	contentsTx      = 200
	contentsTxBytes = 400 << 10
	smallContent    = 48 << 10
)

// PutContents stores file contents that a machine of a site has shown, the small
// ones many to a transaction. From then on machines of that site may name them,
// see Holds. Plain ones can be found by their MD5 afterwards, which is how dpkg
// records package defaults; nothing is trusted because of an MD5. References to
// the contents may be written only after PutContents has returned.
func PutContents(ctx context.Context, u store.Updater, tenant, site string, now time.Time, all []Content) error {
	var group []packedContent
	size := 0
	flush := func() error {
		err := putGroup(ctx, u, tenant, site, now, group)
		group, size = nil, 0
		return err
	}
	for _, c := range all {
		p, err := pack(c)
		if err != nil {
			return fmt.Errorf("store content %s: %w", c.Digest, err)
		}
		if len(c.Bytes) > smallContent {
			if err := p.packed.Store(ctx, u, tenant, contentKind, c.Digest); err != nil {
				return fmt.Errorf("store content %s: %w", c.Digest, err)
			}
		}
		group, size = append(group, p), size+min(len(c.Bytes), smallContent)
		if len(group) == contentsTx || size > contentsTxBytes {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

type packedContent struct {
	Content
	packed store.Packed
	md5    string
}

func pack(c Content) (packedContent, error) {
	p := packedContent{Content: c}
	if !c.Sealed {
		sum := md5.Sum(c.Bytes)
		p.md5 = hex.EncodeToString(sum[:])
	}
	var err error
	p.packed, err = store.Pack(c.Bytes)
	return p, err
}

func putGroup(ctx context.Context, u store.Updater, tenant, site string, now time.Time, group []packedContent) error {
	if len(group) == 0 {
		return nil
	}
	return store.UpdateAgain(ctx, u, func(tx store.Tx) error {
		for _, p := range group {
			if len(p.Bytes) <= smallContent {
				if err := p.packed.PutTx(tx, tenant, contentKind, p.Digest); err != nil {
					return err
				}
			}
			w := In(tx, tenant, Everywhere)
			if err := w.putMD5(now, p); err != nil {
				return err
			}
			if err := w.putHeld(now, site, p.Digest); err != nil {
				return err
			}
		}
		return nil
	})
}

// putMD5 makes a content known by its MD5, with the stamp since when, so that
// what is rendered from a revision never depends on what became known later.
func (w Writer) putMD5(now time.Time, p packedContent) error {
	if p.md5 == "" {
		return nil
	}
	key := md5Key(w.tenant, p.md5)
	have, err := w.tx.Get(key)
	if err != nil || have != nil {
		return err
	}
	stamp, err := w.stamp(now)
	if err != nil {
		return err
	}
	return store.PutJSON(w.tx, key, known{Content: p.Digest, Stamp: stamp})
}

// known is a content that can be found by its MD5.
type known struct {
	Content fact.Digest `json:"content"`
	Stamp   int64       `json:"stamp"`
}

// PristineMD5 returns the MD5 of the package default that a conffile fact names
// ("modified cups-daemon md5=HEX"), or "".
func PristineMD5(value string) string {
	for word := range strings.FieldsSeq(value) {
		if sum, ok := strings.CutPrefix(word, "md5="); ok && len(sum) == 2*md5.Size {
			return sum
		}
	}
	return ""
}
