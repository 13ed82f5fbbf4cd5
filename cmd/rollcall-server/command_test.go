package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"rollcall/internal/conf"
	"rollcall/server"
)

func TestTheSampleConfigurationIsValidAndShowsTheDefaults(t *testing.T) {
	cfg := server.Defaults()
	if err := conf.Load("../../packaging/server.conf", &cfg); err != nil {
		t.Fatal(err)
	}
	want := server.Defaults()
	if cfg.Listen != want.Listen || cfg.Data != want.Data || cfg.Connections != want.Connections || len(cfg.Addresses) != 1 {
		t.Errorf("sample gives %+v, want the defaults %+v and one address", cfg, want)
	}
}

func TestWrongUsageHasItsOwnExitStatus(t *testing.T) {
	for _, line := range []string{"", "bogus", "run extra", "check --bogus", "backup", "operator", "operator bogus", "operator add"} {
		c := command()
		var out bytes.Buffer
		c.SetOut(&out)
		c.SetErr(&out)
		c.SetArgs(strings.Fields(line))
		err := c.Execute()
		if err == nil || exitCode(err) != 2 {
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
