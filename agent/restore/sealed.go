package restore

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"rollcall/internal/fact"
	"rollcall/internal/seal"
)

// Ciphertexts returns the sealed contents that a restore with these options can
// need, each checked against the digest that the manifest names, and the manifest
// that they are of. What stays this machine's own without being named or asked
// for is left out, and so is what the source lacks.
func Ciphertexts(ctx context.Context, src Source, opt Options) (Snapshot, []seal.Ciphertext, error) {
	snap, err := src.Snapshot(ctx)
	if err != nil {
		return Snapshot{}, nil, err
	}
	p := &planner{opt: opt, snap: snap, own: own()}
	paths := map[fact.Digest][]string{}
	for _, f := range snap.Etc {
		file, err := fact.ParseFile(f.Value)
		if err != nil {
			return Snapshot{}, nil, fmt.Errorf("look for sealed files: %.80q: %w", f.Path, err)
		}
		if file.Kind != fact.KindSealed || !p.selected(f.Path) || ownReason(p.own, f.Path) != "" && !opt.All && !p.named(f.Path) {
			continue
		}
		paths[file.Digest] = append(paths[file.Digest], f.Path)
	}
	var needs []Need
	for d := range maps.Keys(paths) {
		needs = append(needs, Need{Path: paths[d][0], Digest: d, Sealed: true})
	}
	slices.SortFunc(needs, func(a, b Need) int { return cmp.Compare(a.Path, b.Path) })
	var out []seal.Ciphertext
	err = src.Contents(ctx, needs, func(n Need, b []byte) error {
		if !n.matches(b) {
			return fmt.Errorf("%s: %w", n.Path, ErrExchanged)
		}
		out = append(out, seal.Ciphertext{Paths: paths[n.Digest], Sealed: b})
		return nil
	})
	slices.SortFunc(out, func(a, b seal.Ciphertext) int { return cmp.Compare(a.Paths[0], b.Paths[0]) })
	return snap, out, err
}
