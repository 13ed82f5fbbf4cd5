package sitesummary

import "github.com/prometheus/client_golang/prometheus"

// counters counts uploads for Prometheus. No label holds a word that a sender chose.
type counters struct{ uploads *prometheus.CounterVec }

// RegisterMetrics makes and registers the service's figures.
func (s *Service) RegisterMetrics(reg prometheus.Registerer) {
	s.counts = &counters{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "rollcall_sitesummary_uploads_total", Help: "Uploads of sitesummary-client by result: recorded, unchanged, kept (an agent speaks for the machine), refused.",
	}, []string{"result"})}
	for _, o := range []Outcome{Recorded, Unchanged, Kept, "refused"} {
		s.counts.uploads.WithLabelValues(string(o))
	}
	reg.MustRegister(s.counts.uploads)
}

func (c *counters) count(o Outcome, err error) {
	if c == nil {
		return
	}
	if err != nil {
		o = "refused"
	}
	c.uploads.WithLabelValues(string(o)).Inc()
}
