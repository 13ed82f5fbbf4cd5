package agent

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"rollcall/agent/collect"
	"rollcall/agent/uplink"
	"rollcall/internal/conf"
	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// ErrNotEnrolled is returned where a server is needed and none is known.
var ErrNotEnrolled = errors.New("this machine is not enrolled")

// Names in the state folder. Changing one breaks every installed agent.
const (
	keyFile         = "agent.key"       // PKCS #8, 0600
	serverFile      = "server.json"     // Enrolment
	fingerprintFile = "fingerprint.key" // for keyed fingerprints, see package seal
	etcCacheFile    = "etc.cache"
	memoryFile      = "memory.json" // memory
	lastFile        = "last.json"   // Summary of the last look
	sealedDir       = "sealed"      // ciphertexts by digest
	spoolDir        = "spool"
	policyFile      = "policy" // newest policy bundle that was accepted
)

// Enrolment is what the state folder knows about the server.
type Enrolment struct {
	Addresses []string          `json:"addresses"`
	Pins      []string          `json:"pins"`
	Server    ed25519.PublicKey `json:"server"`          // signs receipts
	Realm     []byte            `json:"realm"`           // see identity.RealmOf
	CI        string            `json:"ci,omitempty"`    // empty while an operator has not approved
	Trust     string            `json:"trust,omitempty"` // T0: the agent seals nothing; else for people; empty: not said
	At        time.Time         `json:"at"`

	PolicyKeys []string `json:"policy_keys,omitempty"` // that the invitation named, see Config
}

func loadEnrolment(state string) (Enrolment, error) {
	var e Enrolment
	b, err := os.ReadFile(filepath.Join(state, serverFile))
	if errors.Is(err, fs.ErrNotExist) {
		return e, ErrNotEnrolled
	}
	if err != nil {
		return e, fmt.Errorf("read enrolment: %w", err)
	}
	if err := json.Unmarshal(b, &e); err != nil {
		return Enrolment{}, fmt.Errorf("read enrolment %s: %w: enrol again", filepath.Join(state, serverFile), err)
	}
	if len(e.Server) != ed25519.PublicKeySize || len(e.Pins) == 0 || len(e.Addresses) == 0 {
		return Enrolment{}, fmt.Errorf("read enrolment %s: address, pin or key is missing: enrol again", filepath.Join(state, serverFile))
	}
	return e, nil
}

func saveJSON(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return identity.WriteFile(name, append(b, '\n'))
}

// Admission is what became of a request for enrolment.
type Admission struct {
	CI      string        `json:"ci,omitempty"`
	Pending bool          `json:"pending"`
	Retry   time.Duration `json:"-"`
	Note    string        `json:"note,omitempty"`
	Words   string        `json:"words"` // of this machine's key, to be compared by voice
	Trust   string        `json:"trust,omitempty"`
}

// Enrol asks the server that the token names for admission and remembers the
// server. A machine that is enrolled with another server is refused first, so
// that nobody takes it over by a slip: its state folder has to be removed. What a
// state folder brought from another machine, as a clone's does, is removed here.
func Enrol(ctx context.Context, c Config, version string, token identity.Token, dial *uplink.Client) (Admission, error) {
	key, hello, old, err := introduce(ctx, c, version, token)
	if err != nil {
		return Admission{}, err
	}
	client := uplink.Client{}
	if dial != nil {
		client = *dial
	}
	client.Addresses, client.Pins, client.Key = token.URLs, token.Pins, key
	if client.Domains == nil {
		client.Domains = domains
	}
	session, err := client.Connect(ctx)
	if err != nil {
		return Admission{}, fmt.Errorf("enrol: %w", err)
	}
	server := session.Server()
	a, err := session.Enrol(ctx, token, hello)
	if err = errors.Join(err, session.Close()); err != nil {
		return Admission{}, err
	}
	if a.Outcome == rollcallv1.EnrolReply_REFUSED {
		return Admission{}, fmt.Errorf("enrol: the server refuses this machine: %s", a.Note)
	}
	e := Enrolment{Addresses: token.URLs, Pins: token.Pins, Server: server, Realm: a.Realm, CI: a.CI, Trust: a.Trust, At: time.Now().UTC()}
	if e.PolicyKeys = c.invited; e.PolicyKeys == nil {
		e.PolicyKeys = old.PolicyKeys
	}
	if err := saveJSON(filepath.Join(c.State, serverFile), e); err != nil {
		return Admission{}, err
	}
	pending := a.Outcome == rollcallv1.EnrolReply_PENDING
	return Admission{CI: a.CI, Pending: pending, Retry: a.Retry, Note: a.Note, Words: identity.Words(identity.Public(key)), Trust: a.Trust}, nil
}

