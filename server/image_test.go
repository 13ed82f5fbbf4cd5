package server

import (
	"testing"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"

	"google.golang.org/grpc/codes"
)

// A machine does not choose the image that it is taken to have booted: whoever named
// one could make its CI hold what it may not read.
func TestAMachineCannotNameAnImageThatItsTokenDoesNot(t *testing.T) {
	r := start(t)
	image := r.machine(1)
	image.report(t, true)
	m := r.machine(2)
	m.Facts["id"] = fact.NewSet(append(m.Facts["id"], fact.Fact{Path: "id/image", Value: image.ci}))
	env, err := m.Report(true)
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Submit(t.Context(), &rollcallv1.SubmitRequest{Envelope: env})
	wantCode(t, "a report that names an image", err, codes.InvalidArgument)
}
