package server

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/store"
)

// A name with line ends and the look of a log line makes one line, in the log's text
// form and as JSON, and ten thousand names add nothing to the figures.
func TestClass17LogAndMetricInjection(t *testing.T) {
	r := start(t, withFigures(t))
	m := r.stranger(1)
	m.Name = "pc07\n{\"level\":\"ERROR\",\"msg\":\"forged\"}\r\nlevel=ERROR msg=forged"
	if _, err := r.enrol(m, r.token(&rollcallv1.NewTokenRequest{NeedsApproval: true})); err != nil {
		t.Logf("refused: %v", err)
	}
	_, err := r.kari.Revoke(t.Context(), &rollcallv1.DecideRequest{Key: m.Name, Reason: m.Name})
	if err == nil {
		t.Error("a key of that name is revoked")
	}
	var lines logs // rollcall-server logs JSON
	slog.New(slog.NewJSONHandler(&lines, nil)).Warn("call refused", "hostname", m.Name, "err", err)
	for line := range strings.Lines(lines.String()) {
		var v struct{ Msg string }
		if err := json.Unmarshal([]byte(line), &v); err != nil || v.Msg == "forged" {
			t.Errorf("log line %q: %v", line, err)
		}
	}
	for line := range strings.Lines(r.logs.String()) {
		if !strings.HasPrefix(line, "time=") || strings.Contains(line, " msg=forged") && strings.HasPrefix(line, "level=") {
			t.Errorf("log line %q", line)
		}
	}

	url := "http://" + r.cfg.Metrics + "/metrics"
	series := func() int { return len(regexp.MustCompile(`(?m)^rollcall_`).FindAllString(scrape(t, url), -1)) }
	before := series()
	const names, batch = 10_000, 100
	for i := 0; i < names; i += batch {
		err := r.srv.writer.Update(t.Context(), func(tx store.Tx) error {
			items := cmdb.In(tx, r.cfg.Tenant, cmdb.Everywhere)
			for n := i; n < i+batch; n++ {
				ci, err := items.New(fmt.Sprintf("ci%020x", n), fmt.Sprintf("host-%d", n), "workstation", "")
				if err != nil {
					return err
				}
				next := ci
				if _, _, err := items.Record(r.srv.service.Now(), ci, next, cmdb.Revision{By: "test"}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if text := scrape(t, url); strings.Contains(text, "host-") || !strings.Contains(text, fmt.Sprintf("rollcall_items{presence=\"never-seen\"} %d\n", names)) {
		t.Error("a figure holds the name of a machine, or the machines are not counted")
	}
	if after := series(); after != before {
		t.Errorf("%d series before %d names, %d after", before, names, after)
	}
}
