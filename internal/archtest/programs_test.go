package archtest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// build builds a program as the Makefile does, from the module in root, into a
// new folder. With symbols it is not stripped.
func build(root, program string, symbols bool) (string, error) {
	dir, err := os.MkdirTemp("", "rollcall-archtest-")
	if err != nil {
		return "", err
	}
	flags := "-s -w -buildid= -X main.version=test"
	if symbols {
		flags = "-buildid="
	}
	tags := "grpcnotrace"
	if program == "rollcall-agent" {
		tags += ",agentwire"
	}
	c := exec.Command("go", "build", "-tags", tags, "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", dir, "./cmd/"+program)
	c.Dir, c.Env = root, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly")
	if out, err := c.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("build %s: %w\n%s", program, err, out)
	}
	return filepath.Join(dir, program), nil
}

// programs are those of cmd, with symbols, each built once.
var programs = sync.OnceValues(func() (map[string]string, error) {
	mains, err := filepath.Glob("../../cmd/rollcall*/main.go")
	files := map[string]string{}
	for _, m := range mains {
		name := filepath.Base(filepath.Dir(m))
		var e error
		if files[name], e = build("../..", name, true); e != nil {
			return files, e
		}
	}
	return files, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if built {
		files, _ := programs()
		for _, f := range files {
			_ = os.RemoveAll(filepath.Dir(f))
		}
	}
	os.Exit(code)
}

var built bool

func allPrograms(t *testing.T) map[string]string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds the programs; not with -short")
	}
	built = true
	files, err := programs()
	if err != nil || len(files) < 3 {
		t.Fatalf("programs: %v, %v", files, err)
	}
	return files
}

// modules.txt is what somebody has looked at: a program's name, then a line with
// a tab for each module in it.
func reviewed(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("modules.txt")
	if err != nil {
		t.Fatal(err)
	}
	out, program := map[string][]string{}, ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		switch module, isModule := strings.CutPrefix(line, "\t"); {
		case line == "" || line[0] == '#':
		case isModule:
			out[program] = append(out[program], module)
		default:
			program, out[line] = line, nil
		}
	}
	return out
}

func TestModulesOfEachProgramAreReviewed(t *testing.T) {
	list := reviewed(t)
	for _, program := range names(t) {
		modules := modulesOf(t, program)
		for _, module := range modules {
			if !slices.Contains(list[program], module) {
				t.Errorf("%s: module %s is new in it; read what it does, what it pulls in, and whether it starts, listens or decodes, then add it to internal/archtest/modules.txt", program, module)
			}
		}
		for _, module := range list[program] {
			if !slices.Contains(modules, module) {
				t.Errorf("%s: module %s is no longer in it; remove it from internal/archtest/modules.txt", program, module)
			}
		}
		delete(list, program)
	}
	for program := range list {
		t.Errorf("modules.txt: there is no program %s", program)
	}
}

// names lists the programs that are shipped.
func names(t *testing.T) []string {
	t.Helper()
	mains, err := filepath.Glob("../../cmd/rollcall*/main.go")
	if err != nil || len(mains) < 3 {
		t.Fatalf("programs: %v, %v", mains, err)
	}
	for i, m := range mains {
		mains[i] = filepath.Base(filepath.Dir(m))
	}
	return mains
}

