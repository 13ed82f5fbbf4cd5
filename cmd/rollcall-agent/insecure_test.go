package main

import (
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"rollcall/agent"
)

// No flag and no setting lets the agent speak to a server whose key is not pinned.
func TestClass33InsecureFlagThereIsNone(t *testing.T) {
	bad := func(kind, name string) {
		for _, word := range []string{"insecure", "skip", "verify", "trust", "no-check", "no-ssl", "no-tls", "plaintext"} {
			if strings.Contains(strings.ToLower(name), word) {
				t.Errorf("%s %q", kind, name)
			}
		}
	}
	seen := 0
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		c.Flags().VisitAll(func(f *pflag.Flag) { seen++; bad("flag", f.Name) })
		c.PersistentFlags().VisitAll(func(f *pflag.Flag) { seen++; bad("flag", f.Name) })
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newApp().command())
	conf := reflect.TypeFor[agent.Config]()
	for field := range conf.Fields() {
		seen++
		bad("setting", field.Tag.Get("conf"))
	}
	if seen < 20 {
		t.Errorf("only %d flags and settings were looked at", seen)
	}
}
