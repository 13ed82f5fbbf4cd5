package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/ingest"
	"rollcall/server/proof"
	"rollcall/server/store"

	"google.golang.org/protobuf/proto"
)

// Prove gives one file that proves what state a machine had at a time.
func (s *Service) Prove(ctx context.Context, req *rollcallv1.ProveRequest) (*rollcallv1.ProveReply, error) {
	at := when(req.GetAtMs())
	if at.IsZero() || at.After(s.Now()) {
		at = s.Now()
	}
	ms := at.UnixMilli()
	at = time.UnixMilli(ms + 1).Add(-1)        // leaves know milliseconds: the whole one
	if err := s.Proofs.Sign(ctx); err != nil { // else the newest report is under no checkpoint yet
		return nil, err
	}
	reply := &rollcallv1.ProveReply{}
	err := s.view(ctx, func(r store.Reader, items cmdb.View) error {
		sub, err := s.subjectAt(r, items, req.GetCi(), at)
		if err != nil {
			return err
		}
		reply.Ci, reply.Name = sub.ci.ID, sub.ci.Name
		p := &prover{s: s, r: r, items: items, log: evidence.At(r, s.Tenant), head: sub.head, at: at}
		p.file.CI, p.file.At = sub.ci.ID, ms
		if err := p.prove(sub.ci.Rev); err != nil {
			return fmt.Errorf("prove CI %s: %w", sub.ci.Name, err)
		}
		reply.Proof, err = p.file.Encode()
		return err
	})
	return reply, err
}

// prover puts one proof file together from one snapshot.
type prover struct {
	s     *Service
	r     store.Reader
	items cmdb.View
	log   evidence.View
	head  cmdb.CI
	at    time.Time
	tree  evidence.Checkpoint
	file  proof.File
}

