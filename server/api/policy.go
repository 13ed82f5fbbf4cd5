package api

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"time"

	"rollcall/internal/identity"
	"rollcall/internal/policy"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/evidence"
	"rollcall/server/store"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Facts by which agents tell what became of policies.
const (
	policySection = "agent"
	policyFacts   = "agent/policy/"
)

// PublishedPolicy is what an entry of kind policy says that was done, if a policy was
// published: its subject is the SHA-256 of the bundle.
const PublishedPolicy = "publish policy"

// PublishPolicy takes a signed policy. The server has no policy key: what it looks
// at is whether machines could take it at all.
func (s *Service) PublishPolicy(ctx context.Context, req *rollcallv1.PublishPolicyRequest) (*rollcallv1.PublishPolicyReply, error) {
	bundle := bytes.Clone(req.GetBundle())
	key, p, err := policy.Read(bundle)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if realm := hex.EncodeToString(s.realm()); p.Realm != realm {
		return nil, status.Errorf(codes.InvalidArgument, "policy %d is for the machines of another server, of realm %s; this one's is %s", p.Version, p.Realm, realm)
	}
	from, until := p.Window()
	if !s.Now().Before(until) {
		return nil, status.Errorf(codes.InvalidArgument, "policy %d counts no more since %s: no machine would take it", p.Version, until.Format(time.RFC3339))
	}
	pin, err := identity.PinOf(key)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(bundle)
	pub := cmdb.Published{Version: p.Version, Key: pin, Digest: sum[:], By: callerOf(ctx).operator.Name, At: s.Now().UTC()}
	err = s.act(ctx, func(tx store.Tx) (evidence.Entry, error) {
		e := evidence.Entry{Kind: evidence.Policy, Subject: sum[:], Detail: map[string]string{
			"do": PublishedPolicy, "version": strconv.FormatInt(p.Version, 10), "from": from.Format(time.RFC3339), "until": until.Format(time.RFC3339), "key": pin,
		}}
		return e, s.items(ctx, tx).PublishPolicy(pub, bundle)
	})
	if err != nil {
		return nil, err
	}
	info, err := policyInfo(pub, bundle)
	return &rollcallv1.PublishPolicyReply{Policy: info}, err
}

func policyInfo(pub cmdb.Published, bundle []byte) (*rollcallv1.PolicyInfo, error) {
	key, p, err := policy.Read(bundle)
	if err != nil {
		return nil, fmt.Errorf("the policy that is published: %w", err)
	}
	from, until := p.Window()
	return &rollcallv1.PolicyInfo{
		Version: p.Version, FromMs: millis(from), UntilMs: millis(until), Key: pub.Key, Words: identity.Words(key),
		Text: string(policy.Text(bundle)), By: pub.By, AtMs: millis(pub.At),
	}, nil
}

// PolicyStatus tells what is published and what machines say that they have.
func (s *Service) PolicyStatus(ctx context.Context, _ *rollcallv1.PolicyStatusRequest) (*rollcallv1.PolicyStatusReply, error) {
	reply := &rollcallv1.PolicyStatusReply{Realm: hex.EncodeToString(s.realm())}
	err := s.view(ctx, func(_ store.Reader, items cmdb.View) error {
		pub, ok, err := items.Policy()
		if err != nil {
			return err
		}
		if ok {
			bundle, err := items.PolicyBundle()
			if err != nil {
				return err
			}
			if reply.Policy, err = policyInfo(pub, bundle); err != nil {
				return err
			}
		}
		return s.policyHolders(ctx, items, reply)
	})
	return reply, err
}

// policyHolders counts the machines by what they say.
func (s *Service) policyHolders(ctx context.Context, items cmdb.View, reply *rollcallv1.PolicyStatusReply) error {
	found, err := s.selectCIs(ctx, items, "", time.Time{})
	if err != nil {
		return err
	}
	type said struct {
		version        int64
		state, refused string
	}
	count := map[said]uint32{}
	for _, sub := range found {
		set, err := items.Set(sub.ci.State, policySection)
		if err != nil {
			return err
		}
		var x said
		if x.state, _ = set.Get(policyFacts + "state"); x.state == "" {
			reply.Others++
			continue
		}
		version, _ := set.Get(policyFacts + "version")
		x.version, _ = strconv.ParseInt(version, 10, 64) // a machine may say what it wants
		x.refused, _ = set.Get(policyFacts + "refused/server")
		count[x]++
	}
	for x, n := range count {
		reply.Machines = append(reply.Machines, &rollcallv1.PolicyHolders{Version: x.version, State: x.state, Refused: x.refused, Machines: n})
	}
	slices.SortFunc(reply.Machines, func(a, b *rollcallv1.PolicyHolders) int {
		return cmp.Or(cmp.Compare(b.GetMachines(), a.GetMachines()), cmp.Compare(b.GetVersion(), a.GetVersion()), cmp.Compare(a.GetState(), b.GetState()), cmp.Compare(a.GetRefused(), b.GetRefused()))
	})
	reply.Machines = reply.Machines[:min(len(reply.Machines), maxPolicyHolders)]
	return nil
}

// maxPolicyHolders bounds the groups that are told: each machine can be one of its own.
const maxPolicyHolders = 200

// newerPolicy is the bundle for a machine that has a version, or nil.
func (s *Service) newerPolicy(ctx context.Context, has uint64) (bundle []byte, err error) {
	err = s.Engine.View(ctx, func(r store.Reader) error {
		items := cmdb.At(r, s.Tenant, s.Sets, cmdb.Everywhere)
		pub, ok, err := items.Policy()
		if err == nil && ok && uint64(pub.Version) > has {
			bundle, err = items.PolicyBundle()
		}
		return err
	})
	return bundle, err
}
