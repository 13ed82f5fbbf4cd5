// Package cmdline holds what the programs have in common for those who type
// their commands: how times are written, where a login is kept, what a mistake is
// and how it is told, the exit statuses, and the command that prints completion
// scripts. Which commands there are, and what they do, is left to the programs.
package cmdline

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// Exit statuses of all programs beside 0, done. They are part of the interface.
const (
	Failed  = 1 // what was asked for could not be done
	Misused = 2 // the command line makes no sense
)

// usageError is about the command line, not about what it asked for.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Usage marks an error as one of the command line; nil stays nil.
func Usage(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err}
}

// Usagef makes an error that is about the command line, as fmt.Errorf does.
func Usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// IsUsage tells whether an error is about the command line.
func IsUsage(err error) bool {
	_, ok := errors.AsType[usageError](err)
	return ok
}

// Exit returns the exit status of a program whose command ended with err.
func Exit(err error) int {
	switch {
	case err == nil:
		return 0
	case IsUsage(err):
		return Misused
	}
	return Failed
}

// HintMark begins the line of an error's text that says what to do.
const HintMark = "\nhint: "

// Hinted adds what to do to an error; nil stays nil.
func Hinted(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w"+HintMark+"%s", err, fmt.Sprintf(format, args...))
}

// Complain writes an error as "PROGRAM: …" and, where it is known what to do,
// "PROGRAM: hint: …". The error's own hint goes before the one that is given.
// Further lines of a text are indented, so that they cannot pass for messages
// of their own.
func Complain(w io.Writer, program string, err error, hint string) {
	text, own, found := strings.Cut(err.Error(), HintMark)
	if found {
		hint = own
	}
	fmt.Fprintf(w, "%s: %s\n", program, strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  "))
	if hint != "" {
		fmt.Fprintf(w, "%s: hint: %s\n", program, strings.ReplaceAll(hint, "\n", "\n  "))
	}
}
