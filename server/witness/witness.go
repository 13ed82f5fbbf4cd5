// Package witness watches the log of a server from another machine: it keeps the
// newest checkpoint that it saw, takes a newer one only with a proof that the log
// grew out of it, and then cosigns it, so that others can tell that everybody is
// shown the same log. A log that was rolled back or that forks is an alarm, which
// stays until a person has decided about it, with everything that proves it.
//
// The package owns the witness's folder. It believes the server's key as it was
// pinned, and nothing that the server says.
package witness

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/evidence"
)

// ErrAlarm is wrapped by every error that means that the server shows another log
// than before. A person must look at it.
var ErrAlarm = errors.New("ALARM: the server's log is not the one that was seen before")

// The files of a witness's folder.
const (
	keyFile     = "witness.key" // private, 0600
	stateFile   = "state.json"  // state
	historyFile = "history"     // every checkpoint that was cosigned, one after the other
	alarmFile   = "alarm.json"  // alarm; while it is there nothing is cosigned
)

// state is what a witness knows.
type state struct {
	Name   string `json:"name"`
	LogKey string `json:"log_key,omitempty"` // verifier key, as first seen
	Note   []byte `json:"note,omitempty"`    // the newest checkpoint
	Size   uint64 `json:"size"`
}

// alarm keeps everything that shows what happened.
type alarm struct {
	At     time.Time `json:"at"`
	What   string    `json:"what"`
	Seen   []byte    `json:"seen"`  // the checkpoint from before, signed by the server
	Shown  []byte    `json:"shown"` // the one of now, signed by the server too
	Proof  [][]byte  `json:"proof,omitempty"`
	LogKey string    `json:"log_key"` // that was shown
}

// Witness is one witness of one log.
type Witness struct {
	dir    string
	key    identity.Key
	state  state
	server ed25519.PublicKey
	now    func() time.Time
}

// Open opens a witness's folder, or makes it; made tells which. server is the key
// that was pinned, name what the witness is called; an empty name keeps the one
// that it has.
func Open(dir, name string, server ed25519.PublicKey, now func() time.Time) (w *Witness, made bool, err error) {
	if len(server) != ed25519.PublicKeySize {
		return nil, false, errors.New("witness: the login does not name the server's key")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, false, fmt.Errorf("make folder of the witness: %w", err)
	}
	w = &Witness{dir: dir, server: server, now: now}
	if w.key, made, err = identity.LoadOrMakeKey(w.path(keyFile)); err != nil {
		return nil, false, err
	}
	if err := w.read(stateFile, &w.state); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, false, err
	}
	switch {
	case w.state.Name == "":
		w.state.Name = name
	case name != "" && name != w.state.Name:
		return nil, false, fmt.Errorf("witness: it is called %s: its name is part of its key", w.state.Name)
	}
	if _, err := w.verifier(); err != nil {
		return nil, false, err
	}
	return w, made, w.write(stateFile, w.state)
}

func (w *Witness) path(name string) string { return filepath.Join(w.dir, name) }

func (w *Witness) read(name string, v any) error {
	b, err := os.ReadFile(w.path(name))
	if err != nil {
		return fmt.Errorf("read witness: %w", err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read witness: %s: %w", w.path(name), err)
	}
	return nil
}

func (w *Witness) write(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write witness: %w", err)
	}
	return identity.WriteFile(w.path(name), append(b, '\n'))
}

func (w *Witness) verifier() (evidence.Witness, error) {
	return evidence.NewWitness(w.state.Name, identity.Public(w.key))
}

// Key returns the verifier key, which whoever verifies proofs must get from the
// witness itself.
func (w *Witness) Key() (string, error) {
	v, err := w.verifier()
	return v.String(), err
}

// Seen is the outcome of one look.
type Seen struct {
	Size, Grown uint64 // leaves, and how many more than before
	Cosigned    bool   // false: the server has signed no checkpoint yet
}

// Look asks the server for its newest checkpoint, demands the proof that the log
// only grew, keeps and cosigns it, and hands the cosignature back. ErrAlarm is
// returned, and what shows it is kept, if the log is another than before, and from
// then on until Accept. Any other error means that nothing was learnt.
func (w *Witness) Look(ctx context.Context, log rollcallv1.EvidenceClient) (Seen, error) {
	if err := w.standing(); err != nil {
		return Seen{}, err
	}
	reply, err := log.Checkpoint(ctx, &rollcallv1.CheckpointRequest{})
	if err != nil {
		return Seen{}, fmt.Errorf("ask for the checkpoint: %w", err)
	}
	if len(reply.GetNote()) == 0 {
		if w.state.Size > 0 {
			return Seen{}, w.alarm(alarm{What: "the server has no checkpoint any more", LogKey: reply.GetLogKey()})
		}
		return Seen{}, nil
	}
	c, err := w.recognise(reply)
	if err != nil {
		return Seen{}, err
	}
	if err := w.grew(ctx, log, c, reply); err != nil {
		return Seen{}, err
	}
	seen := Seen{Size: c.Size, Grown: c.Size - w.state.Size, Cosigned: true}
	// It is written down before it is cosigned: after a crash in between, what was
	// cosigned is never newer than what is known.
	w.state.LogKey, w.state.Note, w.state.Size = reply.GetLogKey(), reply.GetNote(), c.Size
	if err := w.write(stateFile, w.state); err != nil {
		return Seen{}, err
	}
	return seen, w.cosign(ctx, log)
}

