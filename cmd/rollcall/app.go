package main

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// app is the program's world: everything that it reads and writes comes in here.
type app struct {
	in     io.Reader
	out    *screen
	err    *screen
	getenv func(string) string
	now    func() time.Time
	zone   *time.Location
	secret func(ctx context.Context, prompt string) (string, error) // nil: there is nobody to ask

	loginFile string // flag --login
	glass     string // flag --break-glass
}

// newApp returns the world of a real process.
func newApp() *app {
	a := &app{
		in: os.Stdin, out: newScreen(os.Stdout), err: newScreen(os.Stderr),
		getenv: os.Getenv, now: time.Now, zone: time.Local,
	}
	if term.IsTerminal(int(os.Stdin.Fd())) {
		a.secret = a.askTerminal
	}
	a.out.dress(os.Stdout, os.Getenv)
	a.err.dress(os.Stderr, os.Getenv)
	return a
}

// askTerminal reads a line that is not shown. When ctx ends first, the terminal
// shows again what is typed; the read that is left behind ends with the process.
func (a *app) askTerminal(ctx context.Context, prompt string) (string, error) {
	fd := int(os.Stdin.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	type answer struct {
		text []byte
		err  error
	}
	typed := make(chan answer, 1)
	a.err.text(plain, prompt)
	go func() {
		b, err := term.ReadPassword(fd)
		typed <- answer{b, err}
	}()
	defer a.err.text(plain, "\n")
	select {
	case <-ctx.Done():
		return "", errors.Join(ctx.Err(), term.Restore(fd, before))
	case t := <-typed:
		return string(t.text), t.err
	}
}

// run executes one command line and returns the exit status: 0 done, 1 failed,
// 2 wrong usage.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		err = a.out.failed
	}
	if err == nil {
		return 0
	}
	return a.complain(err)
}
