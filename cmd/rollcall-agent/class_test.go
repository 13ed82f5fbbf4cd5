package main

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"testing"

	"rollcall/agent"

	"github.com/spf13/cobra"
)

// lax is what options are called that trust anybody.
var lax = regexp.MustCompile(`(?i)insecure|skip.?(tls|ssl|verif|cert|pin)|no.?(check|verify|ssl|tls|pin)|trust.?(all|any)|disable.?(tls|ssl|verif|pin)`)

// TestClass33NoOptionTurnsVerificationOff: there is none among the flags and keys of
// the configuration, nor the words of one in the program itself.
func TestClass33NoOptionTurnsVerificationOff(t *testing.T) {
	if !lax.MatchString("--insecure-skip-verify") || !lax.MatchString("no_ssl_check") || !lax.MatchString("no-check-certificate") {
		t.Fatal("the words are not recognised")
	}
	seen := 0
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, flag := range regexp.MustCompile(`--[a-z-]+`).FindAllString(c.Flags().FlagUsages()+c.PersistentFlags().FlagUsages(), -1) {
			seen++
			if lax.MatchString(flag) {
				t.Errorf("%s has the flag %s", c.CommandPath(), flag)
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newApp().command())
	for field := range reflect.TypeFor[agent.Config]().Fields() {
		seen++
		if key := field.Tag.Get("conf"); lax.MatchString(key) {
			t.Errorf("the configuration has the key %s", key)
		}
	}
	if seen < 20 {
		t.Errorf("only %d flags and keys were looked at", seen)
	}
	for _, sample := range []string{"agent.conf", "server.conf"} {
		b, err := os.ReadFile(filepath.Join("../../packaging", sample))
		must(t, err)
		for _, key := range regexp.MustCompile(`(?m)^#?([a-z_]+) *=`).FindAllSubmatch(b, -1) {
			if lax.Match(key[1]) {
				t.Errorf("%s has the key %s", sample, key[1])
			}
		}
	}
	if testing.Short() {
		t.Skip("builds the program; not with -short")
	}
	dir, err := built()
	must(t, err)
	b, err := os.ReadFile(filepath.Join(dir, "rollcall-agent"))
	must(t, err)
	option := regexp.MustCompile(`(?i)--?(insecure|skip-verify|no-verify|no-check|no-ssl)|insecure[-_]skip|skip[-_]verify|no[-_]ssl[-_]check|ROLLCALL_INSECURE`)
	if found := option.Find(b); found != nil {
		t.Errorf("the program has the words %q in it", found)
	}
}
