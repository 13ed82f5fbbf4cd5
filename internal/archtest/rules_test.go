package archtest

import "path"

const (
	maxFileLines = 500
	maxFuncLines = 100
)

// floors: a package imports only packages of lower floors. Keys are patterns of
// path.Match; packages of one floor do not know each other.
var floors = map[string]int{
	"internal/fact": 0, "internal/identity": 0, "internal/seal": 0, "internal/conf": 0, "internal/fence": 0, "internal/failpoint": 0, "proto/*/*": 0,
	"agent/collect": 1, "agent/etc": 1, "agent/spool": 1, "agent/uplink": 1,
	"server/store": 1, "server/compare": 1, "server/etckeeper": 1, "server/likeness": 1, "server/web": 1, "internal/sim": 1, "internal/bundle": 1, "internal/policy": 1, "internal/faultfs": 0,
	"agent/restore": 2, "server/store/*": 2, "server/cmdb": 2, "server/enrol": 2, "server/evidence": 2, "server/auth": 2, "server/archive": 2, "server/query": 2,
	"server/ticket": 3, "server/ingest": 3, "server/index": 3, "server/report": 3, "server/report/*": 4, "server/audit": 3, "server/proof": 3, "server/witness": 3, "server/mirror": 3,
	"server/api": 4, "server/sitesummary": 4, "server/observer": 4, "server/alert": 4, "server/mail": 4,
	"cmd/internal/cmdline": 4, "cmd/internal/page": 5,
	"agent": 5, "server": 5,
	"cmd/*": 6, "internal/archtest": 6,
}

// owners: only these packages use the library, tests apart. Whoever needs what
// it does asks its owner.
var owners = []struct {
	library string // import path, or the beginning of it
	in      []string
}{
	{"go.etcd.io/bbolt", []string{"server/store/bolt"}},
	{"golang.org/x/mod", []string{"server/evidence"}},
	{"github.com/jackc/pgx", []string{"server/store/pg"}},
	{"github.com/go-git/", []string{"server/mirror"}},
	{"filippo.io/age", []string{"internal/seal"}},
	{"github.com/shirou/gopsutil", []string{"agent/collect"}},
	{"github.com/mdlayher/netlink", []string{"agent/collect"}},
	{"github.com/godbus/dbus", []string{"agent/collect"}},
	{"github.com/u-root/u-root", []string{"agent/collect"}},
	{"github.com/spf13/cobra", []string{"cmd/*", "cmd/internal/*"}},
	{"google.golang.org/grpc", []string{"agent/uplink", "server/api", "server", "cmd/*", "proto/*/*"}},
	{"github.com/hanwen/go-fuse", []string{"internal/faultfs"}},
	{"google.golang.org/genproto", []string{"agent/uplink", "server/api"}},
	{"github.com/prometheus/client_golang", []string{"server"}}, // and files named metrics.go
	{"golang.org/x/crypto/argon2", []string{"server/auth"}},
	{"os/exec", []string{"cmd/rollcall", "cmd/rollcall-bench", "internal/faultfs"}},                                           // agent and server execute nothing
	{"net/http", []string{"server", "server/*", "internal/sim", "cmd/rollcall", "cmd/rollcall-server", "cmd/rollcall-bench"}}, // the agent speaks gRPC
	{"rollcall/internal/sim", []string{"cmd/rollcall-bench"}},                                                                 // made-up machines, and the data for them, are in no other program
	{"plugin", nil},
}

// calls that would break a promise of the program: the agent executes nothing
// and listens on nothing, the server executes nothing.
var calls = []struct{ pkg, name, below, promise string }{
	{"os", "StartProcess", "agent", "executes nothing"},
	{"os", "StartProcess", "server", "executes nothing"},
	{"syscall", "Exec", "agent", "executes nothing"},
	{"syscall", "Exec", "server", "executes nothing"},
	{"syscall", "ForkExec", "agent", "executes nothing"},
	{"syscall", "ForkExec", "server", "executes nothing"},
	{"unix", "Exec", "agent", "executes nothing"},
	{"net", "Listen", "agent", "listens on nothing"},
	{"net", "ListenTCP", "agent", "listens on nothing"},
	{"net", "ListenUDP", "agent", "listens on nothing"},
	{"net", "ListenUnix", "agent", "listens on nothing"},
	{"net", "ListenPacket", "agent", "listens on nothing"},
}

// testSupport are imported by tests alone, though they are no test files.
var testSupport = []string{"server/store/storetest", "server/report/reporttest", "cmd/internal/page", "internal/faultfs"}

// stdlibMethods need no comment: the interface they satisfy is their contract.
var stdlibMethods = []string{
	"Error", "String", "GoString", "Unwrap", "Is", "As", "Len", "Less", "Swap", "Read", "Write", "Set", "Type",
	"MarshalText", "UnmarshalText", "MarshalJSON", "UnmarshalJSON", "ServeHTTP", "Describe", "Collect",
}

// floorOf returns the floor of the package in folder dir of the module.
func floorOf(dir string) (floor int, ok bool) {
	if f, ok := floors[dir]; ok {
		return f, true
	}
	for pattern, f := range floors {
		if matches(dir, pattern) {
			return f, true
		}
	}
	return 0, false
}

func matches(dir string, patterns ...string) bool {
	for _, p := range patterns {
		if ok, _ := path.Match(p, dir); ok {
			return true
		}
	}
	return false
}
