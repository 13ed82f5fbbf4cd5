package bolt

import (
	"context"
	"errors"
	"fmt"

	"rollcall/server/store"

	bolt "go.etcd.io/bbolt"
)

// ErrTree marks a fault of the pages that hold data. To read them all the same is
// not safe: in bbolt, a page that leads back to itself or a length that reaches
// elsewhere can end the process in a way that no program can catch.
var ErrTree = errors.New("the tree of pages is damaged")

// Check reads the structure of the file: every page is used once or free, is
// what it says, and holds its keys in order. It calls report for every fault and
// returns how many there were; some of them match ErrTree. What values say is checked by those who know
// them: most flipped bits lie in values.
//
// It looks at a snapshot; others read and write meanwhile. bbolt has a check of
// its own, which is not used: it must not run beside a writer, and it runs in a
// goroutine where a damaged length ends the whole process.
func (e *Engine) Check(ctx context.Context, report func(error)) (faults int, err error) {
	err = e.snapshot(func(tx *bolt.Tx) error {
		w := walk{ctx: ctx, file: e.file, report: func(err error) {
			faults++
			report(fmt.Errorf("check %s: %w: %w", e.path, store.ErrCorrupt, err))
		}}
		metas(e.file, tx.DB().Info().PageSize, w.report)
		head, err := metaOf(tx)
		if err != nil {
			return err
		}
		return w.all(head)
	})
	if err != nil {
		return faults, fmt.Errorf("check %s: %w", e.path, err)
	}
	return faults, nil
}

var errEnough = errors.New("enough")

// metaOf returns the meta page of a transaction, which bbolt keeps to itself: it
// is the first page of a copy.
func metaOf(tx *bolt.Tx) ([]byte, error) {
	var first firstPage
	if _, err := tx.WriteTo(&first); first.page == nil {
		return nil, err
	}
	return first.page, nil
}

// firstPage keeps what is first written to it and refuses everything else.
type firstPage struct{ page []byte }

func (f *firstPage) Write(b []byte) (int, error) {
	if f.page == nil {
		f.page = append(f.page, b...)
	}
	return 0, errEnough
}
