package api

import (
	"time"

	rollcallv1 "rollcall/proto/rollcall/v1"
)

// Condition tells whether the server takes anything in.
type Condition struct {
	ReadOnly      bool
	Why           string    // in words, for people; empty while it serves
	Since         time.Time // of the last change of ReadOnly; zero: since the start
	Free, Reserve uint64    // bytes on the disk of the store; read-only below the reserve
	FreeInodes    uint64
}

// The states of a server, as Status tells them.
const (
	stateServing  = "serving"
	stateReadOnly = "read-only"
)

// condition is what is known of the server's condition; without a watch on the
// disk, as in tests of this package, it serves.
func (s *Service) condition() Condition {
	if s.Condition == nil {
		return Condition{}
	}
	return s.Condition()
}

// tellCondition puts the state into the answer to Status, its reason as the first
// of the warnings.
func (s *Service) tellCondition(reply *rollcallv1.StatusReply) {
	c := s.condition()
	reply.State, reply.StateSinceMs = stateServing, millis(s.Started)
	if !c.Since.IsZero() {
		reply.StateSinceMs = millis(c.Since)
	}
	if c.ReadOnly {
		reply.State, reply.StateWhy = stateReadOnly, c.Why
		reply.Warnings = append([]string{"read-only since " + c.Since.UTC().Format(time.RFC3339) + ": " + c.Why}, reply.Warnings...)
	}
	reply.FreeBytes, reply.ReserveBytes, reply.FreeInodes = c.Free, c.Reserve, c.FreeInodes
}
