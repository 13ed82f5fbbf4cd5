package api

import (
	"errors"
	"fmt"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/ingest"
	"rollcall/server/store"
)

// addSigned adds what shows that a machine itself reported the state that a
// manifest is of: the newest of its reports until then. Revisions by people change
// no state. Where the envelope is not kept any more nothing is added, and a restore
// says so.
func (s *Service) addSigned(r store.Reader, items cmdb.View, ci cmdb.CI, reply *rollcallv1.ManifestReply) error {
	for rev, err := range items.History(ci) {
		if err != nil {
			return err
		}
		if rev.Report == "" {
			continue
		}
		hash, err := fact.ParseDigest(rev.Report)
		if err != nil {
			return fmt.Errorf("CI %s, revision %d: report: %w", ci.Name, rev.N, err)
		}
		raw, err := ingest.Envelope(r, s.Tenant, hash)
		if errors.Is(err, store.ErrNoBlob) {
			return nil
		}
		if err != nil {
			return err
		}
		env, err := identity.OpenEnvelope(raw)
		if err != nil {
			return fmt.Errorf("CI %s, revision %d: envelope %s: %w", ci.Name, rev.N, hash, err)
		}
		// Mostly the key is revoked by now: the machine was installed anew.
		key, ok, err := enrol.At(r, s.Tenant).Any(env.KeyID.String())
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("CI %s, revision %d: key %s: %w", ci.Name, rev.N, env.KeyID, cmdb.ErrNotFound)
		}
		reply.Envelope, reply.Key, reply.State = raw, key.Public, map[string][]byte{}
		for section, d := range rev.State {
			reply.State[section] = d[:]
		}
		return nil
	}
	return nil
}
