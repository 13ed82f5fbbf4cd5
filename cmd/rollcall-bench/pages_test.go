package main

import (
	"flag"
	"testing"

	"rollcall/cmd/internal/page"
)

var update = flag.Bool("update", false, "write man pages and completions anew")

func TestGeneratedManPagesAndCompletionsAreCurrent(t *testing.T) {
	page.Check(t, newApp().command(), "8", *update)
}
