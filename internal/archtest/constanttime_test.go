package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
)

// secretName is what a secret, or what proves one, is called in this module.
var secretName = regexp.MustCompile(`(?i)^(secret|password|proof|mac|hmac|sum|hash|proved|digest)s?$`)

// Packages that decide who gets in. Elsewhere digests name contents, which is no
// secret.
var gatekeepers = []string{"server/auth", "server/enrol", "server/api", "internal/identity"}

// What proves who somebody is is compared in constant time: neither with == nor by
// bytes.Equal, which tell by their time how much was right (OCS af2da8d0).
func TestClass29SecretsAreComparedInConstantTime(t *testing.T) {
	looked := 0
	for _, dir := range gatekeepers {
		for name, text := range goFiles(t, "../../"+dir) {
			problems, n := earlyExits(t, dir+"/"+name, text)
			looked += n
			for _, p := range problems {
				t.Error(p)
			}
		}
	}
	if looked < 100 {
		t.Errorf("%d comparisons were looked at: has the test gone blind?", looked)
	}
	bad := "package x\nfunc f(a, b struct{ Hash string; Secret []byte }) bool { return a.Hash == b.Hash || bytes.Equal(a.Secret, b.Secret) }\n"
	if problems, _ := earlyExits(t, "bad.go", bad); len(problems) != 2 {
		t.Errorf("the planted comparisons are not found: %v", problems)
	}
}

// allowedComparisons are not of what somebody sent: they ask whether a record has
// changed, or whether there is anything at all.
var allowedComparisons = map[string]string{
	"server/api/account.go":      "whether the operator's record has changed since the gate read it",
	"server/api/prove.go":        "hashes of reports in proofs that anybody may read",
	"internal/identity/token.go": "the checksum of a token's text against typing errors",
}

func goFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		b, err := fs.ReadFile(os.DirFS(dir), name)
		files[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// earlyExits finds comparisons of secrets that end at the first difference.
func earlyExits(t *testing.T, name, text string) (problems []string, looked int) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, text, 0)
	if err != nil {
		t.Fatal(err)
	}
	report := func(at token.Pos, what string) {
		if allowedComparisons[name] == "" {
			problems = append(problems, set.Position(at).String()+": "+what+" compares a secret: use subtle.ConstantTimeCompare or hmac.Equal")
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.BinaryExpr:
			if x.Op != token.EQL && x.Op != token.NEQ {
				return true
			}
			looked++
			if isSecret(x.X) && !isEmpty(x.Y) && !isEmpty(x.X) || isSecret(x.Y) && !isEmpty(x.X) && !isEmpty(x.Y) {
				report(x.Pos(), x.Op.String())
			}
		case *ast.CallExpr:
			f, ok := x.Fun.(*ast.SelectorExpr)
			if !ok || f.Sel.Name != "Equal" || len(x.Args) != 2 {
				return true
			}
			looked++
			if pkg, ok := f.X.(*ast.Ident); ok && pkg.Name == "bytes" && (isSecret(x.Args[0]) || isSecret(x.Args[1])) {
				report(x.Pos(), "bytes.Equal")
			}
		}
		return true
	})
	return problems, looked
}

// isSecret tells by the last name of an expression.
func isSecret(e ast.Expr) bool {
	switch x := e.(type) {
	case *ast.Ident:
		return secretName.MatchString(x.Name)
	case *ast.SelectorExpr:
		return secretName.MatchString(x.Sel.Name)
	}
	return false
}

// isEmpty tells whether an expression asks only whether there is anything.
func isEmpty(e ast.Expr) bool {
	switch x := e.(type) {
	case *ast.BasicLit:
		return x.Value == `""` || x.Value == "0"
	case *ast.Ident:
		return x.Name == "nil"
	}
	return false
}
