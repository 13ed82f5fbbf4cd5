package server

import (
	"strings"
	"testing"

	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"

	"google.golang.org/grpc/codes"
)

func TestAComplaintLeadsToTheServersLogAndADeedToItsRequest(t *testing.T) {
	r := start(t)
	m := r.machine(1)
	viewer := r.operator("vera", auth.Grant{Role: auth.Viewer})
	_, err := viewer.Set(t.Context(), &rollcallv1.SetRequest{Ci: m.ci, Fields: map[string]string{"owner": "vera"}})
	wantCode(t, "a viewer writes", err, codes.PermissionDenied)
	_, id, ok := strings.Cut(err.Error(), "(request ")
	id = strings.TrimSuffix(id, ")")
	if !ok || len(id) != 12 || !strings.Contains(r.logs.String(), "request="+id) {
		t.Errorf("the refusal %q does not lead to a line of the server's log", err)
	}
	seen := map[string]bool{}
	for range 2 {
		if _, err := r.kari.Set(t.Context(), &rollcallv1.SetRequest{Ci: m.ci, Fields: map[string]string{"owner": strings.Repeat("k", len(seen)+1)}}); err != nil {
			t.Fatal(err)
		}
		request := r.lastEntry().Detail["request"]
		if len(request) != 12 || seen[request] {
			t.Errorf("the leaf names request %q", request)
		}
		seen[request] = true
	}
	reply, err := r.kari.Actions(t.Context(), &rollcallv1.ActionsRequest{Limit: 1})
	if err != nil || !seen[reply.GetActions()[0].GetDetail()["request"]] {
		t.Errorf("the trail tells %v, %v", reply.GetActions(), err)
	}
}
