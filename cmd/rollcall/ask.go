package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) askCommand() *cobra.Command {
	var atText string
	c := &cobra.Command{
		Use:   "ask",
		Short: "Find CIs step by step, without knowing the filter language",
		Long: `Asks back until you have the CIs that you mean: which class, which site, then what
about them, down to a value. Each step shows only what there is among the CIs that
are left, with how many have it, the most frequent first. At the end it prints how
many there are, the filter, and the command that asks it again.

Answers are lines, so it works in any terminal, over ssh, and from a file:
  3        choose the third              !3       all but those
  <3 >3    less, more than the third     *        any value; 'none': has no value
  text     only what holds this text     /10      the same, for text that is a number
  .        show all again                + -      next page, page before
  Enter    go on without choosing        ..       a step back
  ?        this help                     quit     stop`,
		Example: "  rollcall ask\n  rollcall ask --at 2026-09-01",
		Args:    cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			at, err := a.parseTime("at", atText, cmdline.End)
			if err != nil {
				return err
			}
			return a.ask(func(s *server) error {
				return (&dialogue{app: a, server: s, at: at, in: bufio.NewReader(a.in), help: c.Long}).run(c.Context())
			})
		},
	}
	atFlag(c, &atText)
	return c
}

// What a line of an answer may be beside a choice.
var (
	errBack = errors.New("a step back")
	errSkip = errors.New("nothing chosen")
	errQuit = errors.New("stopped")
)

const (
	askPage = 15   // choices shown at once
	maxLine = 4096 // bytes of an answer
)

// dialogue is one guided question.
type dialogue struct {
	*app
	server *server
	at     time.Time
	in     *bufio.Reader
	help   string

	// conditions hold together; those of one entry are alternatives.
	conditions [][]string
}