// recognise opens the checkpoint by the log's key, and that by the server's.
func (w *Witness) recognise(reply *rollcallv1.CheckpointReply) (evidence.Checkpoint, error) {
	origin, pub, err := evidence.LogVerifierKey(reply.GetLogKey())
	if err != nil {
		return evidence.Checkpoint{}, err
	}
	body, err := identity.OpenStatement(w.server, identity.TypeLogKey, reply.GetEndorsement())
	if err == nil && !pub.Equal(ed25519.PublicKey(body)) {
		err = errors.New("the server vouches for another key")
	}
	if err != nil {
		return evidence.Checkpoint{}, fmt.Errorf("key of the log %s: %w", origin, err)
	}
	c, _, err := evidence.OpenCheckpoint(reply.GetNote(), reply.GetLogKey())
	if err == nil && w.state.LogKey != "" && w.state.LogKey != reply.GetLogKey() {
		err = w.alarm(alarm{What: "the log has another key than before", Shown: reply.GetNote(), LogKey: reply.GetLogKey()})
	}
	return c, err
}

// grew demands the proof that the log grew out of what was seen before.
func (w *Witness) grew(ctx context.Context, log rollcallv1.EvidenceClient, c evidence.Checkpoint, reply *rollcallv1.CheckpointReply) error {
	if w.state.Note == nil {
		return nil
	}
	old, _, err := evidence.OpenCheckpoint(w.state.Note, w.state.LogKey)
	if err != nil {
		return fmt.Errorf("the witness's own state %s: %w", w.path(stateFile), err)
	}
	a := alarm{Shown: reply.GetNote(), LogKey: reply.GetLogKey()}
	if c.Size > old.Size {
		p, err := log.Consistency(ctx, &rollcallv1.ConsistencyRequest{From: old.Size, To: c.Size})
		if err != nil {
			return fmt.Errorf("ask for the proof that the log grew from %d to %d leaves: %w", old.Size, c.Size, err)
		}
		a.Proof = p.GetHashes()
	}
	hashes, err := evidence.ToHashes(a.Proof)
	if err == nil {
		err = c.CheckGrowth(old, hashes)
	}
	if err != nil {
		a.What = err.Error()
		return w.alarm(a)
	}
	return nil
}

// cosign cosigns what is known, keeps it and hands it to the server.
func (w *Witness) cosign(ctx context.Context, log rollcallv1.EvidenceClient) error {
	note, err := evidence.Cosign(w.state.Note, w.state.LogKey, w.state.Name, w.key, w.now())
	if err != nil {
		return err
	}
	if err := w.remember(string(note) + "\n"); err != nil {
		return err
	}
	key, err := w.Key()
	if err != nil {
		return err
	}
	if _, err := log.Cosign(ctx, &rollcallv1.CosignRequest{Note: note, Key: key}); err != nil {
		return fmt.Errorf("hand the cosignature back: %w", err)
	}
	return nil
}

// remember appends to the history.
func (w *Witness) remember(text string) error {
	f, err := os.OpenFile(w.path(historyFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("write witness: %w", err)
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write witness: %w", err)
	}
	return nil
}

// alarm keeps what shows that the log is another and returns ErrAlarm.
func (w *Witness) alarm(a alarm) error {
	a.At, a.Seen = w.now().UTC(), w.state.Note
	return errors.Join(fmt.Errorf("%w: %s", ErrAlarm, a.What), w.write(alarmFile, a))
}

// standing returns the alarm that nobody has decided about.
func (w *Witness) standing() error {
	var a alarm
	err := w.read(alarmFile, &a)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %s, since %s; both checkpoints are in %s", ErrAlarm, a.What, a.At.Format(time.RFC3339), w.path(alarmFile))
}

// Accept ends an alarm by a person's decision, as after the server was restored
// from a backup: the evidence stays in the folder under another name, the reason
// goes into the history, and the next checkpoint is taken as a beginning. It
// returns an error if there is no alarm.
func (w *Witness) Accept(reason string) error {
	var a alarm
	if err := w.read(alarmFile, &a); err != nil {
		return fmt.Errorf("accept: there is no alarm: %w", err)
	}
	if reason == "" {
		return errors.New("accept: say why")
	}
	if err := w.remember(fmt.Sprintf("accepted %s: %q: alarm of %s: %q\n\n", w.now().UTC().Format(time.RFC3339), reason, a.At.Format(time.RFC3339), a.What)); err != nil {
		return err
	}
	w.state = state{Name: w.state.Name}
	if err := w.write(stateFile, w.state); err != nil {
		return err
	}
	kept := w.path(fmt.Sprintf("alarm-%s.json", a.At.Format("20060102T150405.000Z")))
	if err := os.Rename(w.path(alarmFile), kept); err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	return identity.SyncDir(w.dir)
}
