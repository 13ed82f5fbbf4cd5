package agent

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"rollcall/agent/spool"
	"rollcall/internal/bundle"
	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// A machine without a line puts what waits into a file, which somebody carries to
// the server; receipts come back in another. The reports stay in the spool until
// then: a file that is lost costs nothing, the next one holds all again.

// requestFile holds the request for admission of a machine that enrols without a
// line, in the state folder.
const requestFile = "enrol.request"

// Ending is that of the files that are carried.
const Ending = ".rcb"

// EnrolCarried prepares this machine to be admitted without a line to the server:
// its request goes into the next file of Export, with its reports, which the machine
// makes from now on as one that waits for approval does. Netboot tokens do not do:
// they admit from the networks of their site alone.
func EnrolCarried(ctx context.Context, c Config, version string, token identity.Token) (Admission, error) {
	if token.Public {
		return Admission{}, errors.New("enrol: the token of a boot image admits over the network alone")
	}
	key, hello, known, err := introduce(ctx, c, version, token)
	if err != nil {
		return Admission{}, err
	}
	if known.CI != "" {
		return Admission{}, fmt.Errorf("enrol: this machine is enrolled already, as CI %s", known.CI)
	}
	id, err := hex.DecodeString(token.ID)
	if err != nil {
		return Admission{}, fmt.Errorf("enrol: %w", errors.Join(identity.ErrToken, err))
	}
	pub := identity.Public(key)
	asked, err := proto.Marshal(&rollcallv1.CarriedEnrolment_Asked{
		Realm: token.RealmID(), TokenId: id, Hostname: fact.Value(hello.Hostname), Facts: hello.Facts.Encode(), AgentVersion: hello.Version,
	})
	var body []byte
	if err == nil {
		proof := identity.Proof(identity.HashSecret(token.Secret), identity.CarriedBinding(asked), pub)
		body, err = proto.Marshal(&rollcallv1.CarriedEnrolment{Asked: asked, Proof: proof})
	}
	if err != nil {
		return Admission{}, fmt.Errorf("enrol: %w", err)
	}
	request := append(bytes.Clone(pub), identity.SignStatement(key, identity.TypeCarriedEnrolment, body)...)
	if err := identity.WriteFile(filepath.Join(c.State, requestFile), request); err != nil {
		return Admission{}, err
	}
	e := Enrolment{Addresses: token.URLs, Pins: token.Pins, Server: token.Server, Realm: token.RealmID(), PolicyKeys: c.invited, At: time.Now().UTC()}
	if e.PolicyKeys == nil {
		e.PolicyKeys = known.PolicyKeys
	}
	if err := saveJSON(filepath.Join(c.State, serverFile), e); err != nil {
		return Admission{}, err
	}
	return Admission{Pending: true, Note: "the request goes into the next file of rollcall-agent export", Words: identity.Words(pub)}, nil
}

// Exported is what went into a file.
type Exported struct {
	File     string `json:"file"`
	Asks     bool   `json:"asks"`     // for admission
	Reports  int    `json:"reports"`  // that wait
	Again    int    `json:"again"`    // that were acknowledged, should the server have lost them
	Held     int    `json:"held"`     // wait and did not go: the spool is full of those that were carried
	Contents int    `json:"contents"` // of files
	Lacking  int    `json:"lacking"`  // contents that changed before they were kept; the server may have them
	Bytes    int64  `json:"bytes"`
}

// ErrNothing says that there is nothing to carry.
var ErrNothing = errors.New("nothing waits for the server")

// Export writes what waits into a file, or into one named after the machine in a
// folder. The error wraps ErrNothing, and no file is written, if nothing waits.
func (a *Agent) Export(ctx context.Context, to string) (Exported, error) {
	out := Exported{File: to}
	if err := checkBirth(ctx, a.cfg); err != nil {
		return out, err
	}
	request, err := os.ReadFile(filepath.Join(a.cfg.State, requestFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return out, fmt.Errorf("export: %w", err)
	}
	out.Asks = err == nil && a.enrolment.CI == ""
	if !out.Asks && a.spool.Status().Waiting == 0 {
		return out, fmt.Errorf("export: %w", ErrNothing)
	}
	head := &rollcallv1.BundleHead{Public: identity.Public(a.key), Hostname: a.hostname(), MadeMs: a.now().UnixMilli()}
	if info, err := os.Stat(to); err == nil && info.IsDir() {
		out.File = filepath.Join(to, "rollcall-"+head.GetHostname()+Ending)
	}
	err = bundle.Create(out.File, head, func(w *bundle.Writer) error {
		if out.Asks {
			if err := w.Add(bundle.Enrolment, request); err != nil {
				return err
			}
		}
		return a.fill(w, &out)
	})
	if err != nil {
		return out, fmt.Errorf("export: %w", err)
	}
	if info, err := os.Stat(out.File); err == nil {
		out.Bytes = info.Size()
	}
	return out, nil
}

// fill adds reports, and the contents that they name, each once.
func (a *Agent) fill(w *bundle.Writer, out *Exported) error {
	l := &link{a: a} // knows where contents are
	there := map[fact.Digest]bool{}
	err := a.spool.Carry(func(c spool.Carried) error {
		if c.Acked {
			out.Again++
		} else {
			out.Reports++
		}
		if err := w.Add(bundle.Envelope, c.Envelope); err != nil {
			return err
		}
		for _, d := range c.Contents {
			if there[d] {
				continue
			}
			there[d] = true
			b, err := l.content(d)
			switch {
			case errors.Is(err, errGone):
				out.Lacking++
				continue
			case err != nil:
				return err
			}
			if err := w.Add(bundle.Content, b); err != nil {
				return err
			}
			out.Contents++
		}
		return nil
	})
	out.Held = a.spool.Status().Waiting - out.Reports
	return errors.Join(err, a.spool.Flush())
}

// hostname is what the machine that is looked at calls itself, as part of a file's
// name; its key where it has none.
func (a *Agent) hostname() string {
	b, err := fs.ReadFile(a.root, "etc/hostname")
	name := strings.Trim(strings.Map(func(r rune) rune {
		if r == '-' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' {
			return r
		}
		return -1
	}, strings.ToLower(string(b[:min(len(b), 64)]))), ".")
	if err != nil || name == "" {
		return identity.IDOf(identity.Public(a.key)).String()[:12]
	}
	return name
}

