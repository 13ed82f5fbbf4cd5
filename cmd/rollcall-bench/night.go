package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/internal/sim"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/api"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/store"
	"rollcall/server/store/bolt"
)

// A night is played on a fleet whose enrolments and first reports were written
// straight into the store: to send those takes longer than the night.

// openNight founds a server, writes the fleet into its store, and starts it.
func (a *app) openNight(ctx context.Context, p plan, fleet *sim.Fleet) (h *process, logins [2]identity.Token, f *filler, err error) {
	if h, logins, err = newProcess(ctx, p.program, p.folder, p.clients); err != nil {
		return nil, logins, nil, err
	}
	// An empty mirror is one, and gets what is in its outbox; where there is none the
	// server would render all before it answers.
	err = os.Mkdir(filepath.Join(h.data(), "mirror"), 0o700)
	if err == nil {
		f, err = a.enlist(ctx, p, fleet, h, logins[0].RealmID())
	}
	if err != nil {
		err = fmt.Errorf("fill the store: %w", err)
	} else {
		err = h.start()
	}
	if err != nil {
		return nil, logins, nil, errors.Join(err, h.close())
	}
	return h, logins, f, nil
}

// enlist writes what the machines are into the store of a server that does not run,
// with a key for each.
func (a *app) enlist(ctx context.Context, p plan, fleet *sim.Fleet, h *process, realm []byte) (f *filler, err error) {
	f = &filler{
		fleet: fleet, tenant: fillTenant, seed: p.seed, now: time.Now(), bases: map[fact.Digest]bool{}, files: map[fact.Digest]bool{},
		enrols: true, cis: make([]string, fleet.Len()),
	}
	if f.engine, err = bolt.Open(filepath.Join(h.data(), "rollcall.db"), bolt.Options{}); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.engine.Close()) }()
	if f.sets, err = cmdb.NewSets(); err != nil {
		return nil, err
	}
	if f.agents, err = sim.NewAgents(fleet, realm); err != nil {
		return nil, err
	}
	if err := f.found(ctx); err != nil {
		return nil, err
	}
	numbers := make([]int, fleet.Len())
	for i := range numbers {
		numbers[i] = i
	}
	return f, f.record(ctx, numbers, a.fillProgress(fleet.Day(), len(numbers)))
}

// admit enrols a machine with a token of its own, and as a second operator where it
// is a server.
func (f *filler) admit(tx store.Tx, u unit) (ci string, err error) {
	keys := enrol.In(tx, f.tenant, cmdb.In(tx, f.tenant, cmdb.Everywhere))
	token, err := keys.AddToken(enrol.Token{
		ID: fmt.Sprintf("%016x", u.number), Hash: identity.HashSecret(identity.NewSecret()), By: "kari", Created: f.now, Expires: f.now.Add(time.Hour),
		Site: u.member.School, Class: u.member.Profile.Class(),
	})
	if err != nil {
		return "", err
	}
	public := identity.Public(f.agents.Key(u.number))
	key, err := keys.Admit(f.now, enrol.Request{
		TokenID: token.ID, Proof: identity.Proof(token.Hash, nil, public), Public: public,
		Hostname: u.member.Name, Facts: f.agents.Hello(u.number), Version: sim.Version,
	})
	if err != nil {
		return "", err
	}
	kind := evidence.Enrol
	if key.State == enrol.Pending {
		kind = evidence.Approve
		if key, err = keys.Approve(f.now, key.ID, "ola", "", "", ""); err != nil {
			return "", err
		}
	}
	f.cis[u.number] = key.CI
	_, err = evidence.In(tx, f.tenant).Append(f.now, api.OfKey(kind, key))
	return key.CI, err
}

// take lets the driver go on with the agents whose machines were written.
func (d *driver) take(f *filler) {
	d.agents = f.agents
	for i, ci := range f.cis {
		d.seats[i] = seat{settled: true, ci: ci}
	}
}

// night lets the point release reach everybody, and waits until mirror and index
// have it. The mirror is given what was written into the store first.
func (d *driver) night(ctx context.Context, release sim.Day) error {
	for _, step := range []func(context.Context) error{
		func(ctx context.Context) error { return d.mirror(ctx, "mirror of first reports") },
		func(ctx context.Context) error { return d.pointRelease(ctx, release) },
		d.indexed,
		func(ctx context.Context) error { return d.mirror(ctx, "mirror catches up") },
		d.restart,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// everywhere is a package that each point release brings in a new version.
const everywhere = "base-files"

// indexed waits until a filter finds all machines with the release.
func (d *driver) indexed(ctx context.Context) error {
	want := map[string]int{}
	for i := range d.fleet.Len() {
		v, _ := d.fleet.Section(i, "pkg").Get("pkg/" + everywhere + "/version")
		want[v]++
	}
	ph := d.begin("index has it")
	for version, n := range want {
		for found := -1; found != n; {
			start := time.Now()
			call, stop := context.WithTimeout(ctx, callTimeout)
			reply, err := d.office.first.List(call, &rollcallv1.ListRequest{Filter: fmt.Sprintf("pkg(%s) = %q", everywhere, version), Limit: 1, Explain: true})
			stop()
			switch {
			case err != nil:
				ph.fail(err)
			case len(reply.GetSteps()) == 0:
				err = errors.New("the filter was not answered by the index")
			case time.Since(ph.began) > d.patience:
				err = fmt.Errorf("the index finds %d machines with %s %s, %d have it", found, everywhere, version, n)
			}
			if err != nil {
				return errors.Join(err, d.end(ctx, ph))
			}
			found = int(reply.GetSteps()[0].GetFound())
			ph.done(time.Since(start), 0)
		}
	}
	return d.end(ctx, ph)
}
