package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	rollcallv1 "rollcall/proto/rollcall/v1"
)

// completeTimeout bounds the wait after a key was pressed.
const completeTimeout = time.Second

// What people may choose; the server decides, so that a newer one may know more.
var (
	classes = []string{
		"server", "workstation", "laptop", "diskless", "thin-client", "printer", "switch",
		"image", "service", "software", "component", "other",
	}
	statuses = []string{"on-order", "received", "under-test", "in-production", "under-repair", "disposed"}
)

// completer gives the words that can follow prefix. It is silent about every
// failure: who is completing has not asked anything yet.
type completer func(ctx context.Context, prefix string) ([]string, cobra.ShellCompDirective)

// fixed completes from a list.
func fixed(words ...string) completer {
	return func(_ context.Context, prefix string) ([]string, cobra.ShellCompDirective) {
		var out []string
		for _, w := range words {
			if strings.HasPrefix(w, prefix) {
				out = append(out, w)
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// complete sets the completer of a flag. The flag exists: the command has just
// defined it.
func (a *app) complete(c *cobra.Command, flag string, fn completer) {
	err := c.RegisterFlagCompletionFunc(flag, func(c *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		return fn(c.Context(), prefix)
	})
	if err != nil {
		panic(err) // a misspelled flag: no command works, so every test sees it
	}
}

// first completes the first argument only.
func (a *app) first(fn completer) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return fn(c.Context(), prefix)
	}
}

// ask asks the server for words. A word that is not inert is left out: it could
// not be typed.
func (a *app) words(ctx context.Context, kind, ci, prefix string) []string {
	ctx, cancel := context.WithTimeout(ctx, completeTimeout)
	defer cancel()
	s, err := a.connect()
	if err != nil {
		return nil
	}
	defer s.close()
	reply, err := s.Complete(ctx, &rollcallv1.CompleteRequest{Kind: kind, Ci: ci, Prefix: prefix})
	if err != nil {
		return nil
	}
	var out []string
	for _, w := range reply.GetWords() {
		if inertLine(w) == w {
			out = append(out, w)
		}
	}
	return out
}

func (a *app) cis(ctx context.Context, prefix string) ([]string, cobra.ShellCompDirective) {
	return a.words(ctx, "ci", "", prefix), cobra.ShellCompDirectiveNoFileComp
}

func (a *app) sites(ctx context.Context, prefix string) ([]string, cobra.ShellCompDirective) {
	return a.words(ctx, "site", "", prefix), cobra.ShellCompDirectiveNoFileComp
}

// machineFiles completes MACHINE:/etc/PATH, first the machine, then the file.
func (a *app) machineFiles(ctx context.Context, prefix string) ([]string, cobra.ShellCompDirective) {
	ci, path, ok := strings.Cut(prefix, ":")
	if !ok {
		words := a.words(ctx, "ci", "", prefix)
		for i := range words {
			words[i] += ":/etc/"
		}
		return words, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	words := a.words(ctx, "file", ci, path)
	for i := range words {
		words[i] = ci + ":" + words[i]
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// waitingKeys completes the ids of keys that wait, with the host as description.
func (a *app) waitingKeys(ctx context.Context, prefix string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(ctx, completeTimeout)
	defer cancel()
	s, err := a.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer s.close()
	reply, err := s.Pending(ctx, &rollcallv1.PendingRequest{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, k := range reply.GetKeys() {
		if id := shortKey(k.GetKeyId()); strings.HasPrefix(id, prefix) && inertLine(id) == id {
			out = append(out, id+"\t"+inertLine(k.GetHostname()))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// goodTokens completes the ids of tokens that still admit, with the name as
// description.
func (a *app) goodTokens(ctx context.Context, prefix string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(ctx, completeTimeout)
	defer cancel()
	s, err := a.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer s.close()
	reply, err := s.Tokens(ctx, &rollcallv1.TokensRequest{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, t := range reply.GetTokens() {
		if id := t.GetId(); strings.HasPrefix(id, prefix) && inertLine(id) == id {
			out = append(out, id+"\t"+inertLine(t.GetKind()+after(", ", t.GetName())))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// setWords completes 'ci set': the CI, then fields and what two of them take.
func (a *app) setWords(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return a.cis(c.Context(), prefix)
	}
	field, value, ok := strings.Cut(prefix, "=")
	if !ok {
		words, _ := fixed("name=", "class=", "site=", "status=", "owner=")(c.Context(), prefix)
		return words, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	var words []string
	switch field {
	case "class":
		words, _ = fixed(classes...)(c.Context(), value)
	case "status":
		words, _ = fixed(statuses...)(c.Context(), value)
	case "site":
		words, _ = a.sites(c.Context(), value)
	}
	for i := range words {
		words[i] = field + "=" + words[i]
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}
