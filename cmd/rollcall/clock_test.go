package main

import (
	"io"
	"testing"
	"time"

	"rollcall/cmd/internal/cmdline"
)

func TestNoTimeMeansNow(t *testing.T) {
	got, err := testApp(io.Discard).parseTime("at", "", cmdline.End)
	if err != nil || millis(got) != 0 {
		t.Errorf("got %v, %v, want 0", got, err)
	}
}

func TestRelativeTimesHaveOneUnit(t *testing.T) {
	a := testApp(io.Discard)
	for d, want := range map[time.Duration]string{
		-30 * time.Second: "30 s ago", -90 * time.Second: "1 min ago", -47 * time.Hour: "47 h ago", -49 * time.Hour: "2 d ago", 2 * time.Hour: "in 2 h",
	} {
		if got := a.ago(ms(d)); got != want {
			t.Errorf("ago(%v) = %q, want %q", d, got, want)
		}
	}
	if got := a.ago(0); got != "never" {
		t.Errorf("ago(0) = %q, want never", got)
	}
}
