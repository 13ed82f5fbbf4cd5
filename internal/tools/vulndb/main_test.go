package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

func TestReportsAreFoundByTheirModule(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		"GO-2025-1.json": `{"id":"GO-2025-1","affected":[{"package":{"name":"a"},"ranges":[{"events":[{"introduced":"0"},{"fixed":"1.2.0"}]}]}]}`,
		"GO-2025-2.json": `{"id":"GO-2025-2","affected":[{"package":{"name":"a"},"ranges":[{"events":[{"introduced":"0"}]}]},{"package":{"name":"b"}}]}`,
	} {
		if err := os.WriteFile(filepath.Join(from, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := build(from, to); n != 2 || err != nil {
		t.Fatalf("%d reports, %v", n, err)
	}
	b, err := os.ReadFile(filepath.Join(to, "index", "modules.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got []module
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Path != "a" || len(got[0].Vulns) != 2 || got[0].Vulns[0].Fixed != "1.2.0" || got[0].Vulns[1].Fixed != "" || got[1].Path != "b" {
		t.Errorf("modules %+v", got)
	}
	if _, err := build(t.TempDir(), to); err == nil {
		t.Error("a folder without reports passes for a database")
	}
}
