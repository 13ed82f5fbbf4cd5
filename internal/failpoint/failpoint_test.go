package failpoint_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/internal/failpoint"
)

// A released program holds no name of a place and does not know the variable;
// the same program built for tests holds them.
func TestReleasedProgramsHoldNoFailpoint(t *testing.T) {
	if testing.Short() {
		t.Skip("builds four programs; not with -short")
	}
	agent := map[failpoint.Point]bool{
		failpoint.SpoolContent: true, failpoint.SpoolAppend: true, failpoint.SpoolState: true, failpoint.SpoolChain: true,
		failpoint.SpoolRemove: true, failpoint.SeqReserve: true, failpoint.SpoolCarried: true, failpoint.RotateBetween: true, failpoint.RotateKept: true,
	}
	for _, program := range []string{"rollcall-agent", "rollcall-server"} {
		released, tagged := build(t, program), build(t, program, "-tags", "failpoint")
		if bytes.Contains(released, []byte("ROLLCALL_FAILPOINT")) {
			t.Errorf("the released %s reads ROLLCALL_FAILPOINT", program)
		}
		if !bytes.Contains(tagged, []byte("ROLLCALL_FAILPOINT")) {
			t.Errorf("%s built with the tag does not read ROLLCALL_FAILPOINT: the test shows nothing", program)
		}
		for _, p := range failpoint.Points() {
			if bytes.Contains(released, []byte(p)) {
				t.Errorf("the released %s holds %q", program, p)
			}
			if agent[p] == (program == "rollcall-agent") && !bytes.Contains(tagged, []byte(p)) {
				t.Errorf("%s built with the tag does not hold %q", program, p)
			}
		}
	}
}

func build(t *testing.T, program string, args ...string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), program)
	c := exec.CommandContext(t.Context(), "go", append(append([]string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", out}, args...), "./cmd/"+program)...)
	c.Dir, c.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	if text, err := c.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", program, err, text)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Every place that has a name is somewhere in the programs, once.
func TestEveryPointIsAPlaceInTheCode(t *testing.T) {
	names, used := map[string]bool{}, map[string]int{}
	file, err := parser.ParseFile(token.NewFileSet(), "points.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			names[v.Names[0].Name] = true
		}
		return true
	})
	for _, top := range []string{"agent", "server"} {
		err := filepath.WalkDir(filepath.Join("../..", top), func(name string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return err
			}
			b, err := os.ReadFile(name)
			for point := range names {
				used[point] += bytes.Count(b, []byte("(failpoint."+point+")"))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for point := range names {
		if used[point] != 1 {
			t.Errorf("failpoint.%s is at %d places, want 1", point, used[point])
		}
	}
	if len(names) != len(failpoint.Points()) {
		t.Errorf("%d names, %d in Points", len(names), len(failpoint.Points()))
	}
}
