package archtest

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const module = "rollcall/"

// check reads all Go files of the module at the root of fsys and returns one
// line for each violation: "file:line: what is wrong; what to do".
func check(fsys fs.FS) ([]string, error) {
	c := checker{commented: make(map[string]bool), first: make(map[string]string)}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && skipped(fsys, name):
			return fs.SkipDir
		case !d.IsDir() && strings.HasSuffix(name, ".go"):
			return c.file(fsys, name)
		}
		return nil
	})
	for dir, name := range c.first {
		if _, ok := floorOf(dir); !ok {
			c.report(name, 1, "package %s has no floor; give it one in internal/archtest, or put the code where it belongs", dir)
		}
		if !c.commented[dir] {
			c.report(name, 1, "package %s has no comment; say what it is for and what it promises", dir)
		}
	}
	slices.SortFunc(c.found, func(a, b violation) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.line, b.line), cmp.Compare(a.text, b.text))
	})
	var lines []string
	for _, v := range c.found {
		lines = append(lines, fmt.Sprintf("%s:%d: %s", v.name, v.line, v.text))
	}
	return lines, err
}

// skipped names folders that hold no package of this module.
func skipped(fsys fs.FS, dir string) bool {
	base := path.Base(dir)
	_, err := fs.Stat(fsys, path.Join(dir, "go.mod"))
	return base == "testdata" || base[0] == '.' || base[0] == '_' || err == nil
}

type violation struct {
	name string // of the file
	line int
	text string
}

type checker struct {
	found     []violation
	commented map[string]bool
	first     map[string]string // package folder → its first file
}

// source is one file under examination.
type source struct {
	*checker
	name, dir string // file and folder, relative to the module
	fset      *token.FileSet
	syntax    *ast.File
	test      bool
	generated bool
}

func (c *checker) report(name string, line int, format string, args ...any) {
	c.found = append(c.found, violation{name, line, fmt.Sprintf(format, args...)})
}

func (s *source) at(pos token.Pos, format string, args ...any) {
	s.report(s.name, s.fset.Position(pos).Line, format, args...)
}

func (c *checker) file(fsys fs.FS, name string) error {
	text, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	s := source{checker: c, name: name, dir: path.Dir(name), fset: token.NewFileSet()}
	s.test, s.generated = strings.HasSuffix(name, "_test.go"), strings.HasSuffix(name, ".pb.go")
	if s.syntax, err = parser.ParseFile(s.fset, name, text, parser.ParseComments); err != nil {
		return err
	}
	if c.first[s.dir] == "" {
		c.first[s.dir] = name
	}
	s.imports()
	if s.generated {
		return nil
	}
	s.packageComment()
	if lines := bytes.Count(text, []byte("\n")); lines > maxFileLines {
		c.report(name, maxFileLines+1, "file of %d lines, more than %d; split it by noun", lines, maxFileLines)
	}
	for _, d := range s.syntax.Decls {
		s.declaration(d)
	}
	s.calls()
	s.openEnds()
	return nil
}

func (s *source) imports() {
	var sides []string
	for _, spec := range s.syntax.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has refused it
		}
		s.owner(spec, imported)
		dir, ours := strings.CutPrefix(imported, module)
		if !ours {
			continue
		}
		sides = append(sides, side(dir))
		if !s.test {
			s.floor(spec, dir)
		}
	}
	if own := side(s.dir); own != "" {
		sides = append(sides, own)
	}
	endToEnd := s.test && strings.HasPrefix(s.dir, "cmd/") || s.dir == "cmd/rollcall-bench"
	if slices.Contains(sides, "agent") && slices.Contains(sides, "server") && !endToEnd {
		s.at(s.syntax.Name.Pos(), "agent and server meet; they know each other over the wire only, except in tests of cmd and in rollcall-bench")
	}
}

// side tells to which of the two programs a package belongs.
func side(dir string) string {
	if top, _, _ := strings.Cut(dir, "/"); top == "agent" || top == "server" {
		return top
	}
	return ""
}

func (s *source) floor(spec *ast.ImportSpec, dir string) {
	mine, ok := floorOf(s.dir)
	theirs, known := floorOf(dir)
	switch {
	case !ok: // reported for the package
	case !known:
		s.at(spec.Pos(), "imports %s, which has no floor", dir)
	case theirs >= mine:
		s.at(spec.Pos(), "floor %d imports %s of floor %d; imports point down: move the shared part down or pass it in", mine, dir, theirs)
	case slices.Contains(testSupport, dir):
		s.at(spec.Pos(), "imports %s, which is for tests", dir)
	}
}

