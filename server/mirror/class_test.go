package mirror

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestClass10PathTraversalTwoHundredHostilePathsStayBelowTheirMachine looks at
// the names in the tree itself, whatever a checkout makes of them.
func TestClass10PathTraversalTwoHundredHostilePathsStayBelowTheirMachine(t *testing.T) {
	w := newWorld()
	facts := map[string]string{}
	for i, p := range hostilePaths() {
		facts[p] = w.plain(fmt.Sprint("content ", i), 0o644)
	}
	if len(facts) < 200 {
		t.Fatalf("only %d hostile paths", len(facts))
	}
	w.record("ci1", "elm", facts)
	m := w.mirror(tempDir(t))
	drain(t, m)
	clone := checkRepo(t, m.Path("elm"))
	names := strings.Split(strings.TrimSuffix(git(t, clone, "ls-tree", "-r", "-z", "--name-only", "HEAD"), "\x00"), "\x00")
	for _, name := range names {
		if !strings.HasPrefix(name, "ci1/") {
			t.Errorf("%q is not below the folder that the server chose", name)
		}
		for part := range strings.SplitSeq(name, "/") {
			// What other file systems take for ".git": without case, with a
			// trailing dot or blank, as its short name.
			bare := strings.TrimRight(strings.ToLower(part), ". ")
			if part == "" || part == "." || part == ".." || bare == ".git" || strings.HasPrefix(bare, "git~") || strings.ContainsAny(part, "\\\x00\n\x1b") || len(part) > 255 {
				t.Errorf("%q has the part %q", name, part)
			}
		}
	}
	if len(names) < 150 {
		t.Errorf("%d names in the tree", len(names))
	}
}

// TestClass14AttributesAndModulesOfAMachineRunNothing clones with a filter that
// an attribute of a machine's could switch on.
func TestClass14AttributesAndModulesOfAMachineRunNothing(t *testing.T) {
	trap := filepath.Join(tempDir(t), "sprung")
	filter := []string{
		"-c", "filter.evil.smudge=sh -c 'touch " + trap + "; cat'", "-c", "filter.evil.clean=sh -c 'touch " + trap + "; cat'", "-c", "filter.evil.required=true",
		"-c", "protocol.ext.allow=always", "-c", "protocol.file.allow=always", "clone", "-q", "--recurse-submodules",
	}
	attributes, modules := "* filter=evil\n", "[submodule \"x\"]\n\tpath = x\n\turl = \"ext::sh -c touch% "+trap+"\"\n"
	w := newWorld()
	facts := map[string]string{}
	for _, name := range []string{".gitattributes", ".gitmodules", ".GITATTRIBUTES", ".gitattributes ", "gitatt~1", "sub/.gitattributes", "sub/.gitmodules", ".git/hooks/post-checkout", ".git/config", ".lfsconfig"} {
		content := attributes
		if strings.Contains(name, "modules") {
			content = modules
		}
		if strings.Contains(name, "hooks") {
			content = "#!/bin/sh\ntouch " + trap + "\n"
		}
		facts["etc/"+name] = w.plain(content, 0o755)
	}
	facts["etc/file"] = w.plain("x\n", 0o644)
	w.record("ci1", "elm", facts)
	m := w.mirror(tempDir(t))
	drain(t, m)
	clone := filepath.Join(tempDir(t), "clone")
	git(t, ".", append(filter, m.Path("elm"), clone)...)
	for _, name := range []string{"ci1/etc/file", "ci1/packages.txt", "ci1/etc/sub/x"} {
		if out := git(t, clone, "check-attr", "filter", "--", name); !strings.Contains(out, "unspecified") {
			t.Errorf("an attribute of the machine counts: %s", out)
		}
	}
	if _, err := os.Lstat(trap); err == nil {
		t.Fatal("cloning the mirror ran something that a machine has chosen")
	}

	// The trap works: git's own folder with such a file springs it.
	plain := filepath.Join(tempDir(t), "plain")
	git(t, ".", "init", "-q", plain)
	for name, content := range map[string]string{".gitattributes": attributes, "file": "x\n"} {
		if err := os.WriteFile(filepath.Join(plain, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	git(t, plain, "add", ".")
	git(t, plain, "-c", "user.name=x", "-c", "user.email=x", "commit", "-q", "-m", "x")
	git(t, ".", append(filter, plain, filepath.Join(tempDir(t), "sprung-clone"))...)
	if _, err := os.Lstat(trap); err != nil {
		t.Error("the trap does not spring where it should: the test shows nothing")
	}
}
