package etc

import (
	"crypto/md5"
	"fmt"
	"slices"
	"testing"

	"rollcall/internal/fact"
)

func TestConffilesShowOnlyWhereTheyDiffer(t *testing.T) {
	tr := newTree(t)
	md := func(s string) [16]byte { return md5.Sum([]byte(s)) }
	tr.write("same", "same")
	tr.write("edited", "edited by hand")
	tr.write("old", "old")
	tr.write("shadow", "root:$6$abc:1::::::\n")
	tr.write("ld.so.cache", "x")
	tr.link("elsewhere", "linked")
	tr.link("/usr/share/x", "dir")
	s := tr.scanner()
	s.Conffiles = map[string]fact.Conffile{
		"/etc/same":        {Package: "p", MD5: md("same")},
		"/etc/edited":      {Package: "p", MD5: md("shipped")},
		"/etc/gone":        {Package: "q", MD5: md("gone")},
		"/etc/old":         {Package: "q", MD5: md("old"), Obsolete: true},
		"/etc/old-gone":    {Package: "q", MD5: md("old"), Obsolete: true},
		"/etc/shadow":      {Package: "s", MD5: md("shipped")},
		"/etc/linked":      {Package: "p", MD5: md("x")},
		"/etc/dir/behind":  {Package: "p", MD5: md("x")},
		"/etc/ld.so.cache": {Package: "p", MD5: md("y")},
		"/usr/lib/x.conf":  {Package: "p", MD5: md("x")},
	}
	want := fact.NewSet([]fact.Fact{
		{Path: "conffile/etc/edited", Value: fmt.Sprintf("modified p md5=%x", md("shipped"))},
		{Path: "conffile/etc/gone", Value: fmt.Sprintf("missing q md5=%x", md("gone"))},
		{Path: "conffile/etc/linked", Value: fmt.Sprintf("modified p md5=%x", md("x"))},
		{Path: "conffile/etc/old", Value: fmt.Sprintf("obsolete q md5=%x", md("old"))},
		{Path: "conffile/etc/shadow", Value: fmt.Sprintf("modified s md5=%x", md("shipped"))},
	})
	for range 2 { // cold and warm
		r := scan(t, s)
		if got := fact.Set(r.Facts).Below("conffile/"); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	// The package ships something else now: the file must be compared again.
	s.Conffiles["/etc/edited"] = fact.Conffile{Package: "p", MD5: md("edited by hand")}
	if r := scan(t, s); value(t, r, "conffile/etc/edited") != "" || r.Opened != 1 {
		t.Errorf("opened %d; %q", r.Opened, value(t, r, "conffile/etc/edited"))
	}
}

func TestVersionsThatWaitBesideAConffileAreTold(t *testing.T) {
	tr := newTree(t)
	for _, name := range []string{"a.conf", "a.conf.dpkg-dist", "d/b.conf.ucf-old", "c.conf.dpkg-new", "c.conf.dpkg-tmp", "dpkg-old"} {
		tr.write(name, "x")
	}
	s := tr.scanner()
	want := []fact.Fact{{Path: "leftover/etc/a.conf.dpkg-dist", Value: "dpkg-dist"}, {Path: "leftover/etc/d/b.conf.ucf-old", Value: "ucf-old"}}
	for range 2 { // the second time out of the cache
		if got := fact.Set(scan(t, s).Facts).Below("leftover/"); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}
