package server

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/internal/sim"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/store"
)

// BenchmarkEnrol measures what the admission of one more machine costs a server
// that knows many: with a token, with the approval of an operator, and the list of
// those that wait. What it costs must not follow from how many there are.
func BenchmarkEnrol(b *testing.B) {
	for _, fleet := range []int{1_000, 10_000} {
		b.Run(fmt.Sprintf("fleet=%d", fleet), func(b *testing.B) {
			r := start(b, func(c *Config) {
				c.Connections, c.PerHost, c.Handshakes, c.Enrolments = 10_000, 10_000, mostHandshakes, mostEnrolments
			})
			r.populate(fleet)
			next := fleet
			school := schoolOf(fleet - 1)
			admit := func(b *testing.B, req *rollcallv1.NewTokenRequest, after func(*machine)) {
				before := cpuTime(b)
				for b.Loop() {
					m := r.stranger(uint64(next))
					next++
					if _, err := r.enrol(m, r.token(req)); err != nil {
						b.Fatal(err)
					}
					after(m)
					_ = m.conn.Close()
				}
				b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/machine")
			}
			b.Run("token", func(b *testing.B) { admit(b, &rollcallv1.NewTokenRequest{Site: school}, func(*machine) {}) })
			b.Run("approved", func(b *testing.B) {
				admit(b, &rollcallv1.NewTokenRequest{Site: school, NeedsApproval: true}, func(m *machine) {
					key := identity.IDOf(identity.Public(m.Key)).String()
					if _, err := r.kari.Approve(b.Context(), &rollcallv1.DecideRequest{Key: key}); err != nil {
						b.Fatal(err)
					}
				})
			})
			b.Run("waiting-list", func(b *testing.B) {
				m := r.stranger(uint64(next))
				next++
				body(m.Machine, 7) // installed anew
				if _, err := r.enrol(m, r.token(&rollcallv1.NewTokenRequest{Site: school, NeedsApproval: true})); err != nil {
					b.Fatal(err)
				}
				before := cpuTime(b)
				for b.Loop() {
					list, err := r.kari.Pending(b.Context(), &rollcallv1.PendingRequest{})
					if err != nil || len(list.GetKeys()) != 1 || list.GetKeys()[0].GetLikeCi() != "sim-00007" {
						b.Fatalf("those that wait: %v, %v, want one that is like sim-00007", list.GetKeys(), err)
					}
				}
				b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/list")
			})
		})
	}
}

// perSchool is how many machines of a fleet stand in one school.
const perSchool = 400

func schoolOf(number int) string { return fmt.Sprintf("elm/school-%03d", number/perSchool) }

// populate enrols machines of many schools that have reported who they are, without
// the wire, and waits until the mirror has them.
func (r *running) populate(n int) {
	sites := []string{"elm"}
	for i := 0; i < n; i += perSchool {
		sites = append(sites, schoolOf(i))
	}
	for _, path := range sites {
		if _, err := r.kari.SetSite(r.t.Context(), &rollcallv1.SetSiteRequest{Site: &rollcallv1.Site{Path: path}}); err != nil {
			r.t.Fatal(err)
		}
	}
	defer func() {
		for {
			st, err := r.kari.Status(r.t.Context(), &rollcallv1.StatusRequest{})
			if err != nil {
				r.t.Fatal(err)
			}
			if st.GetMirrorBacklog() == 0 {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	var wg sync.WaitGroup
	for _, part := range slices.Collect(slices.Chunk(numbersBelow(n), (n+benchClients-1)/benchClients)) {
		wg.Go(func() {
			for _, i := range part {
				if err := r.settle(i); err != nil {
					r.t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func numbersBelow(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// body gives a machine what people can see of it from outside.
func body(m *sim.Machine, number int) {
	m.Facts["id"] = fact.NewSet([]fact.Fact{{Path: "id/hostname", Value: m.Name}, {Path: "id/uuid", Value: fmt.Sprintf("5a7d1c40-4218-4287-a3ef-%012x", number)}})
	m.Facts["net"] = fact.Set{{Path: "net/eno1/permanent", Value: fmt.Sprintf("02:00:00:%02x:%02x:%02x", number>>16, number>>8&255, number&255)}}
}

// settle enrols one machine and takes its first report in.
func (r *running) settle(number int) error {
	s, ctx := r.srv, r.t.Context()
	m, err := sim.NewMachine(uint64(number), identity.Public(s.key))
	if err != nil {
		return err
	}
	body(m, number)
	token := enrol.Token{ID: fmt.Sprintf("%016x", number), Hash: identity.HashSecret(identity.NewSecret()), By: "bench", Site: schoolOf(number), Expires: time.Now().Add(time.Hour)}
	req := enrol.Request{TokenID: token.ID, Proof: identity.Proof(token.Hash, nil, identity.Public(m.Key)), Public: identity.Public(m.Key), Hostname: m.Name}
	if err := s.service.Writer.Update(ctx, func(tx store.Tx) error {
		keys := enrol.In(tx, s.cfg.Tenant, cmdb.In(tx, s.cfg.Tenant, cmdb.Everywhere))
		if _, err := keys.AddToken(token); err != nil {
			return err
		}
		_, err := keys.Admit(time.Now(), req)
		return err
	}); err != nil {
		return err
	}
	env, err := m.Report(true)
	if err == nil {
		_, err = s.service.Ingest.Accept(ctx, identity.Public(m.Key), "192.0.2.1", env)
	}
	return err
}
