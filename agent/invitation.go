package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"rollcall/agent/uplink"
	"rollcall/internal/conf"
	"rollcall/internal/identity"
)

// invitationFile in the state folder is what an installation leaves there, so that
// the service can enrol by itself: the package never speaks over the network.
const invitationFile = "enrol.conf"

// Invitation is the file enrol.conf in the state folder (0600, see package conf).
type Invitation struct {
	Token  string   `conf:"token"`  // as rollcall enrol token wrote it
	Server []string `conf:"server"` // host:port, tried in order, instead of the addresses in the token

	PolicyKeys []string `conf:"policy_key"` // pins of the keys that sign policies, where agent.conf names none
}

// read gives the token that the file raw invites with, with the addresses that
// stand beside it: the pins tell whether the right server answers there. Errors
// show nothing of the token, which package conf would as the line that it quotes.
func (i *Invitation) read(raw []byte) (identity.Token, error) {
	if conf.Parse(invitationFile, bytes.NewReader(raw), i) != nil || i.Token == "" || slices.ContainsFunc(i.PolicyKeys, func(pin string) bool { return !isPin(pin) }) {
		return identity.Token{}, errors.New("read the invitation: it is one line, token = …, and lines server = HOST:PORT and policy_key = sha256:… if need be")
	}
	t, err := identity.ParseToken(identity.EnrolPrefix, i.Token)
	if len(i.Server) > 0 {
		t.URLs = i.Server
	}
	return t, err
}

// Accept enrols the machine with the invitation in its state folder, if one is
// there, and removes that. It tries again until the server has admitted the machine
// or ctx ends, and reads the file anew each time. Once a machine has a CI it asks
// once only: what is wrong with an invitation must not stop an agent that works.
func Accept(ctx context.Context, c Config, version string, log *slog.Logger, dial *uplink.Client) {
	file := filepath.Join(c.State, invitationFile)
	backoff := uplink.Backoff{Rand: rand.Int64N}
	for {
		wait, err := accept(ctx, c, version, file, log, dial)
		have, _ := loadEnrolment(c.State) // Open says what is wrong with it
		switch {
		case err != nil && ctx.Err() == nil:
			wait = max(backoff.Next(uplink.RetryAfter(err)), time.Minute)
			log.Error("this machine could not be enrolled", "invitation", file, "err", err, "again_in", wait)
		case err == nil && wait == 0:
			return
		}
		if have.CI != "" {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// accept asks once. wait is not 0 while an operator has to approve the machine.
func accept(ctx context.Context, c Config, version, file string, log *slog.Logger, dial *uplink.Client) (wait time.Duration, _ error) {
	raw, err := conf.ReadSecret(file)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var inv Invitation
	token, err := inv.read(raw)
	if err != nil {
		return 0, err
	}
	c.invited = inv.PolicyKeys
	adm, err := Enrol(ctx, c, version, token, dial)
	switch {
	case err != nil:
		return 0, err
	case adm.Pending:
		log.Warn("an operator has to approve this machine", "note", adm.Note, "key_words", adm.Words)
		return max(adm.Retry, 5*time.Second), nil
	}
	log.Info("enrolled", "ci", adm.CI, "key_words", adm.Words)
	if token.Public {
		return 0, nil // many machines read it
	}
	return 0, Shred(file)
}

// Shred overwrites the file of a token that is used up, and removes it. On a file
// system that writes elsewhere than it wrote before the old bytes may stay: they
// admit nobody any more.
func Shred(name string) error {
	bad := func(err error) error {
		return fmt.Errorf("this machine is enrolled, but the file of its token could not be removed: %w: remove it", err)
	}
	info, err := os.Lstat(name)
	if err != nil {
		return bad(err)
	}
	if info.Mode().IsRegular() {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return bad(err)
		}
		_, err = f.Write(make([]byte, min(info.Size(), 64<<10)))
		if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
			return bad(err)
		}
	}
	if err := os.Remove(name); err != nil {
		return bad(err)
	}
	return nil
}
