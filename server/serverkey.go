package server

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"rollcall/internal/identity"
	"rollcall/server/evidence"
	"rollcall/server/proof"
	"rollcall/server/store"
	"rollcall/server/store/bolt"
)

// Machines know the server by the pin of its key, and no word over the wire ever
// changes that: a server that was taken over could say it too. So a new key is
// announced where people put pins by hand. NextKey makes it and its pin goes into
// every token from then on, and into next_pin of agent.conf; SwitchKey puts it to
// use. A machine that knows the pin believes the new key as soon as it shows it,
// and the old one never again; any other machine stops, spools, and says so.
//
// The realm, which every report names, is what the first key founded, and stays.
// Receipts are signed by the key of their day: the public keys of before are kept,
// so that the server believes its own word.
//
// Keys of this file. Changing one breaks every existing database.
//
//	space  key              value
//	Meta   <t>/serverkeys   serverKeys, framed JSON; missing: the first key is in use
type serverKeys struct {
	Realm []byte              `json:"realm"`
	Past  []ed25519.PublicKey `json:"past"` // the newest last
	// Switches are the leaves of the log that hold the old keys' word for the new
	// ones; stores that switched before have none for that.
	Switches []uint64 `json:"switches,omitempty"`
}

func serverKeysKey(tenant string) store.Key { return store.At(store.Meta, tenant, "/serverkeys") }

func loadServerKeys(g store.Getter, tenant string, present identity.Key) (serverKeys, error) {
	k := serverKeys{Realm: identity.RealmOf(identity.Public(present))}
	_, err := store.GetJSON(g, serverKeysKey(tenant), &k)
	return k, err
}

// all lists the public keys that receipts may be signed with.
func (k serverKeys) all(present identity.Key) []ed25519.PublicKey {
	return append([]ed25519.PublicKey{identity.Public(present)}, k.Past...)
}

// NextKeyFile is where the key lies that is announced and not yet in use.
func (c Config) NextKeyFile() string { return filepath.Join(c.Data, "server.key.next") }

// nextPin returns the pin of the announced key, "" if none is.
func (c Config) nextPin() (string, error) {
	key, err := identity.LoadKey(c.NextKeyFile())
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return identity.PinOf(identity.Public(key))
}

// NextKey makes the key that the server will have, unless there is one already,
// and returns its pin. The server may run: tokens carry the pin from now on.
func NextKey(cfg Config) (pin string, made bool, err error) {
	if _, err := identity.LoadKey(cfg.KeyFile()); errors.Is(err, fs.ErrNotExist) {
		return "", false, fmt.Errorf("open %s: %w", cfg.Data, ErrNotInitialised)
	}
	key, made, err := identity.LoadOrMakeKey(cfg.NextKeyFile())
	if err != nil {
		return "", false, err
	}
	pin, err = identity.PinOf(identity.Public(key))
	return pin, made, err
}

// ErrNoNextKey is returned where no key was announced.
var ErrNoNextKey = errors.New("no next key was made")

// SwitchKey puts the announced key to use and destroys the old one. The server
// must not run. Where it is interrupted it can be run again.
func SwitchKey(ctx context.Context, cfg Config) (pin string, err error) {
	old, err := identity.LoadKey(cfg.KeyFile())
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("open %s: %w", cfg.Data, ErrNotInitialised)
	}
	if err != nil {
		return "", err
	}
	next, err := identity.LoadKey(cfg.NextKeyFile())
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("switch key: %w: make it with rollcall-server next-key, and announce its pin first", ErrNoNextKey)
	}
	if err != nil {
		return "", err
	}
	if pin, err = identity.PinOf(identity.Public(next)); err != nil {
		return "", err
	}
	engine, err := bolt.Open(cfg.database(), bolt.Options{})
	if err != nil {
		return "", err
	}
	err = engine.Update(ctx, func(tx store.Tx) error { return noteSwitch(tx, cfg.Tenant, old, next) })
	if err = errors.Join(err, engine.Close()); err != nil {
		return "", fmt.Errorf("switch key: %w", err)
	}
	// The record says first what the file does then: in between, the present key
	// counts as a past one, too, which changes nothing.
	if err := os.Rename(cfg.NextKeyFile(), cfg.KeyFile()); err != nil {
		return "", fmt.Errorf("switch key: %w", err)
	}
	return pin, identity.SyncDir(cfg.Data)
}

// noteSwitch remembers the old key and the realm, once.
func noteSwitch(tx store.Tx, tenant string, old, next identity.Key) error {
	keys, err := loadServerKeys(tx, tenant, old)
	if err != nil {
		return err
	}
	if n := len(keys.Past); n > 0 && keys.Past[n-1].Equal(identity.Public(old)) {
		return nil // it was interrupted after this
	}
	index, err := evidence.In(tx, tenant).Append(time.Now(), proof.SwitchEntry(old, identity.Public(next)))
	if err != nil {
		return err
	}
	keys.Past, keys.Switches = append(keys.Past, identity.Public(old)), append(keys.Switches, index)
	return store.PutJSON(tx, serverKeysKey(tenant), keys)
}
