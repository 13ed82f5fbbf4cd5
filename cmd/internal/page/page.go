// Package page makes the man pages and completion scripts of a program from its
// command tree, so that they cannot tell anything else, and compares them with
// those in packaging/. It is for tests alone: what writes man pages is no part
// of the programs.
package page

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"rollcall/cmd/internal/cmdline"
)

// packaging is seen from the folder of a program, where its tests run.
const packaging = "../../packaging"

// Check fails where a page or script in packaging/ is not what the tree of
// commands says, is missing, or belongs to no command any more. With update it
// puts that right instead. Two programs may have names that begin alike only if
// their pages are in different sections.
func Check(t *testing.T, root *cobra.Command, section string, update bool) {
	t.Helper()
	made, err := generate(root, section, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if update {
		err = write(packaging, made)
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range made {
		if got, err := os.ReadFile(filepath.Join(packaging, name)); err != nil || !bytes.Equal(got, content) {
			t.Errorf("packaging/%s is not current (%v); run: make generate", name, err)
		}
	}
	left, err := orphans(packaging, root.Name(), section, made)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range left {
		if !update {
			t.Errorf("packaging/%s belongs to no command; run: make generate", name)
		} else if err := os.Remove(filepath.Join(packaging, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// generate returns all files of a program by their path below packaging/. It
// needs an empty folder to work in.
func generate(root *cobra.Command, section, empty string) (map[string][]byte, error) {
	files := make(map[string][]byte)
	for _, shell := range cmdline.Shells() {
		var b bytes.Buffer
		if err := cmdline.Script(&b, root, shell); err != nil {
			return nil, err
		}
		files[filepath.Join("completions", shell, script(shell, root.Name()))] = b.Bytes()
	}
	root.DisableAutoGenTag = true
	date := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC) // fixed: pages change with their text only
	header := &doc.GenManHeader{Section: section, Date: &date, Source: "Rollcall", Manual: "Rollcall"}
	if err := doc.GenManTree(root, header, empty); err != nil {
		return nil, fmt.Errorf("make man pages: %w", err)
	}
	pages, err := os.ReadDir(empty)
	if err != nil {
		return nil, err
	}
	for _, p := range pages {
		if files[filepath.Join("man", p.Name())], err = os.ReadFile(filepath.Join(empty, p.Name())); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// script is the file name under which a shell looks for a program's completion.
func script(shell, program string) string {
	switch shell {
	case "zsh":
		return "_" + program
	case "fish":
		return program + ".fish"
	}
	return program
}

func write(folder string, files map[string][]byte) error {
	for name, content := range files {
		file := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// orphans names the man pages of a program that were not made.
func orphans(folder, program, section string, made map[string][]byte) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(folder, "man", program+"*."+section))
	if err != nil {
		return nil, err
	}
	var left []string
	for _, f := range found {
		name := filepath.Join("man", filepath.Base(f))
		rest := strings.TrimPrefix(filepath.Base(f), program)
		if _, ok := made[name]; !ok && (rest == "."+section || rest[0] == '-') {
			left = append(left, name)
		}
	}
	return left, nil
}
