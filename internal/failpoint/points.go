// Package failpoint lets a test end a process at a named place, the way kill -9
// does: nothing is flushed, no deferred call runs. Which place, and on which
// pass, stands in an environment variable.
//
// It promises that a program built without the tag "failpoint" has none of it:
// Hit and Soon are empty there and no name is in the binary. A test builds the
// programs both ways and looks.
package failpoint

// Point names a place.
type Point string

// The places. Those of one report, in its order: a report is spooled, received,
// verified, applied, committed, acknowledged.
const (
	SpoolContent  Point = "spoolContent"      // contents are synced, their report is not there yet
	SpoolAppend   Point = "spoolAppend"       // a report is durable, nothing has been sent
	AfterRecv     Point = "afterRecv"         // an envelope has come in
	AfterVerify   Point = "afterVerify"       // its signature is good
	BeforeApply   Point = "beforeApply"       // what does not fit into its transaction is stored
	AfterApply    Point = "afterApply"        // all records are written, in a transaction that is open
	BeforeCommit  Point = "beforeCommit"      // the engine is about to write the transaction
	AfterCommit   Point = "afterCommit"       // it is on disk, no caller has been told
	AfterAck      Point = "afterAck"          // the receipt has been handed to the network
	SpoolState    Point = "spoolState"        // the acknowledged state is written, the chain still names the old one
	SpoolChain    Point = "spoolChain"        // the chain is written, its copy is not
	SpoolRemove   Point = "spoolRemove"       // the chain is past the report, whose file is still there
	SeqReserve    Point = "seqReserve"        // a block of sequence numbers is reserved on disk, none of it used
	TokenUse      Point = "tokenUse"          // an enrolment token is marked as used, in a transaction that is open
	RevokeMany    Point = "revokeMany"        // the next portion of many keys is about to be ended
	MirrorBlob    Point = "mirrorBlob"        // before the first object of a pack
	MirrorPack    Point = "mirrorPack"        // a pack is durable, the branch does not lead into it
	MirrorRef     Point = "mirrorRef"         // the branch is moved, the outbox still holds the revisions
	SpoolCarried  Point = "spoolCarried"      // reports are marked as carried, their file is not there yet
	RotateBetween Point = "rotateBetweenKeys" // the server knows the next key of a machine, which still holds the old one
	RotateKept    Point = "rotateKept"        // the old key is put aside, the next has not taken its place
	SnapshotWrite Point = "snapshotWrite"     // in the middle of a backup
)

// Points lists them all.
func Points() []Point {
	return []Point{
		SpoolContent, SpoolAppend, AfterRecv, AfterVerify, BeforeApply, AfterApply, BeforeCommit, AfterCommit, AfterAck,
		SpoolState, SpoolChain, SpoolRemove, SeqReserve, SpoolCarried, TokenUse, RotateBetween, RotateKept, RevokeMany,
		MirrorBlob, MirrorPack, MirrorRef, SnapshotWrite,
	}
}
