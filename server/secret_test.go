package server

import (
	"encoding/hex"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"
	"rollcall/server/enrol"
	"rollcall/server/query"
	"rollcall/server/store"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// secretWord is in the name of what must not be searched, sorted or shown.
var secretWord = regexp.MustCompile(`(?i)hash|secret|password|proof|epoch|token|salt|seed|private`)

// No field of a record that holds a secret can be asked for: not by a name of the
// filter language, not by a field that people declare (CVE-2026-46370).
func TestClass05SecretFieldsAreNotInTheRegistry(t *testing.T) {
	known := map[string]bool{}
	for _, f := range query.Fields() {
		known[f.Name] = true
		if secretWord.MatchString(f.Name) || slices.ContainsFunc(f.Facts, secretWord.MatchString) {
			t.Errorf("field %s sounds like a secret", f.Name)
		}
	}
	secret := 0
	for _, record := range []any{auth.Operator{}, auth.Session{}, auth.Proposal{}, enrol.Token{}, enrol.Key{}, enrol.Chain{}, identity.Token{}} {
		typ := reflect.TypeOf(record)
		for field := range typ.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if !secretWord.MatchString(field.Name) && !secretWord.MatchString(name) {
				continue
			}
			secret++
			if known[name] || known[strings.ToLower(field.Name)] {
				t.Errorf("%s.%s can be searched", typ, field.Name)
			}
		}
	}
	if secret < 8 {
		t.Errorf("%d secret fields were looked at: has the test gone blind?", secret)
	}
}

// mayCarry lists the fields of answers that have such a name: tokens that were
// just made, for whoever asked for them, and what is no secret.
var mayCarry = []string{
	"NewTokenReply.token", "AddOperatorReply.login_token", "LoginReply.login_token", // made just now, shown once
	"KeyInfo.token_name", "KeyInfo.token_kind", "KeyInfo.token_id", "Operator.has_token", "Operator.has_password", // which, not what it is
	"TokensReply.tokens", "WithdrawReply.token", // about tokens: TokenInfo is walked
	"ConsistencyReply.hashes", "InclusionReply.hashes", "ProveReply.proof", // of the public log
	"SharedSecret.secrets", // how many
}

// What an answer could hold is walked by reflection: a new field with the name of
// a secret fails until somebody has thought about it.
func TestClass05AnswersHaveNoFieldForASecret(t *testing.T) {
	seen := map[protoreflect.FullName]bool{}
	var walk func(m protoreflect.MessageDescriptor)
	walk = func(m protoreflect.MessageDescriptor) {
		if seen[m.FullName()] {
			return
		}
		seen[m.FullName()] = true
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			name := string(m.Name()) + "." + string(f.Name())
			if secretWord.MatchString(string(f.Name())) && !slices.Contains(mayCarry, name) {
				t.Errorf("answers can hold %s", name)
			}
			if f.Message() != nil {
				walk(f.Message())
			}
		}
	}
	for _, short := range eachMethod(t) {
		desc, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName("rollcall.v1." + strings.ReplaceAll(short, "/", ".")))
		if err != nil {
			t.Fatal(err)
		}
		walk(desc.(protoreflect.MethodDescriptor).Output())
	}
	if len(seen) < 40 {
		t.Errorf("%d messages were looked at: has the test gone blind?", len(seen))
	}
}

// Every method is asked as every role, about everything: no token, hash, password
// or key is in any answer, error or line of the log (CVE-2026-48786).
func TestClass22NoRoleReadsASecret(t *testing.T) {
	w := newWorld(t)
	w.password(w.kari, good)
	session := w.mustLogIn("kari", good)
	token := w.token(&rollcallv1.NewTokenRequest{Name: "for pc07", Site: w.own.site})
	var canaries []string
	for _, secret := range [][]byte{token.Secret, w.kari.token.Secret, session.token.Secret, w.srv.key.Seed()} {
		canaries = append(canaries, string(secret), hex.EncodeToString(secret), identity.HashSecret(secret))
	}
	canaries = append(canaries, good, "$argon2id$")
	err := w.srv.engine.View(t.Context(), func(r store.Reader) error {
		o, _, err := auth.Get(r, w.cfg.Tenant, "kari")
		canaries = append(canaries, o.Password, o.Hash, o.Epoch)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	answers := 0
	for _, short := range eachMethod(t) {
		rule := matrix[short]
		if rule.keys != "" {
			continue
		}
		for _, role := range auth.Roles {
			requests := []protoreflect.ProtoMessage{nil}
			if rule.ask != nil {
				requests = append(requests, rule.ask(w.own))
			}
			for _, req := range requests {
				answer, err := callNamed(t.Context(), w.caller(auth.Grant{Role: role}).conn, short, req)
				if err != nil {
					answer += err.Error()
				}
				if answer != "" {
					answers++
				}
				for _, c := range canaries {
					if strings.Contains(answer, c) {
						t.Errorf("%s as %s: the answer holds %q", short, role, c)
					}
				}
			}
		}
	}
	if answers < 100 {
		t.Errorf("%d answers were looked at: has the test gone blind?", answers)
	}
	for _, c := range canaries {
		if strings.Contains(w.logs.String(), c) {
			t.Errorf("the log holds %q", c)
		}
	}
}

// What can be reached from the network is written down: a method more, or a debug
// page, is a decision and not an accident (CVE-2026-23517).
func TestClass26ThePublicListenerServesExactlyTheseMethods(t *testing.T) {
	got := eachMethod(t)
	slices.Sort(got)
	text := strings.Join(got, "\n") + "\n"
	if *update {
		if err := os.WriteFile("testdata/methods.txt", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := string(golden(t, "methods.txt")); text != want {
		t.Errorf("the server serves\n%s\nwant\n%s(go test ./server -run Class26 -update, and say why)", text, want)
	}
	for _, m := range got {
		if strings.HasPrefix(m, "grpc.") || strings.Contains(strings.ToLower(m), "debug") || strings.Contains(m, "Reflection") {
			t.Errorf("%s is served", m)
		}
	}
}