// modulesOf lists the modules with a package in the program. A line with => would
// be a module that another one replaces: it is never reviewed.
func modulesOf(t *testing.T, program string) []string {
	t.Helper()
	const form = "{{with .Module}}{{if not .Main}}{{.Path}}{{with .Replace}} => {{.Path}}{{end}}{{end}}{{end}}"
	c := exec.Command("go", "list", "-tags", "grpcnotrace", "-mod=readonly", "-deps", "-f", form, "./cmd/"+program)
	c.Dir, c.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	out, err := c.Output()
	if err != nil {
		t.Fatalf("go list ./cmd/%s: %v", program, err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines)
	return slices.DeleteFunc(slices.Compact(lines), func(line string) bool { return line == "" })
}

// absent names code that must not even be linked into a program: what is not in
// it cannot be reached by a flaw. Each is the beginning of a symbol.
var absent = []struct {
	class, why string
	symbols    []string
	in         func(program string) bool
}{
	{
		"28", "it starts no program",
		[]string{
			"os/exec.(*Cmd).", "os.StartProcess", "os.startProcess", "syscall.forkExec", "syscall.StartProcess", "syscall.Exec", "plugin.",
			"filippo.io/age/plugin.", "filippo.io/age/agessh.", "github.com/go-git/go-git/v5/plumbing/transport", "golang.org/x/crypto/ssh.",
			"text/template.(*Template).Execute", "text/template.(*state)", "html/template.(*Template).Execute",
		},
		func(p string) bool { return p != "rollcall" && p != "rollcall-bench" },
	},
	{
		"27", "it decodes nothing that brings its own types",
		[]string{
			"encoding/gob.(*Decoder)", "net/rpc.", "encoding/xml.(*Decoder)", "gopkg.in/yaml", "go.yaml.in/yaml", "github.com/BurntSushi/toml",
		},
		func(string) bool { return true },
	},
	{ // expvar comes with client_golang, on net/http's default mux, which nobody serves: see the server's test of class 26
		"26", "it has no debugging over the network",
		[]string{"net/http/pprof.", "net/http/cgi.", "golang.org/x/net/trace.", "google.golang.org/grpc/reflection", "google.golang.org/grpc/channelz"},
		func(string) bool { return true },
	},
	{
		"28", "it waits for no connection",
		[]string{"net.Listen", "net.(*ListenConfig).", "net/http.(*Server).Serve", "net/http.(*Server).ListenAndServe", "google.golang.org/grpc.(*Server).Serve"},
		func(p string) bool { return p == "rollcall-agent" || p == "rollcall-recovery" },
	},
}

func symbolsOf(t *testing.T, file string) []string {
	t.Helper()
	out, err := exec.Command("go", "tool", "nm", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(string(out)) {
		if words := strings.Fields(line); len(words) >= 3 && (words[1] == "T" || words[1] == "t") {
			all = append(all, words[2])
		}
	}
	if len(all) < 1000 {
		t.Fatalf("%s: only %d symbols", file, len(all))
	}
	return all
}

func present(symbols []string, class string, program string) (found []string) {
	for _, a := range absent {
		if a.class != class || !a.in(program) {
			continue
		}
		for _, prefix := range a.symbols {
			if i := slices.IndexFunc(symbols, func(s string) bool { return strings.HasPrefix(s, prefix) }); i >= 0 {
				found = append(found, fmt.Sprintf("%s: %s is linked in, but %s", program, symbols[i], a.why))
			}
		}
	}
	return found
}

func classAbsent(t *testing.T, class string) {
	t.Helper()
	for program, file := range allPrograms(t) {
		for _, what := range present(symbolsOf(t, file), class, program) {
			t.Error(what)
		}
	}
}

func TestClass26NoDebuggingOverTheNetworkIsLinkedIn(t *testing.T) { classAbsent(t, "26") }

func TestClass27NoDecoderThatMakesTypesIsLinkedIn(t *testing.T) { classAbsent(t, "27") }

func TestClass28NothingThatStartsProgramsIsLinkedIn(t *testing.T) { classAbsent(t, "28") }

// The list of what must be absent can find something: rollcall starts a pager,
// and the server listens.
func TestWhatIsLinkedInIsFound(t *testing.T) {
	files := allPrograms(t)
	if len(present(symbolsOf(t, files["rollcall-server"]), "28", "rollcall-agent")) == 0 {
		t.Error("the server is said to wait for no connection")
	}
}

// TestProgramsAreReproducible builds one program in two places; make repro does it
// for all of them, with nothing cached.
func TestProgramsAreReproducible(t *testing.T) {
	files := allPrograms(t)
	program := "rollcall-agent"
	if files["rollcall-recovery"] != "" {
		program = "rollcall-recovery" // the smallest
	}
	elsewhere := t.TempDir()
	copyModule(t, elsewhere)
	var sums [2][32]byte
	for i, root := range []string{"../..", elsewhere} {
		file, err := build(root, program, false)
		defer os.RemoveAll(filepath.Dir(file))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sums[i] = sha256.Sum256(b)
		if here, err := filepath.Abs(root); err != nil || bytes.Contains(b, []byte(here)) {
			t.Errorf("%s holds the name of the folder it was built in: %v", program, err)
		}
	}
	if sums[0] != sums[1] {
		t.Errorf("%s differs when it is built in another folder", program)
	}
}

func copyModule(t *testing.T, to string) {
	t.Helper()
	root := os.DirFS("../..")
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (skipped(root, name) || name == "bin"):
			return fs.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		case !d.Type().IsRegular() || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		b, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), b, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}
