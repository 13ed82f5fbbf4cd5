package main

import (
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"google.golang.org/protobuf/proto"

	"rollcall/internal/bundle"
	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// sticks is what several files hold together: where each record is, so that no more
// than one is in memory. What the files say is believed of nobody but to put it into
// order; the server judges each record.
type sticks struct {
	files    []*os.File
	machines map[identity.KeyID]*carried
	contents map[fact.Digest]spot
	damaged  []string // files that end too early, or have been changed
}

// spot is where a record is.
type spot struct {
	file int
	at   int64
	size int
}

// carried is what the files hold of one machine.
type carried struct {
	key      identity.KeyID
	hostname string // it claims that
	made     int64  // of the newest file
	public   ed25519.PublicKey
	request  []byte // for admission; nil: none
	reports  []carriedReport
}

type carriedReport struct {
	spot
	hash [32]byte
	seq  uint64
}

// maxRequests bounds the requests for admission that are held, of all files.
const maxRequests = 10_000

// openSticks finds out what the files hold.
func openSticks(names []string) (*sticks, error) {
	s := &sticks{machines: map[identity.KeyID]*carried{}, contents: map[fact.Digest]spot{}}
	for _, name := range names {
		if err := s.open(name); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	for _, m := range s.machines {
		slices.SortFunc(m.reports, func(a, b carriedReport) int {
			return cmp.Or(cmp.Compare(a.seq, b.seq), slices.Compare(a.hash[:], b.hash[:]))
		})
		m.reports = slices.CompactFunc(m.reports, func(a, b carriedReport) bool { return a.hash == b.hash })
	}
	return s, nil
}

func (s *sticks) close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

func (s *sticks) open(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	s.files = append(s.files, f)
	r, err := bundle.NewReader(f)
	if err != nil {
		return fmt.Errorf("import %s: %w", name, err)
	}
	for {
		rec, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, bundle.ErrDamaged): // what came before it is worth as much as ever
			s.damaged = append(s.damaged, fmt.Sprintf("%s: %v", name, err))
			return nil
		case err != nil:
			return fmt.Errorf("import %s: %w", name, err)
		}
		s.note(r.Head(), rec)
	}
}

// note remembers where a record is; one that is no such thing is left out, as the
// server would refuse it.
func (s *sticks) note(head *rollcallv1.BundleHead, rec bundle.Record) {
	at := spot{len(s.files) - 1, rec.At, len(rec.Data)}
	switch rec.Kind {
	case bundle.Content:
		s.contents[sha256.Sum256(rec.Data)] = at
	case bundle.Enrolment:
		if len(rec.Data) < ed25519.PublicKeySize || len(s.machines) >= maxRequests {
			return
		}
		pub := ed25519.PublicKey(rec.Data[:ed25519.PublicKeySize])
		m := s.machine(identity.IDOf(pub), head)
		if m.request == nil || head.GetMadeMs() >= m.made {
			m.public, m.request = pub, rec.Data[ed25519.PublicKeySize:]
		}
	case bundle.Envelope:
		env, err := identity.OpenEnvelope(rec.Data)
		var body rollcallv1.Body
		if err == nil {
			err = proto.Unmarshal(env.Body, &body)
		}
		if err != nil {
			return
		}
		m := s.machine(env.KeyID, head)
		m.reports = append(m.reports, carriedReport{at, sha256.Sum256(rec.Data), body.GetSeq()})
	}
}

func (s *sticks) machine(id identity.KeyID, head *rollcallv1.BundleHead) *carried {
	m := s.machines[id]
	if m == nil {
		m = &carried{key: id}
		s.machines[id] = m
	}
	if identity.IDOf(head.GetPublic()) == id && head.GetMadeMs() >= m.made {
		m.hostname, m.made = fact.Cut(fact.Value(head.GetHostname()), 64), head.GetMadeMs()
	}
	return m
}

// read gives the bytes of a record once more.
func (s *sticks) read(p spot) ([]byte, error) {
	b := make([]byte, p.size)
	if _, err := s.files[p.file].ReadAt(b, p.at); err != nil {
		return nil, fmt.Errorf("import %s: %w", s.files[p.file].Name(), err)
	}
	return b, nil
}

// inOrder lists the machines by their names.
func (s *sticks) inOrder() []*carried {
	var all []*carried
	for _, m := range s.machines {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b *carried) int {
		return cmp.Or(cmp.Compare(a.hostname, b.hostname), slices.Compare(a.key[:], b.key[:]))
	})
	return all
}
