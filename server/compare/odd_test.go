package compare_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/server/compare"
)

func TestWhatIsOddIsToldThingByThing(t *testing.T) {
	onset := time.Date(2026, 11, 18, 0, 0, 0, 0, time.UTC)
	r := newRoom(1, 12).each(func(int, bool) {})
	r.each(func(i int, odd bool) {
		r.facts[i]["hw/disk/sda/model"] = fmt.Sprint("disk ", i)                // another one in each machine
		r.file(i, "etc/seed.conf", fmt.Sprintf("seed x%dy\n", i*7919))          // the same of a file
		r.facts[i]["svc/common.service"] = []string{"enabled", "disabled"}[i%2] // half and half
		r.facts[i]["pkg/cups/version"] = "2.4.2-3+deb12u8"
		r.file(i, "etc/cups/client.conf", "ServerName tjener\n")
		if odd {
			r.facts[i]["pkg/cups/version"] = "2.4.2-3+deb12u5"
			r.facts[i]["pkg/resolvconf/version"] = "1.91"
			r.file(i, "etc/cups/client.conf", "ServerName gammel\n")
			delete(r.facts[i], "pkg/nano/version")
		}
	})
	g := r.groups()
	g.Onset = onset
	g.History = func(_, path string) []compare.Past {
		if path != "pkg/resolvconf/version" {
			return nil
		}
		return []compare.Past{{Since: onset.AddDate(-1, 0, 0)}, {Since: onset.AddDate(0, 0, -200), Value: "1.91", Present: true}}
	}
	res, err := compare.Odd(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, row := range res.Rows {
		ids = append(ids, row.IDs[0])
		if row.Broken != (compare.Count{Have: 1, Of: 1}) || row.Working != (compare.Count{Have: 0, Of: 12}) || !strings.HasPrefix(row.Why, "none of 12 machines like it") {
			t.Errorf("%s: %s broken, %s working, %q", row.What, row.Broken, row.Working, row.Why)
		}
	}
	if got, want := slices.Sorted(slices.Values(ids)), []string{"file:etc/cups/client.conf", "pkg:cups", "pkg:nano", "pkg:resolvconf"}; !slices.Equal(got, want) {
		t.Errorf("odd are %v, want %v", got, want)
	}
	if last := ids[len(ids)-1]; last != "pkg:resolvconf" {
		t.Errorf("last is %s, want what is so for long", last)
	}
	if !slices.ContainsFunc(res.Rows, func(row compare.Row) bool {
		return row.What == "line `ServerName gammel` in /etc/cups/client.conf instead of `ServerName tjener`"
	}) {
		t.Errorf("no row says the line: %+v", res.Rows)
	}
}

func TestNothingIsOddAboutAMachineLikeItsPeers(t *testing.T) {
	res, err := compare.Odd(t.Context(), newRoom(1, 8).groups())
	if err != nil || len(res.Rows) != 0 || res.Verdict != compare.Nothing {
		t.Errorf("%+v, %v; want nothing odd", res, err)
	}
	if _, err := compare.Odd(t.Context(), newRoom(2, 8).groups()); !errors.Is(err, compare.ErrTooBig) {
		t.Errorf("two machines: %v, want ErrTooBig", err)
	}
}
