package auth_test

import (
	"testing"
	"time"

	"rollcall/server/auth"
)

func TestWhoGaveALoginAloneIsNotSecondedByItForAMonth(t *testing.T) {
	o := auth.Operator{Name: "x", By: "kari", Created: day}
	vouched := o
	vouched.Second = "per"
	for _, tt := range []struct {
		o     auth.Operator
		first string
		after time.Duration
		want  bool
	}{
		{o, "kari", 0, true},
		{o, "kari", auth.ConfirmAfter - time.Second, true},
		{o, "kari", auth.ConfirmAfter, false},
		{o, "ola", 0, false},
		{vouched, "kari", 0, false},
	} {
		if got := tt.o.GivenAloneBy(tt.first, day.Add(tt.after)); got != tt.want {
			t.Errorf("%+v by %s after %s: %v, want %v", tt.o, tt.first, tt.after, got, tt.want)
		}
	}
	if auth.ConfirmAfter <= auth.ProposalLife {
		t.Error("a proposal outlives the month")
	}
}
