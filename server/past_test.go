package server

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/etckeeper"
)

func exported(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile("etckeeper/testdata/tjener.export")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func importPast(t *testing.T, cfg Config, in []byte) PastReport {
	t.Helper()
	rep, err := ImportEtckeeper(t.Context(), cfg, Past{Name: "tjener"}, bytes.NewReader(in))
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// historyOf lists what happened to a CI, the newest first.
func (r *running) historyOf(ci string) []*rollcallv1.RevisionInfo {
	r.t.Helper()
	reply, err := r.kari.History(r.t.Context(), &rollcallv1.HistoryRequest{Ci: ci})
	if err != nil {
		r.t.Fatal(err)
	}
	return reply.GetRevisions()
}

func TestAHistoryOfEtckeeperBecomesThatOfItsCI(t *testing.T) {
	cfg := folder(t)
	if rep := importPast(t, cfg, exported(t)); rep.Commits != 5 || rep.Revisions != 5 || rep.Withheld != 3 {
		t.Fatalf("%+v, want 5 commits, 5 revisions, 3 secrets", rep)
	}
	if rep := importPast(t, cfg, exported(t)); rep.Revisions != 0 || rep.Before != 5 {
		t.Errorf("once more: %+v, want nothing new", rep)
	}
	r := startOn(t, cfg)
	all := r.historyOf("tjener")
	if len(all) != 5 {
		t.Fatalf("%d revisions, want 5", len(all))
	}
	oldest := all[len(all)-1]
	at := time.UnixMilli(oldest.GetRecordedMs()).UTC().Truncate(time.Second)
	if want := time.Date(2023, 2, 1, 9, 0, 0, 0, time.UTC); !at.Equal(want) || oldest.GetBy() != PastBy {
		t.Errorf("the first is of %v by %q, want %v by %q", at, oldest.GetBy(), want, PastBy)
	}
	// Its agent takes it over, and goes on with the history.
	m := r.stranger(1)
	reply, err := r.enrol(m, r.token(&rollcallv1.NewTokenRequest{Ci: "tjener"}))
	if err != nil || reply.GetOutcome() != rollcallv1.EnrolReply_ENROLLED {
		t.Fatalf("enrol: %v, %v", reply, err)
	}
	m.report(t, true)
	if n := len(r.historyOf("tjener")); n != 7 {
		t.Errorf("%d revisions after its agent's first report, want 7", n)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, cfg, Known{})
	if _, err := ImportEtckeeper(t.Context(), cfg, Past{Name: "tjener"}, bytes.NewReader(exported(t))); !errors.Is(err, ErrPast) {
		t.Errorf("an import after its agent has spoken: %v, want ErrPast", err)
	}
}

func TestNoSecretOfAnImportedHistoryIsInTheDataFolder(t *testing.T) {
	cfg := folder(t)
	importPast(t, cfg, exported(t))
	r := startOn(t, cfg)
	r.machine(1).report(t, true) // its commit comes after those of the import: all are in the mirror then
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	found := false
	err := filepath.WalkDir(cfg.Data, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(name)
		found = found || bytes.Contains(b, []byte("tjener"))
		if bytes.Contains(b, []byte("CANARY")) {
			t.Errorf("%s holds a secret", name)
		}
		return err
	})
	if err != nil || !found {
		t.Errorf("the search finds nothing at all: %v", err)
	}
}

// Machines of the same school may have reported before: what is imported stands before
// their commits in the mirror, and store and mirror agree.
func TestAnImportBesideOthersLeavesStoreAndMirrorInStep(t *testing.T) {
	cfg := folder(t)
	r := startOn(t, cfg)
	r.site("elm")
	at := func(number uint64) {
		m := r.stranger(number)
		if _, err := r.enrol(m, r.token(&rollcallv1.NewTokenRequest{Site: "elm"})); err != nil {
			t.Fatal(err)
		}
		m.report(t, true)
	}
	at(1)
	r.drained()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	rep, err := ImportEtckeeper(t.Context(), cfg, Past{Name: "tjener", Site: "elm"}, bytes.NewReader(exported(t)))
	if err != nil || !rep.Rebuilt {
		t.Errorf("%+v, %v, want that the mirror is made anew", rep, err)
	}
	wantWhole(t, cfg, Known{})
	r = startOn(t, cfg)
	at(2)
	r.drained()
	out, err := exec.Command("git", "-C", filepath.Join(cfg.mirrorDir(), "elm.git"), "log", "--format=%as %s", "--", "tjener").Output()
	if lines := strings.Split(strings.TrimSpace(string(out)), "\n"); err != nil || len(lines) != 5 || lines[3] != "2023-05-01 tjener: changed /etc/cups/cupsd.conf" {
		t.Errorf("the mirror says %q, %v", lines, err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, cfg, Known{})
}

func TestAnInterruptedImportGoesOnWhereItEnded(t *testing.T) {
	cfg, all := folder(t), exported(t)
	cut := bytes.Index(all, []byte("2024"))
	if cut < 0 {
		cut = len(all) / 2
	}
	rep, err := ImportEtckeeper(t.Context(), cfg, Past{Name: "tjener"}, bytes.NewReader(all[:cut]))
	if !errors.Is(err, etckeeper.ErrStream) || rep.Revisions == 0 {
		t.Fatalf("a history that is cut off: %+v, %v, want ErrStream after some revisions", rep, err)
	}
	if again := importPast(t, cfg, all); again.Before != rep.Revisions || again.Before+again.Revisions != 5 {
		t.Errorf("%+v after %d, want all 5", again, rep.Revisions)
	}
	wantWhole(t, cfg, Known{})
	other := bytes.Replace(all, []byte("Listen 631"), []byte("Listen 632"), 1)
	for what, in := range map[string][]byte{"another history": other, "less of it": all[:bytes.LastIndex(all, []byte("\nblob\n"))+1], "nothing": nil} {
		if _, err := ImportEtckeeper(t.Context(), cfg, Past{Name: "tjener"}, bytes.NewReader(in)); !errors.Is(err, ErrPast) {
			t.Errorf("%s: %v, want ErrPast", what, err)
		}
	}
	for name, what := range map[string]Past{"a bad name": {Name: "-x"}, "no such site": {Name: "y", Site: "oak"}, "no such class": {Name: "z", Class: "toaster"}} {
		if _, err := ImportEtckeeper(t.Context(), cfg, what, bytes.NewReader(all)); err == nil || strings.Contains(err.Error(), "panic") {
			t.Errorf("%s: %v, want an error", name, err)
		}
	}
}
