package etc

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/fact"
	"rollcall/internal/seal"
)

// radarOf returns the facts of the section secret.
func radarOf(r Result) (out []fact.Fact) {
	for _, f := range r.Facts {
		if f.Section() == radarSection {
			out = append(out, f)
		}
	}
	return out
}

func TestMachinesWithOneRadarKeyGiveASharedSecretTheSameFingerprint(t *testing.T) {
	key := bytes.Repeat([]byte{1}, seal.FingerprintKeySize)
	var scanners []*Scanner
	for i := range 3 {
		tr := newTree(t)
		tr.write("wpa_supplicant/wpa_supplicant.conf", fmt.Sprintf("# machine %d\nnetwork={\n\tpsk=\"%s\"\n}\n", i, canary))
		tr.write("wireless.conf", "# no secret here\n")
		s := tr.scanner()
		s.Key = bytes.Repeat([]byte{byte(i + 1)}, seal.FingerprintKeySize) // each machine's own
		s.RadarKey = key
		scanners = append(scanners, s)
	}
	scanners[2].RadarKey = bytes.Repeat([]byte{9}, seal.FingerprintKeySize)
	a, b, c := radarOf(scan(t, scanners[0])), radarOf(scan(t, scanners[1])), radarOf(scan(t, scanners[2]))
	const path = "secret/wifi/etc/wpa_supplicant/wpa_supplicant.conf"
	if len(a) != 1 || a[0].Path != path || !slices.Equal(a, b) {
		t.Errorf("%v and %v", a, b)
	}
	if len(c) != 1 || c[0].Value == a[0].Value {
		t.Errorf("another radar key gives %v", c)
	}
	if strings.Contains(fmt.Sprint(a), canary) {
		t.Error("the secret is in the fact")
	}
}

func TestRadarFactsOutliveTheCacheAndFollowTheKey(t *testing.T) {
	tr := newTree(t)
	tr.write("wpa_supplicant/wpa_supplicant.conf", "psk="+canary+"\n")
	s := tr.scanner()
	if got := radarOf(scan(t, s)); len(got) != 0 {
		t.Errorf("without a radar key: %v", got)
	}
	s.RadarKey = bytes.Repeat([]byte{1}, seal.FingerprintKeySize)
	first := radarOf(scan(t, s))
	cache, err := DecodeCache(s.Cache.Encode())
	if err != nil {
		t.Fatal(err)
	}
	s.Cache = cache
	again := scan(t, s)
	if len(first) != 1 || !slices.Equal(first, radarOf(again)) || again.Opened != 0 {
		t.Errorf("%v, after a restart %v with %d files opened", first, radarOf(again), again.Opened)
	}
	s.RadarKey = bytes.Repeat([]byte{2}, seal.FingerprintKeySize)
	if got := radarOf(scan(t, s)); len(got) != 1 || got[0] == first[0] {
		t.Errorf("under another key: %v, before %v", got, first)
	}
	s.RadarKey = nil
	if got := radarOf(scan(t, s)); len(got) != 0 {
		t.Errorf("the key is gone: %v", got)
	}
	s.RadarKey = []byte("short")
	if _, err := s.Scan(t.Context()); err == nil {
		t.Error("a short radar key was taken")
	}
}
