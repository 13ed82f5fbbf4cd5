package api

import (
	"context"
	"errors"
	"time"

	"rollcall/internal/identity"
	"rollcall/server/cmdb"
	"rollcall/server/ingest"
	"rollcall/server/store"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the server's figures for Prometheus. No label ever holds a word
// that a machine or a caller chose.
type Metrics struct {
	reports       *prometheus.CounterVec
	verifyFailed  prometheus.Counter
	batchSize     prometheus.Histogram
	commitSeconds prometheus.Histogram
	commitFailed  prometheus.Counter
}

// NewMetrics makes and registers the figures that are counted as things happen.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		reports: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rollcall_reports_total", Help: "Envelopes by result: recorded, seen, need-full, need-content, quarantined, refused.",
		}, []string{"result"}),
		verifyFailed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rollcall_verify_failures_total", Help: "Envelopes whose signature did not verify.",
		}),
		batchSize: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "rollcall_lane_batch_operations", Help: "Operations that one commit carried.", Buckets: prometheus.ExponentialBuckets(1, 2, 9),
		}),
		commitSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "rollcall_commit_seconds", Help: "Time that a commit took, fsync included.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}),
		commitFailed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rollcall_commit_failures_total", Help: "Batches that the store refused.",
		}),
	}
	for o := ingest.Recorded; o <= ingest.Quarantined; o++ {
		m.reports.WithLabelValues(o.String())
	}
	m.reports.WithLabelValues("refused")
	reg.MustRegister(m.reports, m.verifyFailed, m.batchSize, m.commitSeconds, m.commitFailed)
	return m
}

// Hooks returns what the lanes call.
func (m *Metrics) Hooks() store.Hooks {
	return store.Hooks{
		Commit: func(ops, keys, _ int, took time.Duration) {
			if keys > 0 {
				m.batchSize.Observe(float64(ops))
				m.commitSeconds.Observe(took.Seconds())
			}
		},
		Failed: func(int, error) { m.commitFailed.Inc() },
	}
}

func (m *Metrics) submitted(res ingest.Result, err error) {
	if err == nil {
		m.reports.WithLabelValues(res.Outcome.String()).Inc()
		return
	}
	m.reports.WithLabelValues("refused").Inc()
	if errors.Is(err, identity.ErrSignature) {
		m.verifyFailed.Inc()
	}
}

// standing are the figures that are read off when they are asked for.
type standing struct {
	s        *Service
	presence *prometheus.Desc
	backlog  *prometheus.Desc
	stopped  *prometheus.Desc
	bytes    *prometheus.Desc
	spoolLag *prometheus.Desc
	failed   *prometheus.Desc
	readOnly *prometheus.Desc
	free     *prometheus.Desc
	inodes   *prometheus.Desc
	sets     *prometheus.Desc
	index    *prometheus.Desc
	made     *prometheus.Desc
}

// RegisterStanding registers the figures that are read off the store when they
// are asked for.
func (s *Service) RegisterStanding(reg prometheus.Registerer) {
	reg.MustRegister(standing{
		s:        s,
		presence: prometheus.NewDesc("rollcall_items", "CIs by presence.", []string{"presence"}, nil),
		backlog:  prometheus.NewDesc("rollcall_mirror_backlog", "Revisions that are not in the git mirror yet.", nil, nil),
		stopped:  prometheus.NewDesc("rollcall_mirror_stopped", "1 while the git mirror cannot be written; reports are taken in all the same.", nil, nil),
		bytes:    prometheus.NewDesc("rollcall_store_bytes", "Size of the store on disk.", nil, nil),
		spoolLag: prometheus.NewDesc("rollcall_spool_lag_seconds", "Largest time between claiming and recording among the reports since the last question.", nil, nil),
		failed:   prometheus.NewDesc("rollcall_scrape_failures", "1 if the store could not be read for these figures.", nil, nil),
		readOnly: prometheus.NewDesc("rollcall_read_only", "1 while nothing is taken in, because the disk has too little room.", nil, nil),
		free:     prometheus.NewDesc("rollcall_disk_free_bytes", "Room on the disk of the store.", nil, nil),
		sets:     prometheus.NewDesc("rollcall_set_cache_bytes", "What decoded fact sets take in memory; bounded.", nil, nil),
		index:    prometheus.NewDesc("rollcall_index_bytes", "What the index of facts takes in memory; 0 while it is being made.", nil, nil),
		made:     prometheus.NewDesc("rollcall_index_made_seconds", "Time that it took to make the index from the store.", nil, nil),
		inodes:   prometheus.NewDesc("rollcall_disk_free_inodes", "Files that can still be made on the disk of the store.", nil, nil),
	})
}

// Describe is part of prometheus.Collector.
func (c standing) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.presence, c.backlog, c.stopped, c.bytes, c.spoolLag, c.failed, c.readOnly, c.free, c.inodes, c.sets, c.index, c.made} {
		ch <- d
	}
}

// Collect is part of prometheus.Collector.
func (c standing) Collect(ch chan<- prometheus.Metric) {
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	var standing counted
	err := c.s.Engine.View(ctx, func(r store.Reader) (err error) {
		standing, err = c.s.standing(cmdb.At(r, c.s.Tenant, c.s.Sets, cmdb.Everywhere))
		return err
	})
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, presence := range []string{cmdb.Live, cmdb.Silent, cmdb.NeverSeen} {
		gauge(c.presence, float64(standing.presence[presence]), presence)
	}
	n, stopped := c.s.Mirror.Backlog(ctx)
	gauge(c.backlog, float64(n))
	gauge(c.stopped, oneIf(stopped != nil))
	gauge(c.bytes, float64(c.s.Size()))
	gauge(c.spoolLag, c.s.Ingest.TakeLag().Seconds())
	gauge(c.failed, oneIf(err != nil))
	disk := c.s.condition()
	gauge(c.readOnly, oneIf(disk.ReadOnly))
	gauge(c.free, float64(disk.Free))
	gauge(c.inodes, float64(disk.FreeInodes))
	_, cached := c.s.Sets.Usage()
	gauge(c.sets, float64(cached))
	if c.s.Index != nil {
		u := c.s.Index.Usage()
		gauge(c.index, float64(u.Bytes))
		gauge(c.made, u.Made.Seconds())
	}
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