func (s *source) owner(spec *ast.ImportSpec, imported string) {
	if s.test {
		return
	}
	for _, o := range owners {
		prefix := strings.TrimSuffix(o.library, "/") + "/"
		if imported != o.library && !strings.HasPrefix(imported, prefix) || matches(s.dir, o.in...) {
			continue
		}
		if o.library == "github.com/prometheus/client_golang" && path.Base(s.name) == "metrics.go" {
			continue
		}
		s.at(spec.Pos(), "imports %s, which belongs to %v alone; ask its owner", imported, o.in)
	}
	if first, _, _ := strings.Cut(imported, "/"); strings.HasPrefix(s.dir, "proto/") && strings.Contains(first, ".") &&
		!strings.HasPrefix(imported, "google.golang.org/protobuf/") && !strings.HasPrefix(imported, "google.golang.org/grpc") {
		s.at(spec.Pos(), "imports %s; proto needs protobuf and grpc only", imported)
	}
}

func (s *source) packageComment() {
	doc, name := s.syntax.Doc.Text(), s.syntax.Name.Name
	if strings.HasPrefix(doc, "Package "+name+" ") || name == "main" && strings.HasPrefix(doc, "Command ") {
		s.commented[s.dir] = true
	}
}

func (s *source) declaration(d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		first, last := s.fset.Position(d.Pos()).Line, s.fset.Position(d.End()).Line
		if lines := last - first + 1; lines > maxFuncLines {
			s.at(d.Pos(), "function %s of %d lines, more than %d; split it by what it does", d.Name.Name, lines, maxFuncLines)
		}
		if s.test {
			return
		}
		if d.Name.Name == "init" && d.Recv == nil {
			s.at(d.Pos(), "init function; let main call it, so that its order and errors show")
		}
		if d.Doc == nil && d.Name.IsExported() && exportedReceiver(d) && !(d.Recv != nil && slices.Contains(stdlibMethods, d.Name.Name)) {
			s.at(d.Pos(), "%s has no comment; write its contract", d.Name.Name)
		}
	case *ast.GenDecl:
		if !s.test {
			s.values(d)
		}
	}
}

// exportedReceiver tells whether the method's type is visible outside; true for
// a function.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return true
	}
	receiver := d.Recv.List[0].Type
	for {
		switch r := receiver.(type) {
		case *ast.StarExpr:
			receiver = r.X
		case *ast.IndexExpr:
			receiver = r.X
		case *ast.IndexListExpr:
			receiver = r.X
		case *ast.Ident:
			return r.IsExported()
		default:
			return true
		}
	}
}

// values checks exported types, constants and variables. A comment on the
// group serves all constants and variables in it.
func (s *source) values(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if spec.Name.IsExported() && spec.Doc == nil && (d.Doc == nil || d.Lparen.IsValid()) {
				s.at(spec.Pos(), "%s has no comment; say what it is", spec.Name.Name)
			}
		case *ast.ValueSpec:
			for _, name := range spec.Names {
				if name.IsExported() && spec.Doc == nil && spec.Comment == nil && d.Doc == nil {
					s.at(name.Pos(), "%s has no comment; say what it is", name.Name)
				}
			}
		}
	}
}

func (s *source) calls() {
	if s.test {
		return
	}
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		pkg, ok := sel.X.(*ast.Ident)
		for _, c := range calls {
			if ok && pkg.Name == c.pkg && sel.Sel.Name == c.name && side(s.dir) == c.below {
				s.at(sel.Pos(), "%s.%s: the %s %s", c.pkg, c.name, c.below, c.promise)
			}
		}
		return true
	})
}

var (
	openEnd  = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)
	numbered = regexp.MustCompile(`\b(TODO|FIXME)\(#\d+\)`)
)

func (s *source) openEnds() {
	for _, group := range s.syntax.Comments {
		for _, c := range group.List {
			if mark := openEnd.FindString(c.Text); mark != "" && !numbered.MatchString(c.Text) {
				s.at(c.Pos(), "%s without an issue; do it now, or file an issue and write %s(#number)", mark, mark)
			}
		}
	}
}
