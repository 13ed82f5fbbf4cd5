package collect

import (
	"encoding/json"
	"reflect"
	"testing"

	"rollcall/internal/fact"
)

func TestPatternsStandForComponents(t *testing.T) {
	tests := []struct {
		pattern, path string
		want          bool
	}{
		{"hw/memory/total", "hw/memory/total", true},
		{"hw/memory/total", "hw/memory/total/x", false},
		{"hw/usb/*", "hw/usb/1d6b:0002", true},
		{"hw/usb/*", "hw/usb", false},
		{"hw/usb/*", "hw/usb/a/b", false},
		{"net/*/addr/*", "net/eth0/addr/192.0.2.1%2F24", true},
		{"hw/monitor/**", "hw/monitor/card0-DP-1/serial", true},
		{"hw/monitor/**", "hw/monitors/x", false},
	}
	for _, tt := range tests {
		if got := matches(tt.pattern, tt.path); got != tt.want {
			t.Errorf("matches(%q, %q) = %v, want %v", tt.pattern, tt.path, got, tt.want)
		}
	}
}

func TestBucketsHoldStillNearABorder(t *testing.T) {
	tests := []struct {
		name              string
		round             bucket
		value, last, want string
	}{
		{"step rounds to the nearest", step(64), "100", "", "128"},
		{"step rounds down", step(64), "95", "", "64"},
		{"step keeps its bucket just beyond the border", step(64), "95", "128", "128"},
		{"step leaves it farther away", step(64), "70", "128", "64"},
		{"step forgets a last value of another step", step(64), "95", "100", "64"},
		{"percent keeps", percent(5), "96", "100", "100"},
		{"percent moves", percent(5), "95", "100", "95"},
		{"levels give the limit reached", levels(0, 0, 3, 7), "6", "", "3"},
		{"levels below the first", levels(0, 3, 7), "1", "", "3"},
		{"levels are kept just below the limit", levels(2, 0, 80, 90), "88", "90", "90"},
		{"levels are left farther below", levels(2, 0, 80, 90), "87", "90", "80"},
		{"levels rise at once", levels(2, 0, 80, 90), "90", "80", "90"},
		{"what is no number stays", levels(0, 0, 3), "unknown", "", "unknown"},
		{"a huge number stays", step(64), "18446744073709551615", "", "18446744073709551615"},
	}
	for _, tt := range tests {
		if got := tt.round(tt.value, tt.last); got != tt.want {
			t.Errorf("%s: %s after %q = %s, want %s", tt.name, tt.value, tt.last, got, tt.want)
		}
	}
}

// runs plays runs of one collector of "hw/" and gives the value at path after
// each; "-" stands for a missing fact, "?" for a run that timed out.
func runs(path string, seen []string) []string {
	var m Memory
	var got []string
	for _, v := range seen {
		status := []Status{{Owns: []string{"hw/"}, State: OK}}
		var facts []fact.Fact
		switch v {
		case "-":
		case "?":
			status[0].State = TimedOut
		default:
			facts = []fact.Fact{{Path: path, Value: v}}
		}
		b, err := json.Marshal(m)
		if err != nil {
			panic(err)
		}
		m = Memory{}
		if err := json.Unmarshal(b, &m); err != nil {
			panic(err)
		}
		facts, _, m = classify(facts, status, m)
		if len(facts) == 0 {
			got = append(got, "-")
		}
		for _, f := range facts {
			got = append(got, f.Value)
		}
	}
	return got
}

func TestClassDecidesWhatAChangeMeans(t *testing.T) {
	tests := []struct {
		name       string
		path       string
		seen, want []string
	}{
		{"stable follows at once", "hw/system/vendor", []string{"a", "b", "-", "b"}, []string{"a", "b", "-", "b"}},
		{"the first run is taken as it is", "hw/usb/1:2", []string{"a"}, []string{"a"}},
		{"a new thing counts the second time", "hw/usb/1:2", []string{"-", "a", "a"}, []string{"-", "-", "a"}},
		{"a passing thing never counts", "hw/usb/1:2", []string{"-", "a", "-", "a", "-"}, []string{"-", "-", "-", "-", "-"}},
		{"a lost thing goes the second time", "hw/usb/1:2", []string{"a", "-", "-"}, []string{"a", "a", "-"}},
		{"a gap is not seen", "hw/usb/1:2", []string{"a", "-", "a", "-", "a"}, []string{"a", "a", "a", "a", "a"}},
		{"a changed value waits", "hw/usb/1:2", []string{"a", "b", "b", "a", "b"}, []string{"a", "a", "b", "b", "b"}},
		{"a run that timed out misses nothing", "hw/usb/1:2", []string{"a", "?", "?", "?"}, []string{"a", "a", "a", "a"}},
		{"an event may be rounded", "fs/usage/%2F", []string{"81", "79", "77", "77"}, []string{"80", "80", "80", "0"}},
		{"volatile is never a fact", "hw/raid/md0/sync", []string{"1", "2"}, []string{"-", "-"}},
		{"bucketed is rounded", "hw/memory/total", []string{"8226897920", "8226000000"}, []string{"8254390272", "8254390272"}},
	}
	for _, tt := range tests {
		if got := runs(tt.path, tt.seen); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: saw %v, reported %v, want %v", tt.name, tt.seen, got, tt.want)
		}
	}
}

func TestSpeedOfALinkLastsUntilItsCardIsGone(t *testing.T) {
	ok := []Status{{Owns: []string{"net/"}, State: OK}}
	card := fact.Fact{Path: "net/eth0/mac", Value: "02:00:00:00:00:01"}
	speed := func(v string) fact.Fact { return fact.Fact{Path: "net/eth0/speed", Value: v} }
	var m Memory
	for i, run := range []struct {
		found []fact.Fact
		want  string
	}{
		{[]fact.Fact{card, speed("1000")}, "1000"},
		{[]fact.Fact{card}, "1000"}, // the cable is out
		{[]fact.Fact{card}, "1000"},
		{[]fact.Fact{card}, "1000"},
		{[]fact.Fact{card, speed("100")}, "1000"},
		{[]fact.Fact{card, speed("100")}, "100"}, // and in again, but broken
		{nil, "100"},
		{nil, ""}, // the card is out
	} {
		var facts []fact.Fact
		facts, _, m = classify(run.found, ok, m)
		if got, _ := fact.NewSet(facts).Get("net/eth0/speed"); got != run.want {
			t.Errorf("run %d: speed %q, want %q", i, got, run.want)
		}
	}
}

func TestVolatileFactsBecomeMeasurements(t *testing.T) {
	_, measured, _ := classify([]fact.Fact{{Path: "hw/raid/md0/sync", Value: "12.6%"}}, nil, Memory{})
	if len(measured) != 1 || measured[0].Path != "m/hw/raid/md0/sync" {
		t.Errorf("measured = %v", measured)
	}
}
