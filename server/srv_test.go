package server

import (
	"slices"
	"strings"
	"testing"

	rollcallv1 "rollcall/proto/rollcall/v1"
)

func TestEnrolmentTokensNameTheServiceWhereItIsConfigured(t *testing.T) {
	r := start(t, func(c *Config) { c.SRV = "_rollcall._tcp.intern" })
	if got := r.token(&rollcallv1.NewTokenRequest{}); !slices.Equal(got.URLs, []string{"_rollcall._tcp.intern"}) || len(got.Pins) == 0 {
		t.Errorf("a token names %q, pins %q", got.URLs, got.Pins)
	}
	if got := r.kari.token; len(got.URLs) != 1 || got.URLs[0] != r.addr {
		t.Errorf("a login names %q, want %s", got.URLs, r.addr)
	}
	for srv, ok := range map[string]bool{"": true, "_rollcall._tcp": true, "_rollcall._tcp.elm.example": true, "tjener:7465": false, "_rollcall._tcpx": false, "_rollcall._tcp.a b": false} {
		cfg := Defaults()
		cfg.SRV = srv
		if err := cfg.Validate(); (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "srv") {
			t.Errorf("srv = %q: %v", srv, err)
		}
	}
}
