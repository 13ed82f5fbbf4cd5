package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"rollcall/agent/collect"
	"rollcall/internal/fact"
	"rollcall/internal/identity"
)

// A state folder without room takes no report, and what is not on disk must not be
// sent: an agent that lost it in a crash would go on from the report before, which
// looks like a second machine with the same key. So what changed waits in the machine
// itself until a look finds room. Meanwhile the agent tells the server that nothing has
// changed where that is so (a number for it is reserved on disk, for some dozens of
// looks) and sends what is spooled already.
//
// That there is no room has to be remembered without room: in a file of a fixed size,
// made while there was some and overwritten in place.

// roomFile holds a NoRoom, or blanks. It is one sector.
const (
	roomFile = "room"
	roomSize = 512
)

// NoRoom tells that the state folder takes nothing more.
type NoRoom struct {
	Since   time.Time `json:"since"`
	Looks   int       `json:"looks"`   // that found no room
	Problem string    `json:"problem"` // as the system says it
}

// isFull tells whether an error is one of a file system, or a quota, without room.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// events is what the next report tells about it.
func (n *NoRoom) events(now time.Time) []collect.Event {
	if n == nil {
		return nil
	}
	text := fmt.Sprintf("there was no room for a report from %s to %s, for %d looks: %s",
		n.Since.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339), n.Looks, n.Problem)
	return []collect.Event{{At: now, Kind: "agent", Text: fact.Value(text)}}
}

// readRoom gives what the file says: nil if there is room.
func readRoom(name string) (*NoRoom, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(b) != roomSize {
		return nil, fmt.Errorf("read %s: %d bytes, want %d", name, len(b), roomSize)
	}
	b = bytes.TrimSpace(b)
	if len(b) == 0 {
		return nil, nil
	}
	n := &NoRoom{}
	if err := json.Unmarshal(b, n); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return n, nil
}

func (n *NoRoom) encode() ([]byte, error) {
	b := bytes.Repeat([]byte{' '}, roomSize)
	b[roomSize-1] = '\n'
	if n == nil {
		return b, nil
	}
	text, err := json.Marshal(n)
	if err == nil && len(text) >= roomSize {
		err = fmt.Errorf("%d bytes, want less than %d", len(text), roomSize)
	}
	if err != nil {
		return nil, fmt.Errorf("remember that there is no room: %w", err)
	}
	copy(b, text)
	return b, nil
}

// prepareRoom makes the file while there is room, and reads what it says. Without it
// the agent works all the same: only status would not know.
func (a *Agent) prepareRoom() {
	if !a.onDisk() {
		return
	}
	n, err := readRoom(a.file(roomFile))
	if err == nil {
		a.noRoom = n
		return
	}
	if !errors.Is(err, fs.ErrNotExist) {
		a.log.Warn("what was known about the room is not usable", "err", err)
	}
	blank, err := (*NoRoom)(nil).encode()
	if err == nil {
		err = identity.WriteFile(a.file(roomFile), blank)
	}
	if err != nil {
		a.log.Warn("status will not know when there is no room", "err", err)
	}
}

// noteRoom remembers how a look ended.
func (a *Agent) noteRoom(err error) {
	if !a.onDisk() || err == nil && a.noRoom == nil || err != nil && !isFull(err) {
		return
	}
	var next *NoRoom
	if err != nil {
		next = &NoRoom{Since: a.now().UTC()}
		if a.noRoom != nil {
			*next = *a.noRoom
		}
		next.Looks++
		if errno, ok := errors.AsType[syscall.Errno](err); ok {
			next.Problem = errno.Error()
		}
	}
	a.noRoom = next
	b, err := next.encode()
	if err == nil {
		err = overwrite(a.file(roomFile), b)
	}
	if err != nil {
		a.log.Warn("status does not know whether there is room", "err", err)
	}
}

// overwrite replaces the bytes of a file of the same size in place.
func overwrite(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("overwrite %s: %w", name, err)
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("overwrite %s: %w", name, err)
	}
	return nil
}
