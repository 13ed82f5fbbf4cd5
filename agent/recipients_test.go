package agent

import (
	"bytes"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"rollcall/internal/identity"
	"rollcall/internal/policy"
	"rollcall/internal/seal"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// forbidden are words of fields by which a server or a token could say who opens
// secrets, or what is one.
var forbidden = []string{"recipient", "age", "seal", "secret_path", "policy", "exclude", "radar"}

// sealedWord is a field whose content no server can make: bytes that another key has
// signed, see package policy. TestAHostileServerCannotForgeAPolicy tries.
const sealedWord = "rollcall.v1.SubmitReply.policy"

func TestASignedPolicyHasNoFieldForRecipients(t *testing.T) {
	for field := range reflect.TypeFor[policy.Policy]().Fields() {
		for _, word := range forbidden {
			if word != "exclude" && strings.Contains(strings.ToLower(field.Name), word) {
				t.Errorf("a policy has a field %s", field.Name)
			}
		}
	}
}

func TestNeitherServerNorTokenHasAFieldForRecipients(t *testing.T) {
	seen := map[protoreflect.FullName]bool{}
	var walk func(m protoreflect.MessageDescriptor)
	walk = func(m protoreflect.MessageDescriptor) {
		if seen[m.FullName()] {
			return
		}
		seen[m.FullName()] = true
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			if f.FullName() == sealedWord && f.Kind() == protoreflect.BytesKind {
				continue
			}
			for part := range strings.SplitSeq(string(f.Name()), "_") {
				for _, word := range forbidden {
					if part == word || part == word+"s" {
						t.Errorf("%s has a field %s", m.FullName(), f.Name())
					}
				}
			}
			if f.Message() != nil {
				walk(f.Message())
			}
		}
	}
	methods := rollcallv1.File_rollcall_v1_agent_proto.Services().ByName("Agents").Methods()
	for i := range methods.Len() {
		walk(methods.Get(i).Output())
	}
	if len(seen) < 3 {
		t.Fatalf("only %d messages were looked at", len(seen))
	}
	token := reflect.TypeFor[identity.Token]()
	for field := range token.Fields() {
		for _, word := range forbidden {
			if strings.Contains(strings.ToLower(field.Name), word) {
				t.Errorf("a token has a field %s", field.Name)
			}
		}
	}
}

// TestRecipientsOfAServerAreIgnored lets the server put a recipient, in a field
// that nobody knows, into every answer.
func TestRecipientsOfAServerAreIgnored(t *testing.T) {
	m := newMachine(t)
	private, public := seal.GenerateIdentity()
	m.cfg.Recipients = []string{public}
	_, evil := seal.GenerateIdentity()
	thief, err := seal.ParseRecipients([]string{evil})
	must(t, err)
	m.srv.mood = func(*rollcallv1.Body) (*rollcallv1.SubmitReply, error) {
		reply := &rollcallv1.SubmitReply{Outcome: rollcallv1.SubmitReply_NEED_FULL}
		reply.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, 99, protowire.BytesType), "recipient = "+evil))
		return reply, nil
	}
	a := m.open()
	defer a.Close()
	for _, password := range []string{"one", "two"} {
		m.write("etc/shadow", "root:"+password+":19000:0:99999:7:::\n")
		_, err := a.Once(t.Context(), "test")
		must(t, err)
	}
	if a.scanner.Recipients.ID() == thief.ID() || a.scanner.Recipients.Len() != 1 {
		t.Errorf("the recipients are %v", a.scanner.Recipients.Names())
	}
	ids, err := seal.ParseIdentities(strings.NewReader(private))
	must(t, err)
	opened := 0
	for _, b := range m.srv.contents {
		if !bytes.HasPrefix(b, []byte("age-encryption.org/")) {
			continue
		}
		if _, err := seal.Open(b, ids, 1<<20); err != nil {
			t.Errorf("a secret was sealed to somebody else: %v", err)
		}
		opened++
	}
	if opened != 2 {
		t.Errorf("%d ciphertexts came, want one for each password", opened)
	}
}

func TestASingleRecipientIsWarnedOfAtEveryLook(t *testing.T) {
	for _, n := range []int{1, 2} {
		m := newMachine(t)
		for range n {
			_, public := seal.GenerateIdentity()
			m.cfg.Recipients = append(m.cfg.Recipients, public)
		}
		var log bytes.Buffer
		m.deps.Log = slog.New(slog.NewTextHandler(&log, nil))
		a := m.open()
		a.cycle(t.Context(), "test")
		must(t, a.Close())
		if warned := strings.Contains(log.String(), "ONE RECIPIENT ONLY"); warned != (n == 1) {
			t.Errorf("%d recipients: warned %v\n%s", n, warned, log.String())
		}
	}
}