// filter is what has been chosen so far.
func (d *dialogue) filter() string {
	var parts []string
	for _, alternatives := range d.conditions {
		text := strings.Join(alternatives, " or ")
		if len(alternatives) > 1 {
			text = "(" + text + ")"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " and ")
}

// run asks for class, site and then conditions, until there are enough.
func (d *dialogue) run(ctx context.Context) error {
	d.err.line("'?' shows what you can answer.")
	for _, first := range []struct{ subject, question string }{{"class", "Which class? (Enter: any)"}, {"site", "At which site? (Enter: any)"}} {
		err := d.condition(ctx, first.subject, first.question)
		if err != nil && !errors.Is(err, errSkip) && !errors.Is(err, errBack) {
			return d.stopped(err)
		}
	}
	for {
		err := d.subject(ctx)
		switch {
		case errors.Is(err, errSkip):
			return d.done(ctx)
		case errors.Is(err, errBack):
			d.undo()
			continue
		case err != nil:
			return d.stopped(err)
		}
		if ended, err := d.more(ctx); err != nil || ended {
			return err
		}
	}
}

// stopped says that nothing comes of it, where the person wanted it so.
func (d *dialogue) stopped(err error) error {
	if errors.Is(err, errQuit) || errors.Is(err, io.EOF) {
		return cmdline.Hinted(errors.New("ask: stopped before the end"), "with Enter you go on without choosing, and the question ends")
	}
	return err
}

func (d *dialogue) undo() {
	if n := len(d.conditions); n > 0 {
		d.err.line("without: %s", strings.Join(d.conditions[n-1], " or "))
		d.conditions = d.conditions[:n-1]
	}
}

// more asks whether the question goes on.
func (d *dialogue) more(ctx context.Context) (ended bool, err error) {
	for {
		reply, err := d.values(ctx, &rollcallv1.ValuesRequest{Filter: d.filter(), Subject: "class"})
		if err != nil {
			return false, err
		}
		d.err.line("")
		d.err.line("%s: %s", plural(reply.GetMachines(), "CI"), d.filter())
		line, err := d.line(ctx, "'and' for a further condition, 'or' for another value of the last, Enter: done")
		switch {
		case errors.Is(err, errSkip) || line == "done":
			return true, d.done(ctx)
		case errors.Is(err, errBack):
			d.undo()
			return false, nil
		case err != nil:
			return false, d.stopped(err)
		case line == "and":
			return false, nil
		case line == "or":
			if err := d.alternative(ctx); err != nil {
				return false, d.stopped(err)
			}
		default:
			d.err.line("answer 'and', 'or', or Enter")
		}
	}
}

// alternative adds another condition of which one must hold, like the last.
func (d *dialogue) alternative(ctx context.Context) error {
	last := d.conditions[len(d.conditions)-1]
	d.conditions = d.conditions[:len(d.conditions)-1]
	n := len(d.conditions)
	err := d.subject(ctx)
	if errors.Is(err, errSkip) || errors.Is(err, errBack) {
		err = nil
	}
	if len(d.conditions) > n {
		last = append(last, d.conditions[n]...)
	}
	d.conditions = append(d.conditions[:n], last)
	return err
}

// done prints what came of it.
func (d *dialogue) done(ctx context.Context) error {
	reply, err := d.values(ctx, &rollcallv1.ValuesRequest{Filter: d.filter(), Subject: "class"})
	if err != nil {
		return err
	}
	command := "rollcall ci list"
	if f := d.filter(); f != "" {
		command += " " + shellWord(f)
	}
	if !d.at.IsZero() {
		command += " --at " + d.at.UTC().Format(time.RFC3339)
	}
	d.out.line("%s", plural(reply.GetMachines(), "CI"))
	d.out.line("filter: %s", orDash(d.filter()))
	d.out.line("again:  %s", command)
	return nil
}

// subject walks from the list of fields and sections down to a condition.
func (d *dialogue) subject(ctx context.Context) error {
	path := []string{""}
	for {
		here := path[len(path)-1]
		if here != "" && !strings.HasSuffix(here, "/") {
			err := d.condition(ctx, here, "Which value of "+here+"?")
			if !errors.Is(err, errBack) && !errors.Is(err, errSkip) {
				return err
			}
			path = path[:len(path)-1]
			continue
		}
		question := "What about them? (Enter: done)"
		if here != "" {
			question = "What of " + here + "?"
		}
		chosen, op, _, err := d.choose(ctx, here, question)
		switch {
		case errors.Is(err, errBack) || errors.Is(err, errSkip) && here != "":
			if len(path) == 1 {
				return errBack
			}
			path = path[:len(path)-1]
		case err != nil:
			return err
		case op == "*" && here != "":
			path = append(path, here+"*/")
		case op != "=" || chosen == nil:
			d.err.line("choose one by its number")
		default:
			path = append(path, chosen.GetSubject())
		}
	}
}

// condition asks for a value and adds the condition that it makes.
func (d *dialogue) condition(ctx context.Context, subject, question string) error {
	chosen, op, reply, err := d.choose(ctx, subject, question)
	if err != nil {
		return err
	}
	name, isTime := reply.GetSubject(), reply.GetKind() == "time"
	text := ""
	switch {
	case op == "*" || op == "none":
		text = name
		if !strings.Contains(name, "(") {
			text = name + " ~ *"
		}
		if op == "none" {
			text = "not " + text
		}
	case op == "=":
		text = name + " " + chosen.GetOp() + " " + chosen.GetWord()
	case op == "!=" && isTime:
		text = "not " + name + " " + chosen.GetOp() + " " + chosen.GetWord()
	case op == "!=":
		text = name + " != " + chosen.GetWord()
	default:
		text = name + " " + op + " " + chosen.GetWord()
	}
	d.conditions = append(d.conditions, []string{text})
	return nil
}

// choose shows what there is, page by page, until one is chosen. op is "=", "!=",
// "<" or ">", or without a choice "*" or "none".
func (d *dialogue) choose(ctx context.Context, subject, question string) (*rollcallv1.ValueCount, string, *rollcallv1.ValuesReply, error) {
	req := &rollcallv1.ValuesRequest{Filter: d.filter(), Subject: subject, Limit: askPage}
	for {
		reply, err := d.values(ctx, req)
		if err != nil {
			return nil, "", nil, err
		}
		d.show(req, reply)
		line, err := d.line(ctx, question)
		if err != nil {
			return nil, "", nil, err
		}
		switch {
		case line == "+" && uint64(req.GetSkip())+askPage < reply.GetTotal():
			req.Skip += askPage
		case line == "-" && req.GetSkip() >= askPage:
			req.Skip -= askPage
		case line == "+" || line == "-":
			d.err.line("there is no further page")
		case line == ".":
			req.Narrow, req.Skip = "", 0
		case line == "*" || line == "none":
			return nil, line, reply, nil
		default:
			chosen, op, text := d.chosen(line, req, reply)
			if chosen != nil {
				return chosen, op, reply, nil
			}
			if text != "" {
				req.Narrow, req.Skip = text, 0
			}
		}
	}
}

// chosen reads "3", "!3", "<3", ">3"; everything else is text to narrow the list.
func (d *dialogue) chosen(line string, req *rollcallv1.ValuesRequest, reply *rollcallv1.ValuesReply) (v *rollcallv1.ValueCount, op, text string) {
	if text, ok := strings.CutPrefix(line, "/"); ok {
		return nil, "", text
	}
	op, digits := "=", line
	for prefix, o := range map[string]string{"!": "!=", "<": "<", ">": ">"} {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			op, digits = o, strings.TrimSpace(rest)
		}
	}
	n := 0
	if _, err := fmt.Sscanf(digits, "%d", &n); err != nil || fmt.Sprint(n) != digits {
		return nil, "", line
	}
	i := n - 1 - int(req.GetSkip())
	switch {
	case i < 0 || i >= len(reply.GetValues()):
		d.err.line("there is no %d here; write /%d for what holds this text", n, n)
	case (op == "<" || op == ">") && !ordered(reply.GetKind()):
		d.err.line("%s has no order: choose one, or all but one with !%d", reply.GetSubject(), n)
	default:
		return reply.GetValues()[i], op, ""
	}
	return nil, "", ""
}