// Imported is what a file from the server said.
type Imported struct {
	Enrolled string `json:"enrolled,omitempty"` // the CI that this machine is now known to be
	Receipts int    `json:"receipts"`           // reports that the server has, by its signed word
	Waiting  int    `json:"waiting"`            // reports that wait still
	SendAll  string `json:"send_all,omitempty"` // why the next report is a full one
}

// maxAnswers bounds what is kept of a file's answers; a machine needs a few.
const maxAnswers = 100

// Import takes receipts and answers for this machine out of a file that came back
// from the server. Only what the pinned server key signed counts, and of that only
// what is about this machine's key or a report that waits. Where the file is damaged
// what was read of it counts, and the error says so.
func (a *Agent) Import(name string) (in Imported, err error) {
	f, err := os.Open(name)
	if err != nil {
		return in, fmt.Errorf("import: %w", err)
	}
	defer f.Close()
	r, err := bundle.NewReader(f)
	if err != nil {
		return in, fmt.Errorf("import %s: %w", name, err)
	}
	server, err := a.serverOf(r.Head())
	if err != nil {
		return in, fmt.Errorf("import %s: %w", name, err)
	}
	said, damage := a.listen(r, server)
	if len(said.receipts)+len(said.answers) > 0 {
		if err := a.metServer(server); err != nil {
			return in, err
		}
	}
	err = a.obey(said, &in)
	in.Waiting = a.spool.Status().Waiting
	if err = errors.Join(err, damage); err != nil {
		return in, fmt.Errorf("import %s: %w", name, err)
	}
	return in, nil
}

// serverOf is the key that answers are believed of: the one that the machine knows,
// or the announced one, if the file is of that.
func (a *Agent) serverOf(head *rollcallv1.BundleHead) (ed25519.PublicKey, error) {
	pub := ed25519.PublicKey(head.GetPublic())
	if len(pub) != ed25519.PublicKeySize {
		return nil, errors.New("it does not say which server it is from: is it a file that rollcall bundle import wrote?")
	}
	pin, err := identity.PinOf(pub)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(a.pins(), pin) {
		return nil, errors.New("it is not from the server that this machine knows: is it the file that rollcall bundle import wrote?")
	}
	return pub, nil
}

// heard is what a file says to this machine, verified.
type heard struct {
	receipts map[[32]byte][]byte // by the reports that wait
	answers  []*rollcallv1.CarriedAnswer
}

func (a *Agent) listen(r *bundle.Reader, server ed25519.PublicKey) (heard, error) {
	waits := map[[32]byte]bool{}
	for _, w := range a.spool.Waits() {
		waits[w.Hash] = true
	}
	me := identity.IDOf(identity.Public(a.key))
	said := heard{receipts: map[[32]byte][]byte{}}
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return said, nil
		}
		if err != nil {
			return said, err
		}
		switch rec.Kind {
		case bundle.Receipt:
			if got, err := identity.OpenReceiptOf([]ed25519.PublicKey{server, a.enrolment.Server}, rec.Data); err == nil && waits[got.Envelope] {
				said.receipts[got.Envelope] = rec.Data
			}
		case bundle.Answer:
			body, err := identity.OpenStatement(server, identity.TypeCarriedAnswer, rec.Data)
			var ans rollcallv1.CarriedAnswer
			if err == nil {
				err = proto.Unmarshal(body, &ans)
			}
			if err == nil && bytes.Equal(ans.GetKeyId(), me[:]) && bytes.Equal(ans.GetRealm(), a.enrolment.Realm) && len(said.answers) < maxAnswers {
				said.answers = append(said.answers, &ans)
			}
		}
	}
}

// obey does what the server said: the reports that it has go, in order; what it will
// never take is replaced by a full report.
func (a *Agent) obey(said heard, in *Imported) error {
	for _, ans := range said.answers {
		if ci := ans.GetCi(); ans.GetWord() == rollcallv1.CarriedAnswer_ENROLLED && ci != "" && len(ci) <= 128 && ci == fact.Name(ci) {
			in.Enrolled = ci
			if err := a.learn(ci, ""); err != nil {
				return err
			}
		}
	}
	for {
		w, ok, err := a.spool.Next()
		if err != nil {
			return err
		}
		raw := said.receipts[w.Hash]
		if !ok || raw == nil {
			break
		}
		receipt, err := identity.ReadReceipt(raw)
		if err == nil {
			err = a.spool.Ack(receipt, raw)
		}
		if err != nil {
			return err
		}
		in.Receipts++
	}
	waits := a.spool.Waits()
	for _, ans := range said.answers {
		if ans.GetWord() == rollcallv1.CarriedAnswer_SEND_ALL && len(waits) > 0 && bytes.Equal(ans.GetEnvelope(), waits[0].Hash[:]) {
			in.SendAll = fact.Cut(fact.Value(ans.GetNote()), 200)
			return a.giveUpKept("the server did not take a report that was carried to it: "+in.SendAll, nil)
		}
	}
	return nil
}
