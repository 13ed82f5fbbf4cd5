package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"rollcall/agent/collect"
	"rollcall/internal/fact"
	"rollcall/internal/identity"
)

// ErrElsewhere says that the key in the state folder was made on another machine:
// the disk, or an image of it, has come here. The key is not used then.
var ErrElsewhere = errors.New("the key in the state folder belongs to another machine")

// birthFile stands beside the key and says which machine it was made on.
const birthFile = "birth.json"

// birth is what a machine was when its key was made, or when it last looked like
// itself: keyed hashes, so that the file tells nobody a serial number.
//
// Three kinds of evidence are compared: the DMI UUID, the board's serial number,
// and the permanent addresses of network cards. Vendors' placeholders and cards
// that are plugged in (USB) are no evidence, nor is what a container shows of its
// host, and what is missing on either side says nothing. It is another machine only if at least two kinds differ and none
// agrees. So
//   - a new network card alone, firmware that makes up a new UUID, a card that the
//     kernel finds late: the machine is itself, and the file learns what is new;
//   - a new mainboard under an old plug-in card: itself, too;
//   - a new mainboard with all that is on it, a disk in another case, a clone of
//     a disk or of a virtual machine: another machine. A person enrols it anew,
//     once; a reinstall token keeps its CI.
//
// Where a machine knows less than two kinds of itself a clone starts unnoticed.
// The server notices it then: its key speaks from two places.
type birth struct {
	Salt  []byte   `json:"salt"`
	UUID  string   `json:"uuid,omitempty"`
	Board string   `json:"board,omitempty"`
	MACs  []string `json:"macs,omitempty"`
}

// observe gives the evidence that facts hold, hashed with a salt.
func observe(salt []byte, facts fact.Set) birth {
	hash := func(kind, value string) string {
		if value == "" {
			return ""
		}
		sum := sha256.Sum256(slices.Concat([]byte("rollcall birth v1 "), salt, []byte(kind+"\x00"+strings.ToLower(value))))
		return hex.EncodeToString(sum[:16])
	}
	uuid, _ := facts.Get("id/uuid")
	board, _ := facts.Get("id/serial/board")
	if style, _ := facts.Get("id/boot"); style == "container" {
		uuid, board = "", "" // it may move to another host
	}
	b := birth{Salt: salt, UUID: hash("uuid", uuid), Board: hash("board", board)}
	for _, f := range facts.Below("net/") {
		parts := strings.Split(f.Path, "/")
		device, _ := facts.Get("net/" + parts[1] + "/device")
		if len(parts) == 3 && parts[2] == "permanent" && !strings.HasPrefix(parts[1], "enx") && !strings.HasPrefix(device, "usb ") {
			b.MACs = append(b.MACs, hash("mac", f.Value))
		}
	}
	slices.Sort(b.MACs)
	return b
}

// compare tells whether two observations are of different machines, and names the
// kinds of evidence that differ and whether any agrees.
func (b birth) compare(now birth) (other bool, differ []string, agrees bool) {
	kind := func(name string, known, same bool) {
		switch {
		case !known:
		case same:
			agrees = true
		default:
			differ = append(differ, name)
		}
	}
	kind("DMI UUID", b.UUID != "" && now.UUID != "", b.UUID == now.UUID)
	kind("serial number of the board", b.Board != "" && now.Board != "", b.Board == now.Board)
	kind("network cards", len(b.MACs) > 0 && len(now.MACs) > 0, slices.ContainsFunc(now.MACs, func(m string) bool { return slices.Contains(b.MACs, m) }))
	return len(differ) >= 2 && !agrees, differ, agrees
}

// checkBirth compares the machine with the one that the key in the state folder
// was made on: ErrElsewhere if it is another. A folder without the file, as
// earlier versions left it, learns what the machine is now; so does one where
// something is new and something else agrees.
func checkBirth(ctx context.Context, c Config) error {
	name := filepath.Join(c.State, birthFile)
	var have birth
	raw, err := os.ReadFile(name)
	known := err == nil && json.Unmarshal(raw, &have) == nil && len(have.Salt) > 0
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read birth: %w", err)
	}
	if !known {
		return writeBirth(ctx, c)
	}
	facts, err := bodyOf(ctx, c)
	if err != nil {
		return err
	}
	now := observe(have.Salt, facts)
	other, differ, agrees := have.compare(now)
	switch {
	case other:
		return fmt.Errorf("%w: another %s, and nothing that is the same; it is a clone, or the disk was moved: enrol this machine anew with a token of its own",
			ErrElsewhere, strings.Join(differ, ", another "))
	case !agrees || sameBirth(have, now):
		return nil
	}
	// What is missing now may come back.
	if now.UUID == "" {
		now.UUID = have.UUID
	}
	if now.Board == "" {
		now.Board = have.Board
	}
	if len(now.MACs) == 0 {
		now.MACs = have.MACs
	}
	return saveJSON(name, now)
}

func sameBirth(a, b birth) bool {
	return a.UUID == b.UUID && a.Board == b.Board && slices.Equal(a.MACs, b.MACs)
}

// writeBirth remembers what the machine is now.
func writeBirth(ctx context.Context, c Config) error {
	facts, err := bodyOf(ctx, c)
	if err != nil {
		return err
	}
	return saveJSON(filepath.Join(c.State, birthFile), observe(identity.NewSecret(), facts))
}

// bodyOf collects what a machine is made of, as far as birth asks.
func bodyOf(ctx context.Context, c Config) (fact.Set, error) {
	root, err := collect.OpenRoot(c.Root)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var wanted []collect.Collector
	for _, col := range collect.All() {
		if slices.ContainsFunc(col.Owns, func(p string) bool { return p == "id/uuid" || p == "id/boot" || fact.SectionOf(p) == "net" }) {
			wanted = append(wanted, col)
		}
	}
	res := collect.Run(ctx, collect.Host{FS: root, Live: c.live(), Now: time.Now}, wanted)
	return fact.NewSet(slices.Clone(res.Facts)), nil
}

// forgetIdentity removes what a state folder brought from another machine: its
// key, its place with the server, and the reports that it had not sent.
func forgetIdentity(c Config) error {
	for _, name := range []string{
		keyFile, nextKeyFile, beforeKeyFile, rotateFile, birthFile, serverFile, memoryFile, lastFile, fingerprintFile, etcCacheFile, restoreKeyFile, spoolDir, sealedDir,
	} {
		if err := os.RemoveAll(filepath.Join(c.State, name)); err != nil {
			return fmt.Errorf("forget the other machine: %w", err)
		}
	}
	return identity.SyncDir(c.State)
}
