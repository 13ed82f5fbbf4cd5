package report_test

import (
	"errors"
	"strings"
	"testing"

	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/query"
	"rollcall/server/report"
	"rollcall/server/report/reporttest"
)

func values(t *testing.T, f *reporttest.Fleet, scope cmdb.Scope, req *rollcallv1.ValuesRequest) (reply *rollcallv1.ValuesReply, err error) {
	t.Helper()
	return reply, f.See(t.Context(), scope, func(s report.Source) error {
		reply, err = report.Values(t.Context(), s, req)
		return err
	})
}

// TestEachValueIsAsFrequentAsItsFilterSays asks each offered value as a filter: as
// many CIs must be selected as were promised.
func TestEachValueIsAsFrequentAsItsFilterSays(t *testing.T) {
	f := reporttest.New(t)
	subjects := []string{"field(barcode)", "hw/cpu/model", "net/*/mac", "hw/disk/*/model", "pkg/cups/version", "os/kernel", "user/root"}
	for _, field := range query.Fields() {
		subjects = append(subjects, field.Name)
	}
	asked := 0
	for _, subject := range subjects {
		reply, err := values(t, f, cmdb.Everywhere, &rollcallv1.ValuesRequest{Subject: subject, Limit: 200})
		if err != nil {
			t.Errorf("%s: %v", subject, err)
			continue
		}
		for _, v := range reply.GetValues() {
			filter := reply.GetSubject() + " " + v.GetOp() + " " + v.GetWord()
			again, err := values(t, f, cmdb.Everywhere, &rollcallv1.ValuesRequest{Subject: "class", Filter: filter})
			if asked++; err != nil || again.GetMachines() != v.GetMachines() {
				t.Errorf("%s selects %d, %v; %d have it", filter, again.GetMachines(), err, v.GetMachines())
			}
		}
	}
	if asked < 100 {
		t.Errorf("only %d values are offered", asked)
	}
}

func TestStepsLeadFromSectionsToFactsAndShowOnlyWhatThereIs(t *testing.T) {
	f := reporttest.New(t)
	for subject, want := range map[string]string{
		"":             "hw/",
		"hw/":          "hw/raid/",
		"hw/raid/":     "hw/raid/md0/",
		"hw/raid/*/":   "hw/raid/*/degraded",
		"pkg/":         "pkg/cups/version",
		"net/":         "net/eno1/",
		"os/":          "os/kernel",
		"hw/disk/sda/": "hw/disk/sda/model",
	} {
		reply, err := values(t, f, cmdb.Everywhere, &rollcallv1.ValuesRequest{Subject: subject, Limit: 200})
		found := false
		for _, v := range reply.GetValues() {
			found = found || v.GetSubject() == want
			if v.GetMachines() == 0 || v.GetMachines() > reply.GetMachines() {
				t.Errorf("%q offers %v of %d", subject, v, reply.GetMachines())
			}
		}
		if err != nil || !found {
			t.Errorf("%q does not lead to %s: %v, %v", subject, want, reply.GetValues(), err)
		}
	}
	reply, err := values(t, f, cmdb.Everywhere, &rollcallv1.ValuesRequest{Subject: "", Filter: "class = diskless", Limit: 200})
	for _, v := range reply.GetValues() {
		if err != nil || v.GetValue() == "hw/" || v.GetValue() == "memory" {
			t.Errorf("the diskless machine has reported no hardware, %s is offered (%v)", v.GetValue(), err)
		}
	}
}

func TestAListIsNarrowedAndTurnedPageByPage(t *testing.T) {
	f := reporttest.New(t)
	reply, err := values(t, f, cmdb.Everywhere, &rollcallv1.ValuesRequest{Subject: "pkg/", Narrow: "GIMP", Limit: 1})
	if err != nil || reply.GetTotal() != 2 || len(reply.GetValues()) != 1 || reply.GetValues()[0].GetValue() != "gimp/" {
		t.Errorf("got %v, %v", reply, err)
	}
	reply, err = values(t, f, cmdb.Everywhere, &rollcallv1.ValuesRequest{Subject: "pkg/", Narrow: "gimp", Limit: 1, Skip: 1})
	if err != nil || len(reply.GetValues()) != 1 || reply.GetValues()[0].GetValue() != "gimp-data/" {
		t.Errorf("got %v, %v", reply, err)
	}
	if reply, err = values(t, f, cmdb.Everywhere, &rollcallv1.ValuesRequest{Subject: "pkg/", Skip: 4_000_000_000}); err != nil || len(reply.GetValues()) != 0 {
		t.Errorf("far behind the end: %v, %v", reply, err)
	}
}

func TestClass06AGuidedQuestionTellsNothingOfOtherSites(t *testing.T) {
	f := reporttest.New(t)
	for _, subject := range []string{"", "site", "name", "model", "pkg/", "net/*/mac", "owner", "field(barcode)", "hw/"} {
		reply, err := values(t, f, cmdb.Within("elm/north"), &rollcallv1.ValuesRequest{Subject: subject, Limit: 200})
		if err != nil || reply.GetMachines() != 4 {
			t.Errorf("%q: %v, %v", subject, reply, err)
		}
		for _, other := range []string{"south", "clone0", "nb-17", "ThinkPad", "libreoffice", "02:00:5e", "ola", "EDU-0417"} {
			if strings.Contains(reply.String(), other) {
				t.Errorf("%q tells of %s: %v", subject, other, reply)
			}
		}
	}
}

func TestASubjectThatThereCannotBeIsRefused(t *testing.T) {
	f := reporttest.New(t)
	for _, subject := range []string{"nothing", "../", "PKG/", "a b/c", "/", "//", "*/x", "**/"} {
		if reply, err := values(t, f, cmdb.Everywhere, &rollcallv1.ValuesRequest{Subject: subject}); !errors.Is(err, report.ErrParam) {
			t.Errorf("%q: %v, %v, want ErrParam", subject, reply, err)
		}
	}
	if _, err := values(t, f, cmdb.Everywhere, &rollcallv1.ValuesRequest{Subject: "class", Filter: "site ="}); err == nil {
		t.Error("a filter that is none is taken")
	}
}
