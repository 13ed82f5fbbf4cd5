package server

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestBackupKeepsItsPace measures what docs/security.md says of a backup. Writers
// go on meanwhile; what it needs of memory does not grow with the store.
func TestBackupKeepsItsPace(t *testing.T) {
	if os.Getenv("ROLLCALL_TORTURE") == "" {
		t.Skip("fills a store with a third of a gibibyte; set ROLLCALL_TORTURE=1, or make torture")
	}
	public, ids := safes(t)
	r := start(t, func(c *Config) { c.BackupRecipients = public })
	rnd := rand.NewChaCha8([32]byte{1})
	var ms []*machine
	for i := range 50 {
		m, files := r.machine(uint64(i)), map[string]string{}
		for f := range 20 {
			b := make([]byte, 192<<10)
			_, _ = rnd.Read(b) // never fails, see math/rand/v2
			files[fmt.Sprint("f", f)] = base64.StdEncoding.EncodeToString(b)
		}
		m.keep(t, files)
		ms = append(ms, m)
	}
	info, err := os.Stat(r.cfg.database())
	if err != nil {
		t.Fatal(err)
	}
	gib := float64(info.Size()) / (1 << 30)
	var stop atomic.Bool
	var reports atomic.Int64
	var wg sync.WaitGroup
	for _, m := range ms[:4] {
		wg.Go(func() {
			for k := 0; k < 190 && !stop.Load(); k++ {
				m.Upgrade(k, k)
				m.report(t, false)
				reports.Add(1)
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	before := reports.Load()
	file := filepath.Join(filepath.Dir(r.cfg.Data), "backup.age")
	rep, err := Backup(t.Context(), r.cfg, file, "test")
	meanwhile := reports.Load() - before
	stop.Store(true)
	wg.Wait()
	if err != nil || len(rep.Faults) > 0 || meanwhile == 0 {
		t.Fatalf("backup: %v, %v; %d reports meanwhile", rep.Faults, err, meanwhile)
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	t.Logf("store of %.2f GiB: copied in %.1f s/GiB beside %d reports, whole and verified in %.1f s/GiB; %d MiB of memory in all",
		gib, rep.Snapshot.Seconds()/gib, meanwhile, rep.Took.Seconds()/gib, mem.Sys>>20)
	if mem.Sys > 512<<20 {
		t.Errorf("it took %d MiB of memory", mem.Sys>>20)
	}
	began := time.Now()
	_, back, err := Restore(t.Context(), another(t, r.cfg), file, ids)
	if err != nil || len(back.Faults) > 0 {
		t.Fatalf("restore: %v, %v", back.Faults, err)
	}
	t.Logf("restored in %.1f s/GiB", time.Since(began).Seconds()/gib)
}
