// Package sitesummary stands beside Debian Edu's sitesummary while a school changes
// over. It takes the upload of an unchanged sitesummary-client, over plain HTTP and
// signed by nobody, and makes the sender a CI of trust class "unsigned" with what
// can be read from the files (Service). And it keeps a folder in sitesummary's own
// form for the tools that read one (Keeper): from uploads as they came, of machines
// with an agent by writing the same files from their facts.
//
// An upload proves nothing: anybody who reaches the port can send one in the name of
// any machine. So it is no evidence and leaves no leaf in the log, it never changes a
// CI that any signed word was recorded of, and no restore starts from it.
package sitesummary

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/index"
	"rollcall/server/store"
)

// Errors that an upload is refused with, beside ErrUpload.
var (
	ErrTooMany  = errors.New("too many uploads")
	ErrStarting = errors.New("the server is starting")
	ErrDisposed = errors.New("this machine was disposed of")
)

// Outcome of an upload that was taken.
type Outcome string

// The outcomes. With Kept nothing was changed: an agent speaks for the machine.
const (
	Recorded  Outcome = "recorded"
	Unchanged Outcome = "unchanged"
	Kept      Outcome = "kept"
)

// Service takes uploads. All fields up to Now must be set.
type Service struct {
	Engine   store.Engine
	Writer   *store.Writer
	Tenant   string
	Sets     *cmdb.Sets
	Presence *cmdb.Presence
	Index    *index.Index
	// Beside runs fn while no content is removed from the store.
	Beside func(fn func() error) error
	Log    *slog.Logger
	Now    func() time.Time

	Site   string  // where machines are put that come in this way; empty: nowhere
	Most   int     // machines that may come in this way; 0: 2000
	Folder *Folder // where uploads are put as they came; nil: nowhere

	counts *counters
	known  atomic.Int64 // machines that have come in this way; -1: not counted yet
}

// mostMachines is how many machines may come in unsigned unless it is configured.
const mostMachines = 2000

// Take records what one client sent from an address.
func (s *Service) Take(ctx context.Context, from netip.Addr, up Upload) (Outcome, error) {
	sheet := read(up)
	if sheet.mac == "" {
		return "", fmt.Errorf("upload from %s: %w: no MAC in system/ifconfig-a", from, ErrUpload)
	}
	sheet.measure(from.String(), "sitesummary", "address")
	owners, err := s.withMAC(ctx, sheet.mac)
	if err != nil {
		return "", err
	}
	var got taken
	err = s.Beside(func() (err error) {
		got, err = s.record(ctx, sheet, from, owners)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("upload of %s from %s: %w", entryID(sheet.mac), from, err)
	}
	if got.outcome == Kept {
		return Kept, nil
	}
	s.Presence.Heard(got.ci, s.Now())
	if s.Folder != nil {
		files := ofUpload(up, sheet)
		files["peerinfo"] = fmt.Appendf(nil, "%s %s\n", from, from) // no look-up of a name that others chose
		if err := s.Folder.put(entryID(sheet.mac), got.ci, files, s.Now()); err != nil {
			s.Log.Error("sitesummary entry", "ci", got.ci, "err", err)
		}
	}
	return got.outcome, nil
}

// entryID is what sitesummary calls a machine.
func entryID(mac string) string { return "ether-" + mac }

// withMAC returns the CIs that have a network card with an address.
func (s *Service) withMAC(ctx context.Context, mac string) (ids []string, err error) {
	ids, err = s.Index.WithMAC(ctx, s.Now(), mac)
	if errors.Is(err, index.ErrLoading) {
		err = ErrStarting
	}
	return ids, err
}

// eventLike are the facts that count when two uploads agree on them, as they do in
// the agent: a stick that is plugged in for one upload is no history.
var eventLike = []string{"hw/usb/", "module/", "net/route/"}

const memoryTotal = "hw/memory/total"

// settle gives the facts that count, when shown are those that count now and before
// are the event-like ones of the upload before; nil: there was none.
func settle(now, shown, before fact.Set) []fact.Fact {
	var out []fact.Fact
	for _, f := range now {
		if !isEventLike(f.Path) {
			if have, ok := shown.Get(f.Path); ok && f.Path == memoryTotal {
				f.Value = sameMemory(have, f.Value)
			}
			out = append(out, f)
			continue
		}
		was, twice := before.Get(f.Path)
		have, shows := shown.Get(f.Path)
		switch {
		case before == nil, twice && was == f.Value:
			out = append(out, f)
		case shows:
			out = append(out, fact.Fact{Path: f.Path, Value: have})
		}
	}
	for _, f := range shown { // missed once only
		_, seen := now.Get(f.Path)
		_, was := before.Get(f.Path)
		if isEventLike(f.Path) && !seen && was {
			out = append(out, f)
		}
	}
	return out
}

// sameMemory keeps the amount that is known while the new one is within 64 MiB: it
// moves a little with each kernel.
func sameMemory(have, now string) string {
	a, b := decimal(have), decimal(now)
	if max(a, b)-min(a, b) < 64<<20 {
		return have
	}
	return now
}

func isEventLike(path string) bool {
	for _, p := range eventLike {
		if len(path) > len(p) && path[:len(p)] == p {
			return true
		}
	}
	return false
}
