package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// puppet answers as PuppetDB does, and keeps what it was told.
type puppet struct {
	mu    sync.Mutex
	facts map[string]int // by machine: values and packages
	told  int
	fail  bool
}

func (p *puppet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.URL.Path == "/pdb/query/v4" {
		rows := make([]json.RawMessage, len(p.facts))
		for i := range rows {
			rows[i] = json.RawMessage(`{}`)
		}
		_ = json.NewEncoder(w).Encode(rows)
		return
	}
	var c struct {
		Certname         string            `json:"certname"`
		Values           map[string]string `json:"values"`
		PackageInventory [][3]string       `json:"package_inventory"`
	}
	b, err := io.ReadAll(r.Body)
	if err = errors.Join(err, json.Unmarshal(b, &c)); err != nil || r.URL.Query().Get("certname") != c.Certname || c.Values["site"] == "" || len(c.PackageInventory) < 10 {
		http.Error(w, "not what PuppetDB takes", http.StatusBadRequest)
		return
	}
	p.facts[c.Certname] = len(c.Values) + len(c.PackageInventory)
	p.told++
	_ = json.NewEncoder(w).Encode(map[string]any{"processed": !p.fail, "timed_out": p.fail})
}

func TestBothGetTheSameFleetAndTheSameQuestions(t *testing.T) {
	server := serverFile(t)
	p := &puppet{facts: map[string]int{}}
	s := httptest.NewServer(p)
	defer s.Close()
	file := filepath.Join(t.TempDir(), "run.json")
	args := []string{
		"peer", "--machines", "12", "--clients", "4", "--each", "1ms", "--puppetdb", s.URL, "--process", strconv.Itoa(os.Getpid()), "--server-program", server, "--json", file,
	}
	var out, trouble bytes.Buffer
	if code := (&app{out: &out, err: &trouble}).run(t.Context(), args); code != 0 {
		t.Fatalf("exit status %d\n%s\n%s", code, out.String(), trouble.String())
	}
	var r matchResult
	b, err := os.ReadFile(file)
	if err = errors.Join(err, json.Unmarshal(b, &r)); err != nil {
		t.Fatal(err)
	}
	if len(p.facts) != 12 || len(r.Phases) != 2 || len(r.Questions) < 8 {
		t.Fatalf("%d machines at PuppetDB, %d phases, %d questions", len(p.facts), len(r.Phases), len(r.Questions))
	}
	for _, ph := range r.Phases {
		if ph.Rollcall.Count == 0 || ph.PuppetDB.Count == 0 || ph.Rollcall.Seconds <= 0 || ph.PuppetDB.Seconds <= 0 || ph.Rollcall.CPU <= 0 {
			t.Errorf("%+v", ph)
		}
	}
	if n := r.Phases[0]; n.Rollcall.Count != 12 || n.PuppetDB.Count != 12 || p.told != 12+r.Phases[1].PuppetDB.Count {
		t.Errorf("first facts: %+v, %d commands", n, p.told)
	}
	for _, q := range r.Questions {
		if q.Rollcall.Problem != "" || q.Rollcall.Found == 0 || q.Rollcall.MedianMS <= 0 || q.PuppetDB.Question == "" || q.PuppetDB.MedianMS <= 0 {
			t.Errorf("%+v", q)
		}
		if !strings.Contains(out.String(), q.Name) {
			t.Errorf("the table lacks %q:\n%s", q.Name, out.String())
		}
	}
	if r.Memory.Rollcall < 10<<20 || r.Memory.PuppetDB < 1<<20 {
		t.Errorf("memory: %+v", r.Memory)
	}
	// A PuppetDB that is not empty would be measured with what is in it.
	trouble.Reset()
	if code := (&app{out: &out, err: &trouble}).run(t.Context(), args); code == 0 || !strings.Contains(trouble.String(), "it must run and be empty") {
		t.Errorf("exit status %d with 12 nodes: %s", code, trouble.String())
	}
	p.facts, p.fail = map[string]int{}, true
	trouble.Reset()
	if code := (&app{out: &out, err: &trouble}).run(t.Context(), args); code == 0 || !strings.Contains(trouble.String(), "has not stored the facts of") {
		t.Errorf("exit status %d where nothing is stored: %s", code, trouble.String())
	}
}

func TestAProcessIsCountedWithItsChildren(t *testing.T) {
	memory, _, err := usageOf([]int{os.Getpid()})
	parents, _, err2 := usageOf([]int{os.Getppid()})
	if err = errors.Join(err, err2); err != nil || memory < 1<<20 || parents <= memory {
		t.Errorf("this process takes %d bytes, its parent with it %d, %v", memory, parents, err)
	}
	if _, _, err := usageOf([]int{1 << 30}); err != nil {
		t.Errorf("a process that has ended: %v", err)
	}
}
