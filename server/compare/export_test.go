package compare

import "context"

// CompareLarge compares machines as it is done where there are very many: only the
// best patterns are looked up, and of what is different on each machine a sample.
func CompareLarge(ctx context.Context, g Groups) (Result, error) {
	broken, working, both := separate(g)
	f, notes, err := layField(newRoll(broken, working), 0, both)
	if err != nil {
		return Result{}, err
	}
	res, err := f.compare(ctx, g)
	res.Notes = append(notes, res.Notes...)
	return res, err
}
