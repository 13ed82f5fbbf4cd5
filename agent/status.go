package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"rollcall/agent/spool"
	"rollcall/internal/identity"
	"rollcall/internal/seal"
)

// Status is what `rollcall-agent status` tells.
type Status struct {
	Enrolled   bool         `json:"enrolled"`
	CI         string       `json:"ci,omitempty"`
	Addresses  []string     `json:"addresses,omitempty"`
	Pins       []string     `json:"pins,omitempty"`
	KeyID      string       `json:"key_id,omitempty"`
	Words      string       `json:"words,omitempty"` // of this machine's key
	KeyMade    time.Time    `json:"key_made,omitzero"`
	Trust      string       `json:"trust,omitempty"` // class of the key as the server decided; empty: it has not said
	Policy     Policy       `json:"policy"`
	Recipients []string     `json:"recipients"`
	Spool      spool.Status `json:"spool"`
	Last       *Summary     `json:"last,omitempty"`
	NoRoom     *NoRoom      `json:"no_room,omitempty"` // the state folder takes nothing more
}

// ReadStatus looks at the state folder. It may be called while an agent runs.
func ReadStatus(c Config) (Status, error) {
	var st Status
	to, err := seal.ParseRecipients(c.Recipients)
	if err != nil {
		return st, fmt.Errorf("recipients: %w", err)
	}
	st.Recipients, st.Policy = to.Names(), c.Policy()
	e, err := loadEnrolment(c.State)
	if errors.Is(err, ErrNotEnrolled) {
		return st, nil
	}
	if err != nil {
		return st, err
	}
	if st.Policy, err = readPolicyStatus(c, e, time.Now()); err != nil {
		return st, err
	}
	st.Enrolled, st.CI, st.Addresses, st.Pins = true, e.CI, e.Addresses, e.Pins
	st.Trust = e.Trust
	key, err := identity.LoadKey(filepath.Join(c.State, keyFile))
	if err != nil {
		return st, err
	}
	st.KeyID, st.Words = identity.IDOf(identity.Public(key)).String(), identity.Words(identity.Public(key))
	if info, err := os.Stat(filepath.Join(c.State, keyFile)); err == nil {
		st.KeyMade = info.ModTime().UTC()
	}
	if st.Spool, err = spool.Look(filepath.Join(c.State, spoolDir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return st, err
	}
	if st.NoRoom, err = readRoom(filepath.Join(c.State, roomFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return st, err
	}
	b, err := os.ReadFile(filepath.Join(c.State, lastFile))
	if errors.Is(err, fs.ErrNotExist) {
		return st, nil
	}
	if err != nil {
		return st, fmt.Errorf("read status: %w", err)
	}
	st.Last = &Summary{}
	if err := json.Unmarshal(b, st.Last); err != nil {
		return st, fmt.Errorf("read status %s: %w", filepath.Join(c.State, lastFile), err)
	}
	return st, nil
}

// readPolicyStatus tells what counts at that time, by what an agent has kept.
func readPolicyStatus(c Config, e Enrolment, now time.Time) (Policy, error) {
	b := bundlesOf(c, e, true)
	if err := b.load(); err != nil {
		b.refuse("kept", refusal(0, err))
	}
	if raw, err := readBundle(c.PolicyFile); err == nil && bytes.Equal(raw, b.raw) {
		b.from = fromFile
	}
	var m memory
	raw, err := os.ReadFile(filepath.Join(c.State, memoryFile))
	if err == nil {
		err = json.Unmarshal(raw, &m)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Policy{}, fmt.Errorf("read status %s: %w", filepath.Join(c.State, memoryFile), err)
	}
	for from, why := range m.Refused {
		b.refuse(from, why)
	}
	return b.narrow(c.Policy(), now), nil
}