// introduce makes what a machine needs to ask for admission: its key and what it says
// of itself. known is the enrolment that there is, the zero one if there is none.
func introduce(ctx context.Context, c Config, version string, token identity.Token) (key identity.Key, hello uplink.Hello, known Enrolment, err error) {
	if err := makeState(c.State); err != nil {
		return nil, hello, known, err
	}
	if err := removeForeign(ctx, c); err != nil {
		return nil, hello, known, err
	}
	known, err = loadEnrolment(c.State)
	if err == nil && !bytes.Equal(known.Realm, token.RealmID()) {
		return nil, hello, known, fmt.Errorf("enrol: this machine is enrolled with another server: remove %s to forget it", c.State)
	}
	if err != nil && !errors.Is(err, ErrNotEnrolled) {
		return nil, hello, known, err
	}
	if key, _, err = identity.LoadOrMakeKey(filepath.Join(c.State, keyFile)); err != nil {
		return nil, hello, known, err
	}
	hello, err = sayHello(ctx, c, version)
	return key, hello, known, err
}

// pins are those that the machine enrolled with, and those that its own
// configuration and a policy that counts announce. Nothing that a server says adds one.
func (a *Agent) pins() []string {
	pins := slices.Clone(a.enrolment.Pins)
	for _, next := range []string{a.cfg.NextPin, a.bundles.nextPin(a.now())} {
		if next != "" && !slices.Contains(pins, next) {
			pins = append(pins, next)
		}
	}
	return pins
}

// dial begins an exchange over the connection.
func (a *Agent) dial(ctx context.Context) (Session, error) {
	session, err := a.client.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.metServer(session.Server()); err != nil {
		return nil, errors.Join(err, session.Close())
	}
	return session, nil
}

// metServer remembers the key that the server has shown. The first time it shows
// the announced one the old one is forgotten: it is not believed again.
func (a *Agent) metServer(pub ed25519.PublicKey) error {
	if a.enrolment.Server.Equal(pub) {
		return nil
	}
	pin, err := identity.PinOf(pub)
	if err != nil {
		return err
	}
	e := a.enrolment
	e.Server, e.Pins = pub, []string{pin}
	if err := saveJSON(filepath.Join(a.cfg.State, serverFile), e); err != nil {
		return err
	}
	a.log.Warn("the server has the key now that was announced", "pin", pin)
	a.enrolment = e
	a.client.Pins = a.pins()
	return nil
}

// removeForeign removes an identity that was made on another machine.
func removeForeign(ctx context.Context, c Config) error {
	if _, err := os.Stat(filepath.Join(c.State, keyFile)); errors.Is(err, fs.ErrNotExist) {
		return writeBirth(ctx, c)
	}
	err := checkBirth(ctx, c)
	if !errors.Is(err, ErrElsewhere) {
		return err
	}
	if err := forgetIdentity(c); err != nil {
		return err
	}
	return writeBirth(ctx, c)
}

// learn keeps the CI and the trust class that the server says a machine has, where
// they were not known when it enrolled. A class is for people to see; T0, for which
// the agent seals nothing, counts only if the enrolment said it.
func (a *Agent) learn(ci, trust string) error {
	e := a.enrolment
	if e.CI == "" {
		e.CI = ci
	}
	if e.Trust == "" && trust != "T0" {
		e.Trust = trust
	}
	if e.CI == a.enrolment.CI && e.Trust == a.enrolment.Trust {
		return nil
	}
	if err := saveJSON(filepath.Join(a.cfg.State, serverFile), e); err != nil {
		return err
	}
	a.enrolment = e
	return nil
}

// sayHello collects what an approver wants to see: the identity of the machine
// and its network addresses.
func sayHello(ctx context.Context, c Config, version string) (uplink.Hello, error) {
	root, err := collect.OpenRoot(c.Root)
	if err != nil {
		return uplink.Hello{}, err
	}
	defer root.Close()
	host := collect.Host{FS: root, Live: c.live(), Now: time.Now}
	var wanted []collect.Collector
	for _, col := range collect.All() {
		for _, prefix := range col.Owns {
			if s := fact.SectionOf(prefix); s == "id" || s == "net" {
				wanted = append(wanted, col)
				break
			}
		}
	}
	res := collect.Run(ctx, host, wanted)
	var facts []fact.Fact
	size := 0
	for _, f := range hinted(c, res.Facts) {
		if size += len(f.Path) + len(f.Value) + 8; (f.Section() == "id" || f.Section() == "net" && slices.Contains(ofCard, pathBase(f.Path))) && size < 16<<10 {
			facts = append(facts, f)
		}
	}
	set := fact.NewSet(facts)
	name, _ := set.Get("id/hostname")
	return uplink.Hello{Hostname: name, Facts: set, Version: version}, nil
}

// domains are those of the machine that the agent runs on, whatever it looks at, as
// they are now: a laptop takes them from the network that it is in.
func domains() []string {
	root, err := collect.OpenRoot("/")
	if err != nil {
		return nil
	}
	defer root.Close()
	return collect.Domains(collect.Host{FS: root, Live: true, Now: time.Now})
}

// ofCard is what tells which network card it is, and whether it is plugged in.
var ofCard = []string{"mac", "permanent", "kind", "device", "driver"}

// live tells whether the root is the running machine.
func (c Config) live() bool { return filepath.Clean(c.Root) == "/" }

// makeState makes the state folder, or checks that nobody else can look into it.
func makeState(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("state folder %s: mode %04o lets others in: chmod 0700 it", dir, info.Mode().Perm())
	}
	if err := conf.CheckOwner(dir); err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	return nil
}
