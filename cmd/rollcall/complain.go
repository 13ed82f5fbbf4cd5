package main

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/identity"
)

// complain writes an error as "rollcall: …" and "rollcall: hint: …" and returns
// the exit status. Further lines of a text are indented, so that what a server
// says cannot pass for a line of the program's own.
func (a *app) complain(err error) int {
	if errors.Is(err, context.Canceled) || status.Code(err) == codes.Canceled {
		a.err.line("rollcall: stopped")
		return cmdline.Failed
	}
	text, hint, _ := strings.Cut(told(err), cmdline.HintMark)
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	a.err.text(red, "rollcall:")
	a.err.line(" %s", lines[0])
	for _, l := range lines[1:] {
		a.err.line("  %s", l)
	}
	if hint != "" {
		a.err.line("rollcall: hint: %s", hint)
	}
	if isUsage(err) {
		return cmdline.Misused
	}
	return cmdline.Failed
}

func isUsage(err error) bool {
	return cmdline.IsUsage(err) || status.Code(err) == codes.InvalidArgument
}

// told gives an error's text. What the server answered stands alone, without the
// wire's own words around it; of several lines of its text none becomes a hint.
func told(err error) string {
	var g interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &g) {
		return err.Error()
	}
	st := g.GRPCStatus()
	text, own := st.Message(), ""
	if text == "" {
		text = st.Code().String()
	}
	before, rest, ok := strings.Cut(err.Error(), "rpc error:")
	if !ok {
		before = ""
	}
	if _, behind, ok := strings.Cut(rest, st.Message()+cmdline.HintMark); ok {
		own = behind // our own: it stands behind all that the server said
	}
	switch st.Code() {
	case codes.Unavailable, codes.DeadlineExceeded:
		text = unreachable(text)
	case codes.InvalidArgument:
		if own == "" {
			text, own = adviceBelow(text)
		}
	}
	if own == "" {
		own = hintFor(st)
	}
	text = before + strings.ReplaceAll(text, cmdline.HintMark, "\n ")
	return text + after(cmdline.HintMark, own)
}

// adviceBelow takes the advice off a filter's error: what stands below the line
// with the caret.
func adviceBelow(text string) (rest, advice string) {
	above, below, ok := strings.Cut(text, "^\n")
	if !ok {
		return text, ""
	}
	return above + "^", strings.TrimSpace(below)
}

// unreachable turns the library's text about a connection into a sentence.
func unreachable(text string) string {
	text = strings.TrimSuffix(text, `"`)
	for _, noise := range []string{`transport: authentication handshake failed: `, `transport: Error while dialing: `} {
		if _, rest, ok := strings.Cut(text, noise); ok {
			text = strings.ReplaceAll(rest, `\"`, `"`)
		}
	}
	if text == context.DeadlineExceeded.Error() {
		text = "no answer in time"
	}
	return "the server cannot be reached: " + text
}

// hintFor says what to do about an answer of the server.
func hintFor(st *status.Status) string {
	switch st.Code() {
	case codes.Unauthenticated:
		return "'rollcall login --name NAME' opens a new session; an admin makes a new login with 'rollcall operator add NAME --role ROLE'"
	case codes.PermissionDenied:
		return "'rollcall status' shows your role; an admin can give you another with 'rollcall operator add'"
	case codes.NotFound:
		if strings.HasSuffix(st.Message(), "no such CI") {
			return "'rollcall ci list' shows the names"
		}
	case codes.Unimplemented:
		return "the server is older than this program: upgrade it, see 'rollcall version'"
	case codes.DeadlineExceeded:
		return "the server is busy or far away: try again, or ask for less with a filter or --limit"
	case codes.Unavailable:
		if strings.Contains(st.Message(), identity.ErrPin.Error()) {
			return "another server answers at this address: if yours was set up anew, log in with a new token"
		}
		return "is it running, and is this computer on its network?"
	}
	return ""
}
