package fact_test

import (
	"testing"

	"rollcall/internal/fact"
)

func TestConffileDriftSurvivesItsTextForm(t *testing.T) {
	for _, want := range []fact.ConffileDrift{
		{fact.Modified, "cups-daemon", [16]byte{0x9e, 15: 0xd6}},
		{fact.Missing, "libc6:i386", [16]byte{}},
		{fact.Obsolete, "odd name%", [16]byte{1}},
	} {
		got, err := fact.ParseConffileDrift(want.String())
		if err != nil || got != want {
			t.Errorf("%q gives %v, %v; want %v", want, got, err, want)
		}
	}
}

func TestMalformedConffileDriftIsRefused(t *testing.T) {
	for _, s := range []string{
		"", "modified", "modified cups", "moved cups md5=00000000000000000000000000000000",
		"modified cups md5=00", "modified cups md5=000000000000000000000000000000000", "modified cups sha=00000000000000000000000000000000",
		"modified cu%ps md5=00000000000000000000000000000000", "modified cups md5=0000000000000000000000000000000g",
		"modified cups md5=00000000000000000000000000000000 more",
	} {
		if got, err := fact.ParseConffileDrift(s); err == nil {
			t.Errorf("ParseConffileDrift(%q) = %v, want an error", s, got)
		}
	}
}
