package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// revokeMany ends the keys of all machines that fit a filter.
type revokeMany struct {
	*app
	filter string
	yes    bool
}

type revocableJSON struct {
	CI       string `json:"ci"`
	Name     string `json:"name"`
	Class    string `json:"class"`
	Site     string `json:"site"`
	Presence string `json:"presence"`
	KeyID    string `json:"key_id"`
	State    string `json:"state"`
}

type revokedJSON struct {
	ID       string          `json:"id"`
	Machines uint32          `json:"machines"`
	Revoked  uint32          `json:"revoked"`
	Gone     uint32          `json:"gone"`
	Failed   uint32          `json:"failed"`
	Left     []revocableJSON `json:"left"`
}

func revokedOf(r *rollcallv1.RevokeManyReply) revokedJSON {
	doc := revokedJSON{r.GetId(), r.GetOf(), r.GetRevoked(), r.GetGone(), r.GetFailed(), []revocableJSON{}}
	for _, m := range r.GetLeft() {
		doc.Left = append(doc.Left, revocableJSON{m.GetCi(), m.GetName(), m.GetClass(), m.GetSite(), m.GetPresence(), m.GetKeyId(), m.GetState()})
	}
	return doc
}

func (m revokeMany) run(ctx context.Context, reason string, asJSON bool) error {
	if reason == "" {
		return cmdline.Usagef("revoke: give a --reason: it stays in the log")
	}
	return m.ask(func(s *server) error {
		shown, err := s.Revocable(ctx, &rollcallv1.RevocableRequest{Filter: m.filter})
		if err != nil {
			return fmt.Errorf("revoke: %w", err)
		}
		if shown.GetCount() == 0 {
			return errors.New("revoke: no machine with a key fits")
		}
		m.showRevocable(m.err, shown)
		if err := m.agreed(int(shown.GetCount())); err != nil {
			return err
		}
		reply, err := s.RevokeMany(ctx, &rollcallv1.RevokeManyRequest{Filter: m.filter, Reason: reason, Keys: shown.GetKeys()})
		if err != nil {
			return fmt.Errorf("revoke: %w", err)
		}
		if asJSON {
			return m.document(revokedOf(reply))
		}
		m.showRevoked(reply)
		return nil
	})
}

// agreed asks for the number of machines, so that nobody agrees by habit.
func (m revokeMany) agreed(n int) error {
	if m.yes {
		return nil
	}
	m.err.text(plain, fmt.Sprintf("End the access of %s? Type the number: ", plural(n, "machine")))
	line, err := bufio.NewReader(io.LimitReader(m.in, maxTokenText)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("revoke: read the answer: %w", err)
	}
	if strings.TrimSpace(line) != strconv.Itoa(n) {
		return cmdline.Hinted(errors.New("revoke: nothing was done"), "type the number of machines, or give --yes")
	}
	return nil
}

// showRevocable writes what would be ended: how many, what they are, the first.
func (a *app) showRevocable(to *screen, shown *rollcallv1.RevocableReply) {
	to.line("%s: %s", plural(shown.GetCount(), "machine"), counted(shown.GetClasses()))
	to.line("at %s", counted(shown.GetSites()))
	t := table{header: []string{"NAME", "CLASS", "SITE", "PRESENCE", "KEY"}}
	for _, m := range shown.GetMachines() {
		key := m.GetState()
		if key == "enrolled" {
			key = m.GetKeyId()[:min(12, len(m.GetKeyId()))]
		}
		t.row(m.GetName(), orDash(m.GetClass()), orDash(m.GetSite()), m.GetPresence(), key)
	}
	t.write(to)
	if more := int(shown.GetCount()) - len(shown.GetMachines()); more > 0 {
		to.line("and %d more", more)
	}
	for _, note := range shown.GetNotes() {
		to.line("%s", note)
	}
}

// counted joins counts, the largest first.
func counted(of map[string]uint32) string {
	names := slices.Sorted(maps.Keys(of))
	slices.SortStableFunc(names, func(a, b string) int { return int(of[b]) - int(of[a]) })
	for i, name := range names {
		names[i] = fmt.Sprintf("%d %s", of[name], name)
	}
	return some(names, 8)
}

// showRevoked says what became of it.
func (a *app) showRevoked(r *rollcallv1.RevokeManyReply) {
	a.out.line("ended the access of %d of %s, as revocation %s", r.GetRevoked(), plural(r.GetOf(), "machine"), r.GetId())
	var left []string
	for _, m := range r.GetLeft() {
		name := m.GetName()
		if name == "" {
			name = m.GetKeyId()[:min(12, len(m.GetKeyId()))]
		}
		left = append(left, name)
	}
	if r.GetGone() > 0 {
		a.out.line("%d were not there any more: ended meanwhile, or moved away, or they fit no longer: %s", r.GetGone(), some(left, 20))
	}
	if r.GetFailed() > 0 {
		a.out.styled(yellow, "%d cannot be read: rollcall-server check names what is damaged", r.GetFailed())
	}
}

// proposedMany shows each machine of a proposal to end the keys of many; nothing
// for another proposal.
func (a *app) proposedMany(ctx context.Context, s *server, p *rollcallv1.Proposal) error {
	var req rollcallv1.RevokeManyRequest
	if p.GetMethod() != rollcallv1.Keys_RevokeMany_FullMethodName || protojson.Unmarshal([]byte(p.GetRequest()), &req) != nil {
		return nil
	}
	shown, err := s.Revocable(ctx, &rollcallv1.RevocableRequest{List: req.GetList(), Limit: ^uint32(0)})
	if err != nil {
		return fmt.Errorf("the machines of proposal %s: %w", p.GetId(), err)
	}
	a.showRevocable(a.out, shown)
	return nil
}
