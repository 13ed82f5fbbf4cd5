package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/sim"
)

// puppetDB is a PuppetDB that runs, as its HTTP interface shows it: commands of
// version 5 of "replace facts", queries of version 4 in its own language (PQL).
type puppetDB struct {
	base   string
	pids   []int // of Java and of PostgreSQL's first process
	client *http.Client
}

// commandTimeout is how long one command may wait in the queue of PuppetDB.
const commandTimeout = 300

// replaceFacts brings everything that a machine is, as Puppet's agents do at each
// run: its packages as PuppetDB's own inventory of packages, every other fact by
// its path. It returns when PuppetDB has stored it.
func (p *puppetDB) replaceFacts(ctx context.Context, f *sim.Fleet, i int) (facts int, err error) {
	m := f.Member(i)
	values := map[string]string{"class": m.Profile.Class(), "site": m.Site}
	var packages [][3]string
	for section := range f.Sections(i) {
		for _, fact := range section.Set() {
			if name, ok := packageOf(fact.Path); ok {
				packages = append(packages, [3]string{name, fact.Value, "apt"})
				continue
			}
			values[fact.Path] = fact.Value
		}
	}
	now := time.Now().UTC().Format(time.RFC3339Nano)
	body, err := json.Marshal(map[string]any{
		"certname": m.Name, "environment": "production", "producer": "rollcall-bench", "producer_timestamp": now, "values": values, "package_inventory": packages,
	})
	if err != nil {
		return 0, fmt.Errorf("encode facts of %s: %w", m.Name, err)
	}
	query := url.Values{
		"certname": {m.Name}, "command": {"replace_facts"}, "version": {"5"}, "producer-timestamp": {now}, "secondsToWaitForCompletion": {strconv.Itoa(commandTimeout)},
	}
	var answer struct {
		Processed bool            `json:"processed"`
		TimedOut  bool            `json:"timed_out"`
		Error     json.RawMessage `json:"error"`
	}
	if err := p.call(ctx, http.MethodPost, "/pdb/cmd/v1?"+query.Encode(), body, &answer); err != nil {
		return 0, err
	}
	if !answer.Processed || answer.TimedOut {
		return 0, fmt.Errorf("PuppetDB has not stored the facts of %s: %s", m.Name, answer.Error)
	}
	return len(values) + len(packages), nil
}

// packageOf gives the package whose version stands at a path.
func packageOf(path string) (name string, ok bool) {
	rest, ok := strings.CutPrefix(path, "pkg/")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, "/version")
}

// ask asks in PuppetDB's language and counts the rows.
func (p *puppetDB) ask(ctx context.Context, pql string) (rows int, err error) {
	var answer []json.RawMessage
	err = p.call(ctx, http.MethodGet, "/pdb/query/v4?"+url.Values{"query": {pql}}.Encode(), nil, &answer)
	return len(answer), err
}

func (p *puppetDB) call(ctx context.Context, method, path string, body []byte, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, p.base+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("call PuppetDB: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	res, err := p.client.Do(req)
	if err != nil {
		return fmt.Errorf("call PuppetDB: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, 256<<20))
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return fmt.Errorf("read PuppetDB's answer: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("PuppetDB answers %s: %.300s", res.Status, b)
	}
	if err := json.Unmarshal(b, answer); err != nil {
		return fmt.Errorf("decode PuppetDB's answer: %w", err)
	}
	return nil
}

// usage adds up what the processes and all that they started take: memory that
// several share counts once (Pss, see proc(5)).
func usageOf(pids []int) (memory uint64, cpu time.Duration, err error) {
	children, err := childrenOf()
	if err != nil {
		return 0, 0, err
	}
	todo := append([]int(nil), pids...)
	for len(todo) > 0 {
		pid := todo[0]
		todo = append(todo[1:], children[pid]...)
		pss, ticks, err := processUsage(pid)
		if errors.Is(err, os.ErrNotExist) {
			continue // it has ended just now
		}
		if err != nil {
			return 0, 0, fmt.Errorf("look at process %d: %w", pid, err)
		}
		memory += pss
		cpu += time.Duration(ticks) * 10 * time.Millisecond
	}
	return memory, cpu, nil
}

// childrenOf lists all processes by their parents.
func childrenOf() (map[int][]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	children := map[int][]int{}
	for _, file := range stats {
		fields, err := statOf(file)
		if err != nil {
			continue // it has ended just now
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return nil, fmt.Errorf("list processes: %w", err)
		}
		if parent, err := strconv.Atoi(fields[1]); err == nil {
			children[parent] = append(children[parent], pid)
		}
	}
	return children, nil
}

// statOf gives the fields of /proc/PID/stat from the third one, the state, on.
func statOf(file string) ([]string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	i := bytes.LastIndex(b, []byte(") ")) // the name before may hold anything
	fields := strings.Fields(string(b[max(0, i+1):]))
	if len(fields) < 15 {
		return nil, fmt.Errorf("%s has %d fields", file, len(fields))
	}
	return fields, nil
}

// processUsage gives bytes of memory and hundredths of a second, those of children
// that have ended included.
func processUsage(pid int) (pss, ticks uint64, err error) {
	dir := "/proc/" + strconv.Itoa(pid)
	fields, err := statOf(dir + "/stat")
	if err != nil {
		return 0, 0, err
	}
	for _, f := range fields[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseUint(f, 10, 63)
		if err != nil {
			return 0, 0, fmt.Errorf("%s/stat: %w", dir, err)
		}
		ticks += n
	}
	b, err := os.ReadFile(dir + "/smaps_rollup")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(b)) {
		if w := strings.Fields(line); len(w) == 3 && w[0] == "Pss:" {
			kib, err := strconv.ParseUint(w[1], 10, 53)
			return kib << 10, ticks, err
		}
	}
	return 0, ticks, nil // of a process that is ending
}