func ordered(kind string) bool { return kind == "version" || kind == "size" || kind == "number" }

func (d *dialogue) show(req *rollcallv1.ValuesRequest, reply *rollcallv1.ValuesReply) {
	d.err.line("")
	if f := req.GetFilter(); f != "" {
		d.err.styled(faint, "%s: %s", plural(reply.GetMachines(), "CI"), f)
	} else {
		d.err.styled(faint, "%s", plural(reply.GetMachines(), "CI"))
	}
	t := table{header: []string{"#", "CIs", "", ""}, right: map[int]bool{0: true, 1: true}, elastic: 3}
	for i, v := range reply.GetValues() {
		text := v.GetValue()
		if reply.GetKind() == "size" {
			text = d.cellWords("size", text)
		}
		t.row(fmt.Sprint(int(req.GetSkip())+i+1), fmt.Sprint(v.GetMachines()), text, v.GetHelp())
	}
	t.write(d.err)
	shown := uint64(req.GetSkip()) + uint64(len(reply.GetValues()))
	switch {
	case reply.GetTotal() == 0 && req.GetNarrow() != "":
		d.err.line("nothing holds %q; '.' shows all again", req.GetNarrow())
	case reply.GetTotal() == 0:
		d.err.line("there is nothing to choose from")
	case shown < reply.GetTotal():
		d.err.styled(faint, "%d more: +, or write a part of it", reply.GetTotal()-shown)
	}
}

// values asks the server.
func (d *dialogue) values(ctx context.Context, req *rollcallv1.ValuesRequest) (*rollcallv1.ValuesReply, error) {
	req.AtMs = millis(d.at)
	reply, err := d.server.Values(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("ask: %w", err)
	}
	return reply, nil
}

// line asks and reads one answer.
func (d *dialogue) line(ctx context.Context, question string) (string, error) {
	for {
		d.err.text(bold, inertLine(question)+" ")
		text, err := d.read(ctx)
		if err != nil {
			d.err.text(plain, "\n")
			return "", err
		}
		switch text = strings.TrimSpace(text); text {
		case "":
			return "", errSkip
		case "..":
			return "", errBack
		case "quit", "exit":
			return "", errQuit
		case "?":
			d.err.text(plain, d.help+"\n")
		default:
			return text, nil
		}
	}
}

// read reads a line, or returns when ctx ends: the read that is left behind ends
// with the process.
func (d *dialogue) read(ctx context.Context) (string, error) {
	type answer struct {
		text string
		err  error
	}
	typed := make(chan answer, 1)
	go func() {
		var b []byte
		for {
			c, err := d.in.ReadByte()
			switch {
			case err != nil && len(b) == 0:
				typed <- answer{"", err}
				return
			case err != nil || c == '\n':
				typed <- answer{string(b), nil}
				return
			case len(b) == maxLine:
				typed <- answer{"", cmdline.Usagef("ask: an answer of more than %d bytes", maxLine)}
				return
			}
			b = append(b, c)
		}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case t := <-typed:
		return t.text, t.err
	}
}
