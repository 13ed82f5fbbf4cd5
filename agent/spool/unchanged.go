package spool

import (
	"bytes"
	"errors"
	"io/fs"

	"rollcall/internal/fact"
)

// StartUnchanged does what Start does for a machine whose state is the one that
// the server has acknowledged, without unpacking the acknowledged sets: the Base
// has none, and no report can be built on it, only a message that nothing has
// changed. ok is false, and no number is taken, if that is not so, is not known,
// if anything waits, if a full report is due or if the copy of the acknowledged
// sets is damaged: then Start tells what to do.
func (s *Spool) StartUnchanged(state fact.Digest) (b Base, ok bool, err error) {
	if s.chain.Seq == 0 || s.chain.Full || len(s.waiting) > 0 || !bytes.Equal(s.chain.State, state[:]) {
		return Base{}, false, nil
	}
	if err := s.tidyContents(); err != nil {
		return Base{}, false, err
	}
	copied, err := s.files.read(stateName(s.chain.Seq))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Base{}, false, err
	}
	if _, broken := packedState(copied); err != nil || broken != nil {
		return Base{}, false, nil
	}
	s.started = Base{}
	b = Base{Prev: s.chain.Prev}
	b.Seq, err = s.takeSeq()
	return b, err == nil, err
}
