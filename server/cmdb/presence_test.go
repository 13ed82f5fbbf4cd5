package cmdb_test

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/store"
)

func (b *base) presence() *cmdb.Presence {
	b.t.Helper()
	p, err := cmdb.LoadPresence(b.t.Context(), b.engine, tenant, time.Hour)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

func TestPresenceSurvivesARestart(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		p := b.presence()
		for n := range 3000 {
			p.Heard(id(n), day.Add(time.Duration(n)*time.Millisecond))
		}
		p.Heard("bad", day)
		if err := p.Save(t.Context(), b.writer, tenant); err != nil {
			t.Fatal(err)
		}
		p.Heard(id(7), day.Add(-time.Hour)) // older news change nothing
		if err := p.Save(t.Context(), b.writer, tenant); err != nil {
			t.Fatal(err)
		}
		again := b.presence()
		for n := range 3000 {
			if got, want := again.Last(id(n)), day.Add(time.Duration(n)*time.Millisecond); !got.Equal(want) {
				t.Fatalf("CI %d was heard of at %v, want %v", n, got, want)
			}
		}
		for _, tt := range []struct {
			after time.Duration
			ci    string
			want  string
		}{{0, id(0), cmdb.Live}, {time.Hour, id(0), cmdb.Live}, {time.Hour + time.Millisecond, id(0), cmdb.Silent}, {0, id(9999), cmdb.NeverSeen}} {
			if got := again.Of(tt.ci, day.Add(tt.after)); got != tt.want {
				t.Errorf("%v later: %s, want %s", tt.after, got, tt.want)
			}
		}
	})
}

// failing refuses all but the first n updates.
type failing struct {
	store.Updater
	n int
}

func (f *failing) Update(ctx context.Context, fn func(store.Tx) error) error {
	if f.n--; f.n < 0 {
		return errors.New("disk full")
	}
	return f.Updater.Update(ctx, fn)
}

func TestWhatCouldNotBeSavedIsSavedLater(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		p := b.presence()
		for n := range 500 {
			p.Heard(id(n), day)
		}
		if err := p.Save(t.Context(), &failing{b.writer, 3}, tenant); err == nil {
			t.Fatal("the failure is not told")
		}
		if err := p.Save(t.Context(), b.writer, tenant); err != nil {
			t.Fatal(err)
		}
		again := b.presence()
		for n := range 500 {
			if again.Last(id(n)).IsZero() {
				t.Fatalf("CI %d is forgotten", n)
			}
		}
	})
}

func TestPackageDefaultsAreFoundByMD5SinceTheyAreKnown(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		small, large := []byte("ServerName localhost\n"), []byte(strings.Repeat("large ", 20_000))
		sealed := []byte("age-encryption.org/v1\nx")
		var all []cmdb.Content
		for i, c := range [][]byte{small, large, sealed} {
			all = append(all, cmdb.Content{Digest: sha256.Sum256(c), Bytes: c, Sealed: i == 2})
		}
		before := b.found(1, "pc", "")
		if err := cmdb.PutContents(t.Context(), b.writer, tenant, "", b.now, all); err != nil {
			t.Fatal(err)
		}
		after := b.found(2, "other", "")
		if err := cmdb.PutContents(t.Context(), b.writer, tenant, "", b.now.Add(time.Hour), all); err != nil { // again changes nothing
			t.Fatal(err)
		}
		b.see(func(v cmdb.View) error {
			for _, c := range all {
				got, err := v.Content(c.Digest)
				if err != nil || !slices.Equal(got, c.Bytes) {
					t.Errorf("content of %d bytes: %d, %v", len(c.Bytes), len(got), err)
				}
				sum := md5.Sum(c.Bytes)
				for _, tt := range []struct {
					at   int64
					want bool
				}{{0, true}, {before.Changed.UnixNano(), false}, {after.Changed.UnixNano(), true}} {
					got, ok, err := v.Pristine(hex.EncodeToString(sum[:]), tt.at, cmdb.Everywhere.Sees)
					if want := tt.want && !c.Sealed; err != nil || ok != want || ok && !slices.Equal(got, c.Bytes) {
						t.Errorf("default of %d bytes at %d: %v, %v, want %v", len(c.Bytes), tt.at, ok, err, want)
					}
				}
			}
			if _, err := v.Content(fact.Digest{1}); !errors.Is(err, cmdb.ErrNotFound) {
				t.Errorf("a content that is not there: %v", err)
			}
			return nil
		})
	})
}