func (p *prover) prove(rev uint64) error {
	hash, state, err := p.reportOf(rev)
	if err != nil {
		return err
	}
	signed, err := p.log.Checkpoint()
	if err != nil {
		return err
	}
	verifier := p.s.Proofs.Verifier
	if p.tree, _, err = evidence.OpenCheckpoint(signed.Note, verifier); err != nil {
		return err
	}
	p.file.LogKey, p.file.Endorsement, p.file.Checkpoint = verifier, p.s.Proofs.Endorsement, signed.Note
	if p.file.Report, err = p.reportLeaf(hash); err != nil {
		return err
	}
	env, err := identity.OpenEnvelope(p.file.Report.Content)
	if err != nil {
		return err
	}
	for _, part := range []func() error{
		func() error { return p.key(env.KeyID) },
		func() error { return p.sets(state) },
		func() error { return p.later(env.KeyID, hash) },
		func() error { return p.alive(env.KeyID) },
		p.switches,
		p.witnesses,
	} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// reportOf finds the report that led to the state of a revision: revisions by
// people change no state.
func (p *prover) reportOf(n uint64) (fact.Digest, fact.State, error) {
	for ; n > 0; n-- {
		r, err := p.items.Revision(p.head.ID, n)
		if err != nil {
			return fact.Digest{}, nil, err
		}
		if r.Report != "" {
			hash, err := fact.ParseDigest(r.Report)
			return hash, r.State, err
		}
	}
	return fact.Digest{}, nil, fmt.Errorf("%w: it had not reported by then", cmdb.ErrNotFound)
}

// reportLeaf proves the leaf of a report.
func (p *prover) reportLeaf(hash fact.Digest) (proof.Leaf, error) {
	index, err := p.log.IndexOf(hash)
	if errors.Is(err, evidence.ErrNotFound) {
		err = fmt.Errorf("%w: it was recorded before the log began, or erased since", err)
	}
	if err != nil {
		return proof.Leaf{}, err
	}
	l, err := p.leaf(index)
	if err == nil {
		l.Content, err = ingest.Envelope(p.r, p.s.Tenant, hash)
	}
	if errors.Is(err, store.ErrNoBlob) {
		err = fmt.Errorf("%w: the report of leaf %d is not kept any longer", cmdb.ErrNotFound, index)
	}
	return l, err
}

// leaf proves a leaf; the content of a signed kind is still to come.
func (p *prover) leaf(index uint64) (proof.Leaf, error) {
	l := proof.Leaf{Index: index}
	x, err := p.log.Explain(index)
	if err != nil {
		return l, err
	}
	l.Salt, l.Content = x.Salt, x.Content
	if l.Leaf, err = p.log.Leaf(index); err != nil {
		return l, err
	}
	hashes, err := p.log.Inclusion(p.tree.Size, index)
	l.Proof = evidence.FromHashes(hashes)
	return l, err
}

// key adds everything about the key that signed, and the server's word that it is
// everything.
func (p *prover) key(id identity.KeyID) error {
	about, err := p.log.About(id.String())
	if err != nil {
		return err
	}
	about = slices.DeleteFunc(about, func(n uint64) bool { return n >= p.tree.Size })
	for _, n := range about {
		l, err := p.leaf(n)
		if err != nil {
			return err
		}
		p.file.Keys = append(p.file.Keys, l)
	}
	s := proof.Statement{Origin: p.tree.Origin, Size: p.tree.Size, Key: id.String(), CI: p.file.CI, Leaves: about}
	p.file.Statement, err = s.Sign(p.s.Key)
	return err
}

func (p *prover) sets(state fact.State) error {
	for _, section := range slices.Sorted(maps.Keys(state)) {
		set, err := p.items.LoadSet(state[section])
		if errors.Is(err, store.ErrNoBlob) {
			err = fmt.Errorf("%w: the facts of section %s are not kept any longer", cmdb.ErrNotFound, section)
		}
		if err != nil {
			return err
		}
		p.file.Sets = append(p.file.Sets, set.Encode())
	}
	return nil
}

// later adds the reports that the same key recorded after the one proved, until
// one came after the time asked about. They are found backwards, from the next
// change after that time or from the newest report, by the hashes that the machine
// itself has signed. Where more than proof.MaxLater lie between, none is added: the
// proof says less then, and says so.
func (p *prover) later(id identity.KeyID, hash fact.Digest) error {
	from, err := p.after(id)
	if err != nil || from == hash || from.IsZero() {
		return err
	}
	var back []fact.Digest
	for from != hash {
		if len(back) == proof.MaxLater {
			return nil
		}
		prev, ok, err := p.before(id, from)
		if err != nil || !ok {
			return err
		}
		back, from = append(back, from), prev
	}
	slices.Reverse(back)
	for _, h := range back {
		l, err := p.reportLeaf(h)
		if err != nil {
			return err
		}
		if l.Index >= p.tree.Size {
			return nil
		}
		p.file.Later = append(p.file.Later, l)
		leaf, err := evidence.ParseLeaf(l.Leaf)
		if err != nil || leaf.At > p.file.At {
			return err
		}
	}
	return nil
}

// switches adds the leaves about changes of the server's key.
func (p *prover) switches() error {
	for _, index := range p.s.Proofs.Switches {
		l, err := p.leaf(index)
		if err != nil {
			return err
		}
		p.file.Switches = append(p.file.Switches, l)
	}
	return nil
}

// alive adds the last tick of the key on the day asked about, if it came after the
// report that is proved and is in the log already.
func (p *prover) alive(id identity.KeyID) error {
	a, ok, err := p.log.AliveOn(evidence.Day(p.at), id)
	if err != nil || !ok || a.Index >= p.tree.Size {
		return err
	}
	report, err := evidence.ParseLeaf(p.file.Report.Leaf)
	if err != nil || a.Tick.Seq <= report.Seq {
		return err
	}
	l, err := p.leaf(a.Index)
	p.file.Alive = &proof.Alive{Leaf: l, Tick: a.Tick.Encode(), Pos: a.Pos, Count: a.Count, Proof: evidence.FromHashes(a.Proof)}
	return err
}

// after finds the first report that changed the CI after the time asked about, or
// else the newest report of the key.
func (p *prover) after(id identity.KeyID) (fact.Digest, error) {
	first, err := p.items.AsOf(p.head, p.at)
	if err != nil {
		return fact.Digest{}, err
	}
	for n := first.N + 1; n <= p.head.Rev; n++ {
		r, err := p.items.Revision(p.head.ID, n)
		if err != nil {
			return fact.Digest{}, err
		}
		if r.Report != "" {
			return fact.ParseDigest(r.Report)
		}
	}
	chain, err := enrol.At(p.r, p.s.Tenant).Chain(id.String())
	if err != nil || len(chain.Head) != sha256.Size {
		return fact.Digest{}, err
	}
	return fact.Digest(chain.Head), nil
}

// before gives the hash of the report before one, if the same key signed both.
func (p *prover) before(id identity.KeyID, hash fact.Digest) (prev fact.Digest, ok bool, err error) {
	raw, err := ingest.Envelope(p.r, p.s.Tenant, hash)
	if errors.Is(err, store.ErrNoBlob) {
		return prev, false, nil // it was erased
	}
	if err != nil {
		return prev, false, err
	}
	env, err := identity.OpenEnvelope(raw)
	if err != nil || env.KeyID != id {
		return prev, false, err
	}
	body := &rollcallv1.Body{}
	if err := proto.Unmarshal(env.Body, body); err != nil {
		return prev, false, fmt.Errorf("report %s: %w", hash, err)
	}
	if len(body.GetPrev()) != sha256.Size {
		return prev, false, nil // it is the first
	}
	return fact.Digest(body.GetPrev()), true, nil
}

// witnesses adds what others have seen of the log.
func (p *prover) witnesses() error {
	all, err := p.log.Witnessed()
	if err != nil {
		return err
	}
	for _, w := range all {
		if w.Size > p.tree.Size {
			continue
		}
		hashes, err := p.log.Consistency(p.tree.Size, w.Size)
		if err != nil {
			return err
		}
		p.file.Witnessed = append(p.file.Witnessed, proof.Seen{Note: w.Note, Proof: evidence.FromHashes(hashes)})
	}
	return nil
}
