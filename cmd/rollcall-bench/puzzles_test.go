package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// writeTree writes a machine with a few packages and files.
func writeTree(t *testing.T, root, name string, files map[string]string) {
	t.Helper()
	all := map[string]string{
		"etc/hostname": name + "\n", "etc/passwd": "root:x:0:0::/root:/bin/sh\n", "etc/group": "root:x:0:\n", "etc/os-release": "ID=debian\n",
		"var/lib/dpkg/status": "Package: cups\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.4.2-3\nMaintainer: Debian\nDescription: printing\n\n",
	}
	maps.Copy(all, files)
	for path, text := range all {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func writeGroups(t *testing.T, dir string, broken, working []string) {
	t.Helper()
	hosts := map[string]any{}
	for _, n := range append(append([]string{}, broken...), working...) {
		hosts[n] = map[string]string{"site": "elm/north", "model": "x", "mac": ""}
	}
	b, err := json.Marshal(map[string]any{
		"id": filepath.Base(dir), "asked_at": "2026-11-20T12:00:00Z", "incident": map[string]string{"since": "2026-11-18", "text": "it is slow"},
		"broken": broken, "working": working, "hosts": hosts,
	})
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "groups.json"), b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestCasesAreAnsweredByRealAgentsAndARealServer plays a case with a cause, one
// without, and one whose machines have a past that alone tells the cause.
func TestCasesAreAnsweredByRealAgentsAndARealServer(t *testing.T) {
	dir := t.TempDir()
	var broken, working []string
	for i := range 5 {
		broken, working = append(broken, fmt.Sprintf("b%d", i)), append(working, fmt.Sprintf("w%d", i))
	}
	for _, name := range []string{"P00", "P01", "P12"} {
		writeGroups(t, filepath.Join(dir, name), broken, working)
	}
	conf := func(old, recent bool) map[string]string {
		return map[string]string{"etc/a.conf": fmt.Sprintf("old = %v\n", old), "etc/b.conf": fmt.Sprintf("recent = %v\n", recent)}
	}
	for i := range 5 {
		for bad, name := range map[bool]string{true: broken[i], false: working[i]} {
			writeTree(t, filepath.Join(dir, "P00/hosts", name), name, nil)
			writeTree(t, filepath.Join(dir, "P01/hosts", name), name, conf(false, bad))
			writeTree(t, filepath.Join(dir, "P12/hosts", name+"@2026-10-01"), name, conf(false, false))
			writeTree(t, filepath.Join(dir, "P12/hosts", name+"@2026-10-03T08:00:00Z"), name, conf(bad, false))
			writeTree(t, filepath.Join(dir, "P12/hosts", name+"@2026-11-18T08:00:00Z"), name, conf(bad, bad))
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "P01/truth.json"), nil, 0); err != nil { // nobody may need to read it
		t.Fatal(err)
	}
	var log bytes.Buffer
	a := &app{out: &log, err: &log}
	if code := a.run(t.Context(), []string{"puzzles", dir}); code != 0 {
		t.Fatalf("exit status %d:\n%s", code, &log)
	}
	text, err := os.ReadFile(filepath.Join(dir, "answers.json"))
	if err != nil {
		t.Fatal(err)
	}
	var answers map[string]answer
	if err := json.Unmarshal(text, &answers); err != nil {
		t.Fatal(err)
	}
	if got := answers["P00"].Verdict; got != "none" {
		t.Errorf("P00: verdict %q, want none", got)
	}
	for _, name := range []string{"P01", "P12"} {
		got := answers[name]
		if got.Verdict != "cause" || len(got.Candidates) == 0 || strings.Join(got.Candidates[0].IDs, " ") != "file:etc/b.conf" {
			t.Errorf("%s: got %+v, want etc/b.conf first", name, got)
		}
	}
	if len(answers["P12"].Candidates) != 2 || answers["P12"].Candidates[0].Score <= answers["P12"].Candidates[1].Score {
		t.Errorf("P12: %+v, want the old difference after the new one", answers["P12"].Candidates)
	}
}

func TestBadCasesAreNamed(t *testing.T) {
	delta, missing, nothing, broken := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
	for _, dir := range []string{delta, missing} {
		writeGroups(t, filepath.Join(dir, "P01"), []string{"b0"}, []string{"w0"})
	}
	writeTree(t, filepath.Join(missing, "P01/hosts/b0"), "b0", nil)
	for _, name := range []string{"b0", "w0"} {
		if err := os.MkdirAll(filepath.Join(delta, "P01/hosts", name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	writeTree(t, filepath.Join(broken, "P01"), "b0", map[string]string{"groups.json": "{"})
	for dir, want := range map[string]string{
		delta:                   "no machine's tree",
		missing:                 "no tree in hosts/ of w0",
		nothing:                 "holds no folder P00",
		broken:                  "case P01: groups.json",
		"/nonexistent-rollcall": "no such file",
	} {
		var log bytes.Buffer
		a := &app{out: &log, err: &log}
		if code := a.run(t.Context(), []string{"puzzles", dir}); code != 1 || !strings.Contains(log.String(), want) {
			t.Errorf("exit status %d, %q, want 1 and %q", code, &log, want)
		}
	}
}
