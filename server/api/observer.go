package api

import (
	"errors"

	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
)

// addObservations adds which boot servers see the machine, by its cards: also one that
// has an agent is seen. Observers outside of the scope do not exist.
func (s *Service) addObservations(items cmdb.View, sub *subject, reply *rollcallv1.GetReply) error {
	if s.Observations == nil {
		return nil
	}
	set, err := sub.Facts("net")
	if err != nil {
		return err
	}
	macs := append(matching(set, "net/*/permanent"), matching(set, "net/*/mac")...)
	for _, seen := range s.Observations(sub.ci.Site, macs) {
		by, err := items.CI(seen.Observer)
		if errors.Is(err, cmdb.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		reply.Observations = append(reply.Observations, &rollcallv1.Observation{Ci: by.ID, Name: by.Name, By: seen.By, LastMs: millis(seen.Last)})
	}
	return nil
}