func TestADefaultIsShownWhereItIsHeldOnly(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		c := []byte("bindpw secret of the north\n")
		all := []cmdb.Content{{Digest: sha256.Sum256(c), Bytes: c}}
		if err := cmdb.PutContents(t.Context(), b.writer, tenant, "elm/north/room12", b.now, all); err != nil {
			t.Fatal(err)
		}
		sum := md5.Sum(c)
		b.see(func(v cmdb.View) error {
			for _, tt := range []struct {
				scope cmdb.Scope
				want  bool
			}{{cmdb.Everywhere, true}, {cmdb.Within("elm"), true}, {cmdb.Within("elm/south", "elm/north/room1"), false}, {cmdb.Scope{}, false}} {
				if _, ok, err := v.Pristine(hex.EncodeToString(sum[:]), 0, tt.scope.Sees); err != nil || ok != tt.want {
					t.Errorf("from %s: %v, %v, want %v", tt.scope, ok, err, tt.want)
				}
			}
			for site, want := range map[string]bool{"elm/north/room12": true, "elm/north": false, "elm/north/room1": false, "": false} {
				if ok, err := v.Holds(site, all[0].Digest); err != nil || ok != want {
					t.Errorf("held at %q: %v, %v, want %v", site, ok, err, want)
				}
			}
			if keys, err := v.HeldKeys(all[0].Digest); err != nil || len(keys) != 1 {
				t.Errorf("%d keys, %v", len(keys), err)
			}
			return nil
		})
	})
}

func TestManyContentsAtOnce(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		var all []cmdb.Content
		for i := range 700 {
			c := []byte(strings.Repeat(fmt.Sprint(i, " "), 1+i*37%900))
			all = append(all, cmdb.Content{Digest: sha256.Sum256(c), Bytes: c})
		}
		all = append(all, all[3], cmdb.Content{Digest: sha256.Sum256(nil)}) // one twice, an empty one
		if err := cmdb.PutContents(t.Context(), b.writer, tenant, "", b.now, all); err != nil {
			t.Fatal(err)
		}
		b.see(func(v cmdb.View) error {
			for _, c := range all {
				if got, err := v.Content(c.Digest); err != nil || !slices.Equal(got, c.Bytes) {
					t.Errorf("content %s: %d bytes, %v", c.Digest, len(got), err)
				}
			}
			return nil
		})
	})
}

func TestPristineMD5IsTakenFromTheFact(t *testing.T) {
	sum := strings.Repeat("ab", 16)
	for value, want := range map[string]string{
		"modified cups md5=" + sum: sum, "missing cups md5=" + sum + " x": sum, "obsolete cups": "", "modified cups md5=ab": "", "": "",
	} {
		if got := cmdb.PristineMD5(value); got != want {
			t.Errorf("PristineMD5(%q) = %q, want %q", value, got, want)
		}
	}
}

func TestTheLastReportFitsTheStoreWhateverItSays(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		b.found(1, "pc", "")
		last := cmdb.Last{AgentVersion: "1", Measurements: make([]byte, 40<<10)}
		for range 200 {
			last.Collectors = append(last.Collectors, cmdb.CollectorStatus{Name: "dpkg", Detail: strings.Repeat("<", 500)})
		}
		b.do(func(w cmdb.Writer) error { return w.PutLast(id(1), last) })
		b.see(func(v cmdb.View) error {
			got, err := v.Last(id(1))
			if len(got.Collectors) != 200 || len(got.Measurements) == 0 && got.AgentVersion != "1" {
				t.Errorf("%d collectors, %d bytes of measurements", len(got.Collectors), len(got.Measurements))
			}
			return err
		})
	})
}
