package api

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/store"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Agents with a radar key report "secret/KIND/etc/PATH = FINGERPRINT…": two
// machines that have one of the fingerprints of a kind have the same secret.
const radarSection = "secret"

const (
	defaultShared = 100
	maxShared     = 10_000
	maxHolders    = 200 // that are listed, and whose history is looked up
)

// sharing says what a shared secret of each kind means, the worst first. A kind
// that is not here comes from a newer agent.
var sharing = []struct{ kind, words string }{
	{"ssh-host-key", "these machines were cloned from one disk or image: each can pass for the others. " +
		"Give each keys of its own: rm /etc/ssh/ssh_host_* and dpkg-reconfigure openssh-server"},
	{"keytab", "one Kerberos key: who gets into one of these machines can pass for the others"},
	{"tls-key", "one TLS key: as it should be for one service on several machines, otherwise a cloned image or a copied certificate"},
	{"ssh-key", "one SSH key to log in with: who gets into one of these machines gets wherever it leads"},
	{"wireguard", "one WireGuard key: as a pre-shared key of two ends as it should be; as a private key it lets only one of them in"},
	{"vpn", "one static VPN key: as it should be for the ends of one VPN; a lost machine means a new key for all"},
	{"wifi", "one wifi password: as it should be for one network; a lost machine means a new password for all"},
}

func sharingRank(kind string) int {
	for i, s := range sharing {
		if s.kind == kind {
			return i
		}
	}
	return len(sharing)
}

// Shared gives the secrets that several of the selected machines have.
func (s *Service) Shared(ctx context.Context, req *rollcallv1.SharedRequest) (*rollcallv1.SharedReply, error) {
	for _, kind := range req.GetKinds() {
		if sharingRank(kind) == len(sharing) {
			return nil, status.Errorf(codes.InvalidArgument, "there is no kind of secret %q", kind)
		}
	}
	limit := int(req.GetLimit())
	if limit == 0 {
		limit = defaultShared
	}
	limit = min(limit, maxShared)
	reply := &rollcallv1.SharedReply{}
	err := s.view(ctx, func(_ store.Reader, items cmdb.View) error {
		found, err := s.selectCIs(ctx, items, req.GetFilter(), when(req.GetAtMs()))
		if err != nil {
			return err
		}
		rd := radar{holders: map[mark][]holding{}}
		for _, sub := range found {
			if err := rd.add(sub, req.GetKinds()); err != nil {
				return err
			}
		}
		reply.Machines, reply.Reporting = uint32(len(found)), uint32(rd.reporting)
		groups := rd.groups()
		reply.More = len(groups) > limit
		for _, g := range groups[:min(len(groups), limit)] {
			shared, err := g.tell()
			if err != nil {
				return err
			}
			reply.Groups = append(reply.Groups, shared)
		}
		return nil
	})
	return reply, err
}

// mark is one secret: machines that have it hold the same one.
type mark struct{ kind, fingerprint string }

// holding is a machine's fact with a fingerprint.
type holding struct {
	sub  *subject
	path string // of the fact
}

type radar struct {
	holders   map[mark][]holding
	reporting int
}

// add takes in what a machine reports.
func (rd *radar) add(sub *subject, kinds []string) error {
	set, err := sub.items.Set(sub.ci.State, radarSection)
	if err != nil {
		return err
	}
	if len(set) > 0 {
		rd.reporting++
	}
	for _, f := range set {
		kind, _, ok := strings.Cut(strings.TrimPrefix(f.Path, radarSection+"/"), "/")
		if !ok || len(kinds) > 0 && !slices.Contains(kinds, kind) {
			continue
		}
		for fingerprint := range strings.FieldsSeq(f.Value) {
			m := mark{kind, fingerprint}
			rd.holders[m] = append(rd.holders[m], holding{sub, f.Path})
		}
	}
	return nil
}

// sharedGroup is the secrets of one kind that the same machines have.
type sharedGroup struct {
	kind    string
	secrets int
	holders map[string][]holding // by CI
}

// groups returns what is shared. An image that was cloned has three host keys;
// they are one group.
func (rd *radar) groups() []*sharedGroup {
	groups := map[string]*sharedGroup{}
	for m, holders := range rd.holders {
		byCI := map[string][]holding{}
		for _, h := range holders {
			byCI[h.sub.ci.ID] = append(byCI[h.sub.ci.ID], h)
		}
		if len(byCI) < 2 {
			continue
		}
		key := m.kind + " " + strings.Join(slices.Sorted(maps.Keys(byCI)), " ")
		g := groups[key]
		if g == nil {
			g = &sharedGroup{kind: m.kind, holders: map[string][]holding{}}
			groups[key] = g
		}
		g.secrets++
		for ci, holders := range byCI {
			g.holders[ci] = append(g.holders[ci], holders...)
		}
	}
	keys := slices.SortedFunc(maps.Keys(groups), func(a, b string) int {
		x, y := groups[a], groups[b]
		return cmp.Or(cmp.Compare(sharingRank(x.kind), sharingRank(y.kind)), cmp.Compare(len(y.holders), len(x.holders)), cmp.Compare(a, b))
	})
	out := make([]*sharedGroup, 0, len(keys))
	for _, k := range keys {
		out = append(out, groups[k])
	}
	return out
}

// tell makes the answer of a group.
func (g *sharedGroup) tell() (*rollcallv1.SharedSecret, error) {
	out := &rollcallv1.SharedSecret{Kind: g.kind, Secrets: uint32(g.secrets), Machines: uint32(len(g.holders)), Words: "one secret on several machines"}
	if rank := sharingRank(g.kind); rank < len(sharing) {
		out.Words = sharing[rank].words
	}
	all := slices.SortedFunc(maps.Values(g.holders), func(a, b []holding) int {
		return cmp.Or(compareNames(a[0].sub.ci.Name, b[0].sub.ci.Name), cmp.Compare(a[0].sub.ci.ID, b[0].sub.ci.ID))
	})
	var times []int64
	for _, holders := range all[:min(len(all), maxHolders)] {
		h := &rollcallv1.SecretHolder{Ci: holders[0].sub.ci.ID, Name: holders[0].sub.ci.Name, Site: holders[0].sub.ci.Site}
		for _, held := range holders {
			if file := strings.TrimPrefix(held.path, radarSection+"/"+g.kind+"/"); !slices.Contains(h.Paths, file) {
				h.Paths = append(h.Paths, file)
			}
			if len(all) > maxHolders {
				continue
			}
			since, err := held.since()
			if err != nil {
				return nil, err
			}
			h.SinceMs = max(h.SinceMs, since)
		}
		slices.Sort(h.Paths)
		times = append(times, h.SinceMs)
		out.Holders = append(out.Holders, h)
	}
	if len(all) <= maxHolders {
		slices.Sort(times)
		out.SinceMs = times[1]
	}
	return out, nil
}

// since tells when the machine's fact got its value.
func (h holding) since() (int64, error) {
	rev, ok, err := h.sub.items.LastChange(h.sub.head, h.sub.ci.Rev, h.path)
	switch {
	case err != nil:
		return 0, fmt.Errorf("history of CI %s: %w", h.sub.ci.Name, err)
	case !ok:
		return 0, nil
	}
	return millis(rev.At()), nil
}
