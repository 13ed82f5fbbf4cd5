package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"rollcall/agent/uplink"
	"rollcall/internal/failpoint"
	"rollcall/internal/identity"
)

// A key is replaced in steps, each of which leaves one key that works:
//
//  1. the next key is written beside the present one;
//  2. the server is told, in a statement that both keys signed: it switches in one
//     transaction;
//  3. the present key is kept as the one before, and the next takes its place.
//
// After a crash between 1 and 2 the present key works and the next is offered
// again; between 2 and 3 the server says over a connection of the next key that
// it speaks already. The key before is kept for one case: a server that was
// restored from a backup of before the switch does not know the present key, and
// is told again. Otherwise it opens nothing.

// Files of a rotation in the state folder.
const (
	nextKeyFile   = "agent.key.next"   // offered, or about to be
	beforeKeyFile = "agent.key.before" // that the present one has replaced
	rotateFile    = "rotate"           // somebody asked for a rotation
)

// KeyLife is the age at which an agent replaces its key by itself, give or take
// a part of it, so that a school does not as one.
const KeyLife = 365 * 24 * time.Hour

// Errors of Rotate that callers branch on.
var (
	ErrWaiting = errors.New("reports wait that are signed with the present key")
	errNoCI    = errors.New("this machine does not know its CI yet: it does after the next report that the server takes")
)

// AskRotation asks the agent that uses the state folder to replace its key at its
// next look.
func AskRotation(c Config) error {
	if err := makeState(c.State); err != nil {
		return err
	}
	return identity.WriteFile(filepath.Join(c.State, rotateFile), []byte("asked\n"))
}

// Rotate replaces the agent's key, after what waits has been delivered. It
// returns the words of the new one. Nothing is lost if it ends at any place: the
// next run goes on.
func (a *Agent) Rotate(ctx context.Context) (words string, err error) {
	switch {
	case a.enrolment.CI == "":
		return "", fmt.Errorf("rotate key: %w", errNoCI)
	case a.enrolment.Trust == "T0":
		return "", errors.New("rotate key: the key of a machine that boots from the network ends with its boot")
	}
	if err := a.begin(ctx); err != nil {
		return "", err
	}
	if a.spool.Status().Waiting > 0 {
		var sum Summary
		if _, err := a.deliver(ctx, &sum); err != nil {
			return "", err
		}
		if a.spool.Status().Waiting > 0 {
			return "", fmt.Errorf("rotate key: %w: %s", ErrWaiting, sum.Problem)
		}
	}
	next, _, err := identity.LoadOrMakeKey(a.file(nextKeyFile))
	if err != nil {
		return "", fmt.Errorf("rotate key: %w", err)
	}
	a.passed("made")
	err = a.offer(ctx, a.key, a.key, next)
	if errors.Is(err, uplink.ErrKey) { // perhaps its answer was lost
		if again := a.offer(ctx, next, a.key, next); again == nil {
			err = nil
		}
	}
	if err != nil {
		return "", fmt.Errorf("rotate key: %w", err)
	}
	a.passed("told")
	failpoint.Hit(failpoint.RotateBetween)
	return identity.Words(identity.Public(next)), a.takeNext(next)
}

// offer tells the server, over a connection of one of the two keys, that next
// takes the place of old.
func (a *Agent) offer(ctx context.Context, speaker, old, next identity.Key) error {
	statement, err := identity.SealRotation(old, next, a.enrolment.Realm, a.enrolment.CI)
	if err != nil {
		return err
	}
	client := a.client
	client.Key = speaker
	session, err := client.Connect(ctx)
	if err != nil {
		return err
	}
	err = session.Rotate(ctx, statement, identity.IDOf(identity.Public(next)))
	return errors.Join(err, session.Close())
}

// takeNext puts the next key into the place of the present one. What the server
// acknowledged under the present key cannot be sent again, and what waits is
// signed with it: a full report comes instead.
func (a *Agent) takeNext(next identity.Key) error {
	if err := a.spool.Forget(); err != nil {
		return err
	}
	if a.spool.Status().Waiting > 0 {
		if err := a.spool.Reset("the key was replaced while reports waited"); err != nil {
			return err
		}
	}
	if err := identity.SaveKey(a.file(beforeKeyFile), a.key); err != nil {
		return fmt.Errorf("rotate key: %w", err)
	}
	a.passed("kept")
	failpoint.Hit(failpoint.RotateKept)
	if err := os.Rename(a.file(nextKeyFile), a.file(keyFile)); err != nil {
		return fmt.Errorf("rotate key: %w", err)
	}
	// Whatever comes now, this process must not go on with the key before. Should a
	// power cut bring that file back, the next one is there as well.
	a.key, a.client.Key = next, next
	if err := identity.SyncDir(a.cfg.State); err != nil {
		return fmt.Errorf("rotate key: %w", err)
	}
	a.passed("taken")
	a.log.Info("the key was replaced", "key", identity.IDOf(identity.Public(next)).String())
	if err := os.Remove(a.file(rotateFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("rotate key: %w", err)
	}
	return nil
}

// finishRotation goes on where a rotation was interrupted: if the server has
// switched already, the next key takes its place. If not, or if the server cannot
// be asked, the present key goes on working.
func (a *Agent) finishRotation(ctx context.Context) error {
	next, err := identity.LoadKey(a.file(nextKeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil { // half of it was written, or it is damaged: it was never offered
		a.log.Warn("the next key cannot be read: another one will be made", "err", err)
		return os.Remove(a.file(nextKeyFile))
	}
	if a.enrolment.CI == "" || a.now().Before(a.notBefore) {
		return nil
	}
	if err := a.offer(ctx, next, a.key, next); err != nil {
		a.log.Debug("the server has not switched to the next key", "err", err)
		return nil
	}
	return a.takeNext(next)
}

// tellAgain tells a server that was restored from a backup of before a rotation
// about it. ok is true if the present key speaks again.
func (a *Agent) tellAgain(ctx context.Context) (ok bool) {
	before, err := identity.LoadKey(a.file(beforeKeyFile))
	if err != nil || a.enrolment.CI == "" {
		return false
	}
	if err := a.offer(ctx, before, before, a.key); err != nil {
		a.log.Debug("the server does not know the key before either", "err", err)
		return false
	}
	a.log.Warn("the server had lost that the key was replaced: was it restored from a backup?")
	return true
}

// rotateIfDue replaces the key when it is old enough, or when somebody asked.
func (a *Agent) rotateIfDue(ctx context.Context) {
	if a.cfg.InMemory || a.enrolment.Trust == "T0" || a.spool.Status().Waiting > 0 {
		return
	}
	_, asked := os.Stat(a.file(rotateFile))
	info, err := os.Stat(a.file(keyFile))
	if err != nil || asked != nil && a.now().Sub(info.ModTime()) < a.keyLife() {
		return
	}
	if _, err := a.Rotate(ctx); err != nil {
		a.log.Warn("the key is due to be replaced, and was not", "err", err)
	}
}

// keyLife is KeyLife and up to a month, by the key itself.
func (a *Agent) keyLife() time.Duration {
	id := identity.IDOf(identity.Public(a.key))
	return KeyLife + time.Duration(id[0])*30*24*time.Hour/256
}

func (a *Agent) file(name string) string { return filepath.Join(a.cfg.State, name) }

// passed is where tests end a rotation.
func (a *Agent) passed(step string) {
	if a.step != nil {
		a.step(step)
	}
}
