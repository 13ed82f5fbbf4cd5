package proof

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"rollcall/server/evidence"
)

// alive checks that the machine said on the day asked about that nothing had
// changed since the report, or since one that followed it: as the server wrote it
// down, under the same tree.
func (v *verifier) alive() (string, error) {
	if v.body == nil {
		return "", errBefore
	}
	a := v.Alive
	leaf, err := v.open(a.Leaf)
	if err != nil {
		return "", err
	}
	if leaf.Kind != evidence.Ticks {
		return "", fmt.Errorf("leaf %d is a %s, not a list of ticks", a.Leaf.Index, leaf.Kind)
	}
	e, err := evidence.ParseEntry(a.Leaf.Content)
	if err != nil {
		return "", fmt.Errorf("leaf %d: %w", a.Leaf.Index, err)
	}
	t, err := evidence.ParseTick(a.Tick)
	if err != nil {
		return "", err
	}
	at, day := time.UnixMilli(t.At).UTC(), evidence.Day(time.UnixMilli(v.At))
	switch {
	case e.Kind != evidence.Ticks || len(e.Subject) != 32 || e.Detail["machines"] != strconv.FormatUint(a.Count, 10):
		return "", fmt.Errorf("leaf %d tells about something else", a.Leaf.Index)
	case t.Key != v.res.Key:
		return "", fmt.Errorf("the tick is of key %s", t.Key)
	case e.Detail["day"] != day || evidence.Day(at) != day || leaf.At < t.At:
		return "", fmt.Errorf("the tick is of %s, not of %s, or younger than its list", at.Format(time.RFC3339), day)
	case t.Seq <= v.leaf.Seq:
		return "", errors.New("the tick came before the report")
	}
	hashes, err := evidence.ToHashes(a.Proof)
	if err == nil {
		err = evidence.CheckTick(t, a.Pos, a.Count, [32]byte(e.Subject), hashes)
	}
	if err != nil {
		return "", err
	}
	for _, k := range v.keys {
		if k.entry.Ends == t.Key.String() && k.leaf.At < t.At {
			return "", fmt.Errorf("the key was ended before the tick, by leaf %d", k.index)
		}
	}
	v.res.Alive = at
	return fmt.Sprintf("at %s the machine said, as its %d. message, that nothing had changed: leaf %d, one of %d machines; its signature of that is not kept", at.Format(time.RFC3339), t.Seq, a.Leaf.Index, a.Count), nil
}
