package api

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
)

// maxDiffers bounds the differences that are shown of a key that waits.
const maxDiffers = 40

// keyInfo tells what people see of a key. known is given where the CI is wanted
// that it looks like.
func keyInfo(items cmdb.View, k enrol.Key, known *resembling) (*rollcallv1.KeyInfo, error) {
	i := &rollcallv1.KeyInfo{
		KeyId: k.ID, Words: wordsOf(k), State: string(k.State), Hostname: k.Hostname, Source: k.Source, TokenName: k.TokenTag,
		Site: k.Site, Class: k.Class, Ci: cmp.Or(k.CI, k.WantCI), AskedMs: millis(k.Asked), Facts: k.Facts, Cloned: k.Cloned, DecidedBy: k.By,
		Trust: k.TrustClass(), TokenKind: string(k.Kind), TokenId: k.Token, Reason: k.Reason, DecidedMs: millis(k.Decided),
		Replaced: k.Replaced, Successor: k.Successor, Forks: uint32(k.Forks),
	}
	if i.GetCi() == "" && k.Seat != "" {
		i.Ci = k.Seat
	}
	if i.GetCi() != "" {
		ci, err := items.CI(i.GetCi())
		switch {
		case errors.Is(err, cmdb.ErrNotFound) && k.State == enrol.Pending && k.Seat != "":
			i.Ci = "" // nobody has had the seat yet
		case err != nil:
			return nil, err
		}
		i.CiName = ci.Name
	}
	if k.State != enrol.Pending {
		return i, nil
	}
	for _, v := range k.Votes {
		as := present(cmp.Or(nameOf(items, v.CI), v.CI), v.Site, v.Class)
		i.Approvals = append(i.Approvals, strings.Join(append([]string{v.By, "as"}, as...), " "))
	}
	i.Needs = needs(k)
	if known == nil {
		return i, nil
	}
	facts, err := fact.DecodeSet(k.Facts)
	if err != nil && len(k.Facts) > 0 {
		return nil, err
	}
	if i.LikeCi, i.LikeWhy, err = known.best(facts); err != nil {
		return nil, err
	}
	if like := cmp.Or(i.GetCiName(), i.GetLikeCi()); like != "" {
		i.Differs, err = differs(items, like, facts)
	}
	return i, err
}

// needs says what is missing for the admission of a key that waits.
func needs(k enrol.Key) string {
	switch {
	case k.Seat != "":
		return "its seat, which another session has or had a short while ago, or an approval"
	case k.Vouched != "":
		return "an approval by somebody else than " + k.Vouched + ", for it is a server"
	case k.Class == "server" || len(k.Votes) > 0:
		return "approvals by two operators who agree, for it is a server"
	}
	return "an approval"
}

func nameOf(items cmdb.View, id string) string {
	ci, err := items.CI(id)
	if err != nil {
		return "" // the id is shown then
	}
	return ci.Name
}

func present(words ...string) []string {
	return slices.DeleteFunc(words, func(w string) bool { return w == "" })
}

// differs lists what a machine claims that is otherwise in the CI that it looks
// like: the approver's question is what else it could be.
func differs(items cmdb.View, like string, claimed fact.Set) ([]*rollcallv1.Difference, error) {
	ci, err := items.CI(like)
	if err != nil {
		return nil, err
	}
	var out []*rollcallv1.Difference
	sets := map[string]fact.Set{}
	for _, f := range claimed {
		section := f.Section()
		if _, read := sets[section]; !read {
			if sets[section], err = items.Set(ci.State, section); err != nil {
				return nil, err
			}
		}
		if known, _ := sets[section].Get(f.Path); known != f.Value && len(out) < maxDiffers {
			out = append(out, &rollcallv1.Difference{Path: f.Path, Known: known, Claimed: f.Value})
		}
	}
	return out, nil
}

// seesOne tells whether the view's scope sees what is about a CI, or where there
// is none about a site.
func seesOne(items cmdb.View, ci, site string) (bool, error) {
	if items.Scope().All() {
		return true, nil
	}
	if ci == "" {
		return items.Scope().Sees(site), nil
	}
	_, err := items.CI(ci)
	if errors.Is(err, cmdb.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// keysIn leaves the keys that the view's scope sees: those of CIs in it, and
// those without a CI that ask for admission at one of its sites.
func keysIn(items cmdb.View, keys []enrol.Key) ([]enrol.Key, error) {
	var in []enrol.Key
	for _, k := range keys {
		sees, err := seesOne(items, cmp.Or(k.CI, k.WantCI), k.Site)
		if err != nil {
			return nil, err
		}
		if sees {
			in = append(in, k)
		}
	}
	return in, nil
}

// sorted gives each word once, in order.
func sorted(words []string) []string {
	words = slices.Clone(words)
	slices.Sort(words)
	return slices.Compact(words)
}
