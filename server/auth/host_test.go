package auth

import "testing"

func TestTheAddressThatCounts(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.7:4000":          "192.0.2.7",
		"[2001:db8:1:2:3::4]:99":  "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::]:1": "2001:db8:1:2::/64",
		"[::ffff:192.0.2.7]:99":   "::ffff:192.0.2.7",
		"@":                       "@",
		"192.0.2.7":               "192.0.2.7",
		"2001:db8:1:2:3::4":       "2001:db8:1:2::/64",
	} {
		if got := HostOf(addr); got != want {
			t.Errorf("HostOf(%q) = %q, want %q", addr, got, want)
		}
	}
}
