package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"rollcall/agent"
	"rollcall/agent/uplink"
	"rollcall/internal/identity"
	rollcallserver "rollcall/server"
	"rollcall/server/auth"
	"rollcall/server/witness"
)

// TestScriptsAgainstTheRealServer runs scripts against a real server, in this
// process, and real agents over recorded roots.
func TestScriptsAgainstTheRealServer(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/real",
		Setup: func(env *testscript.Env) error {
			env.Setenv("REAL", "1")
			return setup(env)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"real": startReal, "machine": runAgent, "witness": runWitness, "inert": checkInert, "mode": checkMode, "status": checkStatus, "clock": readClock,
		},
	})
}

// startReal starts a server on an empty data folder and writes login.token, of
// an admin called kari: real.
func startReal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: real")
	}
	dir, err := os.MkdirTemp("", "rc") // short: the data folder holds a socket
	ts.Check(err)
	ts.Defer(func() { _ = os.RemoveAll(dir) }) // a temporary folder
	cfg := rollcallserver.Defaults()
	cfg.Data, cfg.Metrics = filepath.Join(dir, "data"), ""
	free, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	cfg.Listen = free.Addr().String() // the login names it before the server listens
	ts.Check(free.Close())
	cfg.Addresses = []string{cfg.Listen}
	ctx, stop := context.WithCancel(context.Background())
	_, err = rollcallserver.Init(ctx, cfg)
	ts.Check(err)
	token, err := rollcallserver.AddOperator(ctx, cfg, "kari", auth.Everywhere(auth.Roles...)...)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("login.token"), []byte(token), 0o600))
	key, err := identity.LoadKey(cfg.KeyFile())
	ts.Check(err)
	pin, err := identity.PinOf(identity.Public(key))
	ts.Check(err)
	ts.Setenv("SERVER", cfg.Listen)
	ts.Setenv("PIN", pin)
	s, err := rollcallserver.New(ctx, cfg, "test", slog.New(slog.DiscardHandler))
	ts.Check(err)
	ready, done := make(chan net.Addr, 1), make(chan error, 1)
	go func() { done <- s.Run(ctx, func(a net.Addr) { ready <- a }) }()
	ts.Defer(func() {
		stop()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			ts.Logf("server: %v", err)
		}
	})
	select {
	case <-ready:
	case err := <-done:
		done <- err
		ts.Fatalf("server: %v", err)
	}
}

// readClock puts the time into a variable: "clock NAME".
func readClock(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: clock NAME")
	}
	ts.Setenv(args[0], time.Now().UTC().Format(time.RFC3339Nano))
}

// runAgent plays a machine whose root is a folder: "machine enrol DIR TOKEN" and
// "machine report DIR"; without a line "machine ask DIR TOKEN", "machine look DIR",
// "machine export DIR FILE" and "machine import DIR FILE". Its state is in DIR.state.
func runAgent(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: machine enrol|ask DIR TOKEN, machine report|look DIR, machine export|import DIR FILE")
	}
	cfg := agent.Default()
	cfg.Root, cfg.State = ts.MkAbs(args[1]), ts.MkAbs(args[1])+".state"
	ctx := context.Background()
	switch args[0] {
	case "enrol", "ask":
		token, err := identity.ParseToken(identity.EnrolPrefix, ts.ReadFile(args[2]))
		ts.Check(err)
		var adm agent.Admission
		if args[0] == "ask" {
			adm, err = agent.EnrolCarried(ctx, cfg, "test", token)
		} else {
			adm, err = agent.Enrol(ctx, cfg, "test", token, nil)
		}
		ts.Check(err)
		ts.Setenv("WORDS", adm.Words)
		return
	}
	noLine := func(context.Context, string) (net.Conn, error) { return nil, errors.New("no route to host") }
	deps := agent.Deps{Version: "test", Dial: &uplink.Client{Dial: noLine}}
	if args[0] == "report" {
		deps.Dial = nil
	}
	a, err := agent.Open(cfg, deps)
	ts.Check(err)
	switch args[0] {
	case "report", "look":
		var sum agent.Summary
		sum, err = a.Once(ctx, "manual")
		ts.Logf("report of %s: %s %s", args[1], sum.Outcome, sum.Problem)
	case "export":
		_, err = a.Export(ctx, ts.MkAbs(args[2]))
	case "import":
		_, err = a.Import(ts.MkAbs(args[2]))
	}
	ts.Check(errors.Join(err, a.Close()))
}

// runWitness looks once as a witness called auditor, whose folder is DIR, with a
// login file: "witness DIR LOGIN". Its verifier key is in $WITNESS.
func runWitness(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: witness DIR LOGIN")
	}
	login, err := identity.ParseToken(identity.LoginPrefix, ts.ReadFile(args[1]))
	ts.Check(err)
	w, _, err := witness.Open(ts.MkAbs(args[0]), "auditor", login.Server, time.Now)
	ts.Check(err)
	s, err := dial(login, "")
	ts.Check(err)
	defer s.close()
	_, err = w.Look(context.Background(), s)
	ts.Check(err)
	key, err := w.Key()
	ts.Check(err)
	ts.Setenv("WITNESS", key)
}
