// Package rollcallv1 is the wire format of Rollcall, version 1: messages and
// services generated from the .proto files of this folder, which hold their
// documentation. The wire grows, it never changes: a field is added, never
// renumbered, and wire_test.go opens what older versions wrote.
//
// With the build tag agentwire it holds what an agent says and hears alone, for the
// agent's program to be small; nothing else differs.
package rollcallv1
