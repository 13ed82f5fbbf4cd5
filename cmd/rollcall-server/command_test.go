package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/cmd/internal/page"
	"rollcall/internal/conf"
	"rollcall/server"
)

// command is the tree of a process that cannot be shut in.
func command() *cobra.Command { return commandOf(&options{}) }

func TestTheSampleConfigurationIsValidAndShowsTheDefaults(t *testing.T) {
	cfg := server.Defaults()
	if err := conf.Load("../../packaging/server.conf", &cfg); err != nil {
		t.Fatal(err)
	}
	want := server.Defaults()
	if cfg.Listen != want.Listen || cfg.Data != want.Data || cfg.Connections != want.Connections || len(cfg.Addresses) != 1 {
		t.Errorf("sample gives %+v, want the defaults %+v and one address", cfg, want)
	}
	text, err := os.ReadFile("../../packaging/server.conf")
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile(`(?m)^#(\w+ = .+)$`).ReplaceAll(text, []byte("$1")) // what is commented out
	got := server.Config{}
	if err := conf.Parse("server.conf", bytes.NewReader(shown), &got); err != nil {
		t.Fatalf("what the sample has in comments: %v", err)
	}
	want.Addresses, want.KeepHistory, want.KeepEnvelopes = got.Addresses, "forever", "forever"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the sample shows %+v as defaults, want %+v", got, want)
	}
}

func TestWrongUsageHasItsOwnExitStatus(t *testing.T) {
	for _, line := range []string{"", "bogus", "run extra", "check --bogus", "backup", "operator", "operator bogus", "operator add", "completion", "completion csh", "version 2"} {
		c := command()
		var out bytes.Buffer
		c.SetOut(&out)
		c.SetErr(&out)
		c.SetArgs(strings.Fields(line))
		err := c.Execute()
		if cmdline.Exit(err) != cmdline.Misused {
			t.Errorf("rollcall-server %s: error %v, want one with exit status 2", line, err)
		}
	}
}

func TestInitWithoutAnAddressMakesNothing(t *testing.T) {
	dir := t.TempDir() + "/data"
	c := command()
	c.SetArgs([]string{"init", "--data", dir, "--operator", "kari"})
	if err := c.Execute(); err == nil || !strings.Contains(err.Error(), "address") {
		t.Errorf("%v, want a word about the address", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error("half a server is left")
	}
	c = command()
	var out bytes.Buffer
	c.SetErr(&out)
	c.SetArgs([]string{"init", "--data", dir, "--operator", ""})
	if err := c.Execute(); err != nil || !strings.Contains(out.String(), "server made") {
		t.Errorf("without an operator: %v, %s", err, out.String())
	}
}

var update = flag.Bool("update", false, "write man pages and completions anew")

func TestGeneratedManPagesAndCompletionsAreCurrent(t *testing.T) {
	page.Check(t, command(), "8", *update)
}

func TestEveryCommandExplainsItselfWithAnExample(t *testing.T) {
	var each func(c *cobra.Command)
	each = func(c *cobra.Command) {
		if c.Short == "" || c.Long == "" || !strings.Contains(c.Example, c.CommandPath()) {
			t.Errorf("%s: short, long text or example is missing", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			each(sub)
		}
	}
	each(command())
}

func TestVersionIsTextAndJSON(t *testing.T) {
	var out bytes.Buffer
	c := command()
	c.SetOut(&out)
	c.SetArgs([]string{"version", "--json"})
	var got map[string]string
	if err := errors.Join(c.Execute(), json.Unmarshal(out.Bytes(), &got)); err != nil || got["program"] != version || got["go"] == "" {
		t.Errorf("%v, %q", err, out.String())
	}
	out.Reset()
	c = command()
	c.SetOut(&out)
	c.SetArgs([]string{"version"})
	if err := c.Execute(); err != nil || !strings.HasPrefix(out.String(), "rollcall-server "+version+" (go") {
		t.Errorf("%v, %q", err, out.String())
	}
}
