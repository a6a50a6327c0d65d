package app_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/latchkey-api/latchkey"

// mayImport is the import rule of the house, and the only place of it: a row for each package, with the packages of ours
// that it may import. Imports go one way. Tests may reach further, except in integration, which speaks HTTP and sees no
// code of ours.
func mayImport() map[string][]string {
	return map[string][]string{
		"main": {"cli"},
		// handlers because --json prints a key as HTTP does.
		"cli": {
			"app", "explain", "configs", "client", "handlers", "store", "keys", "keys/keystring", "access", "token", "fault",
			"internal/listener", "internal/logqueue",
		},
		"app": {
			"configs", "handlers", "middleware", "store", "keys", "access", "token", "fault", "internal/listener",
			"keys/keystring",
		},
		"explain": {"middleware", "keys", "keys/keystring", "access", "token", "fault"},
		// Siblings: neither imports the other.
		"handlers":   {"store", "keys", "access", "fault", "internal/strictjson"},
		"middleware": {"keys", "access", "token", "fault"},

		"store":           {"keys", "fault"},
		"store/storetest": {"store", "keys", "fault"},
		"keys":            {"keys/keystring", "keys/shares", "token", "fault"},
		"keys/keystring":  {},
		"keys/shares":     {},
		"token":           {"fault", "internal/strictjson"},
		"access":          {"fault"},
		"fault":           {},
		"configs":         {},
		"client":          {"keys/keystring", "token"},

		// Mechanics that know nothing of keys.
		"internal/listener":              {},
		"internal/listener/listenertest": {},
		"internal/logqueue":              {},
		"internal/strictjson":            {},

		"integration":         {"integration/harness"},
		"integration/harness": {},
	}
}

// reserved libraries may be imported by the packages named beside them and by no other, tests included.
func reserved() map[string][]string {
	return map[string][]string{
		"github.com/gofiber/fiber":       {"app", "handlers", "middleware"},
		"github.com/gofiber/contrib/jwt": {"middleware"},
		"github.com/golang-jwt/jwt":      {"middleware", "token"},
		"github.com/alecthomas/kong":     {"cli"},
		// The suite creates the databases of the processes that it starts, and reads them.
		"github.com/jackc/pgx": {"store", "integration", "integration/harness"},
	}
}

// forbidden has the standard packages that a package must not import.
func forbidden() map[string][]string {
	return map[string][]string{
		"token": {"net/http", "database/sql"},
		"keys":  {"net/http", "database/sql"},
	}
}

// standardOnly are the packages that import no library, their tests apart: another program could copy them as they are.
func standardOnly() []string {
	return []string{"fault", "keys/keystring", "keys/shares", "internal/logqueue", "internal/strictjson"}
}

// TestArch holds every Go file of the module, whatever its build tags, to the rules of the house.
func TestArch(t *testing.T) {
	files := houseFiles(t)
	for _, rule := range []struct {
		name  string
		check func(sourceFile) []string
	}{
		{"imports of our own packages", ownImports},
		{"imports of libraries", libraryImports},
		{"calls that have one place", calls},
		{"main.go stays small", mainLines},
	} {
		t.Run(rule.name, func(t *testing.T) {
			for _, f := range files {
				for _, problem := range rule.check(f) {
					t.Errorf("%s: %s", f.path, problem)
				}
			}
		})
	}
}

// TestArchSeesViolations shows that each rule can fail: a rule that lets its own example pass guards nothing.
func TestArchSeesViolations(t *testing.T) {
	for _, row := range []struct {
		path, source string
		check        func(sourceFile) []string
		want         string
	}{
		{"main.go", `import _ "` + module + `/store"`, ownImports, "must not import store"},
		{"cli/x.go", `import _ "` + module + `/middleware"`, ownImports, "must not import middleware"},
		{"explain/x.go", `import _ "` + module + `/app"`, ownImports, "must not import app"},
		{"app/x.go", `import _ "` + module + `/cli"`, ownImports, "must not import cli"},
		{"handlers/x.go", `import _ "` + module + `/middleware"`, ownImports, "must not import middleware"},
		{"middleware/x.go", `import _ "` + module + `/handlers"`, ownImports, "must not import handlers"},
		{"store/x.go", `import _ "` + module + `/app"`, ownImports, "must not import app"},
		{"keys/shares/x.go", `import _ "` + module + `/keys"`, ownImports, "must not import keys"},
		{"client/x.go", `import _ "` + module + `/keys"`, ownImports, "must not import keys"},
		{"internal/strictjson/x.go", `import _ "` + module + `/fault"`, ownImports, "must not import fault"},
		{"integration/x_test.go", `import _ "` + module + `/token"`, ownImports, "must not import token"},
		{"integration/harness/x.go", `import _ "` + module + `/keys"`, ownImports, "must not import keys"},
		{"utils/x.go", ``, ownImports, "no row in mayImport"},
		{"store/x.go", `import _ "github.com/gofiber/fiber/v2"`, libraryImports, "reserved"},
		{"cli/x.go", `import _ "github.com/gofiber/fiber/v2"`, libraryImports, "reserved"},
		{"explain/x_test.go", `import _ "github.com/gofiber/fiber/v2"`, libraryImports, "reserved"},
		{"handlers/x.go", `import _ "github.com/gofiber/contrib/jwt"`, libraryImports, "reserved"},
		{"app/x_test.go", `import _ "github.com/golang-jwt/jwt/v5"`, libraryImports, "reserved"},
		{"app/x_test.go", `import _ "github.com/jackc/pgx/v5/stdlib"`, libraryImports, "reserved"},
		{"token/x.go", `import _ "net/http"`, libraryImports, "must not import net/http"},
		{"fault/x.go", `import _ "golang.org/x/time/rate"`, libraryImports, "standard library only"},
		{"internal/logqueue/x.go", `import _ "github.com/valyala/fasthttp"`, libraryImports, "standard library only"},
		{"app/x.go", `import "os"; func f() { os.Exit(1) }`, calls, "os.Exit"},
		{"app/x.go", `import sys "os"; func f() { sys.Exit(1) }`, calls, "os.Exit"},
		{"app/x.go", `import . "os"; func f() { Exit(1) }`, calls, `"os" under its own name`},
		{"app/x.go", `import "log"; func f() { log.Fatalf("x") }`, calls, "log.Fatalf"},
		{"app/x.go", `import "log"; func f() { log.Panicln("x") }`, calls, "log.Panicln"},
		{"cli/x.go", `import "os"; var _ = os.Getenv("X")`, calls, "os.Getenv"},
		{"store/x.go", `import "os"; var lookup = os.LookupEnv`, calls, "os.LookupEnv"},
		{"handlers/x.go", `func f(err error) string { return err.Error() }`, calls, "Error()"},
		{"main.go", strings.Repeat("\n", 40), mainLines, "at most 40"},
	} {
		t.Run(row.path+" "+row.want, func(t *testing.T) {
			f := parseSource(t, row.path, "package x; "+row.source+"\n")
			if got := strings.Join(row.check(f), "\n"); !strings.Contains(got, row.want) {
				t.Errorf("problems %q, want one with %q", got, row.want)
			}
		})
	}
}

// sourceFile is one parsed file of the module; path is relative to the module's root, with slashes.
type sourceFile struct {
	path  string
	lines int
	set   *token.FileSet
	tree  *ast.File
}

// house is the package as the tables name it; an external test package counts as the one it tests.
func (f sourceFile) house() string {
	if dir := filepath.ToSlash(filepath.Dir(f.path)); dir != "." {
		return dir
	}
	return "main"
}

func (f sourceFile) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

func (f sourceFile) imports() []string {
	paths := make([]string, 0, len(f.tree.Imports))
	for _, spec := range f.tree.Imports {
		path, _ := strconv.Unquote(spec.Path.Value) // the parser accepted it as a string
		paths = append(paths, path)
	}
	return paths
}

func ownImports(f sourceFile) []string {
	allowed, known := mayImport()[f.house()]
	if !known {
		return []string{fmt.Sprintf("package %s has no row in mayImport: say who it may import", f.house())}
	}
	if f.isTest() && !within(f.house(), "integration") {
		return nil
	}
	var problems []string
	for _, path := range f.imports() {
		own, isOurs := strings.CutPrefix(path, module+"/")
		if isOurs && !slices.Contains(allowed, own) {
			problems = append(problems, fmt.Sprintf("%s must not import %s", f.house(), own))
		}
	}
	return problems
}

func libraryImports(f sourceFile) []string {
	var problems []string
	for _, path := range f.imports() {
		for library, users := range reserved() {
			if within(path, library) && !slices.Contains(users, f.house()) {
				problems = append(problems, fmt.Sprintf("%s is reserved for %s", path, strings.Join(users, ", ")))
			}
		}
		if !f.isTest() && slices.Contains(forbidden()[f.house()], path) {
			problems = append(problems, fmt.Sprintf("%s must not import %s", f.house(), path))
		}
		if !f.isTest() && slices.Contains(standardOnly(), f.house()) && strings.Contains(path, ".") {
			problems = append(problems, fmt.Sprintf("%s imports the standard library only, not %s", f.house(), path))
		}
	}
	return problems
}

// calls finds what only one place may do: end the process, read the environment, and turn an error into text where an
// answer is made. A function that is only mentioned, not called, counts too.
func calls(f sourceFile) []string {
	if f.isTest() {
		return nil
	}
	var problems []string
	report := func(n ast.Node, why string) {
		problems = append(problems, fmt.Sprintf("line %d: %s", f.set.Position(n.Pos()).Line, why))
	}
	for _, spec := range f.tree.Imports {
		if spec.Name != nil && spec.Name.Name == "." {
			report(spec, "import "+spec.Path.Value+" under its own name, not \".\"")
		}
	}
	answers := f.house() == "handlers" || f.house() == "middleware"
	ast.Inspect(f.tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			switch name := f.qualified(n); name {
			case "os.Exit", "log.Fatal", "log.Fatalf", "log.Fatalln", "log.Panic", "log.Panicf", "log.Panicln":
				if f.path != "main.go" {
					report(n, name+" belongs to main.go; return an error")
				}
			case "os.Getenv", "os.LookupEnv", "os.ExpandEnv":
				if f.house() != "configs" && !within(f.house(), "integration") {
					report(n, name+" belongs to configs")
				}
			}
		case *ast.CallExpr:
			if sel, ok := n.Fun.(*ast.SelectorExpr); ok && answers && sel.Sel.Name == "Error" && len(n.Args) == 0 {
				report(n, "Error() makes text of an error where answers are made; return the error, or log it as a value")
			}
		}
		return true
	})
	return problems
}

// qualified is the import path and the name of a package's member ("os.Exit", also under another local name), or "".
func (f sourceFile) qualified(sel *ast.SelectorExpr) string {
	id, ok := sel.X.(*ast.Ident)
	if !ok {
		return ""
	}
	for i, path := range f.imports() {
		local := path
		if name := f.tree.Imports[i].Name; name != nil {
			local = name.Name
		}
		if id.Name == local {
			return path + "." + sel.Sel.Name
		}
	}
	return ""
}

func mainLines(f sourceFile) []string {
	if f.path == "main.go" && f.lines > 40 {
		return []string{fmt.Sprintf("%d lines, at most 40 are allowed", f.lines)}
	}
	return nil
}

func within(path, library string) bool {
	return path == library || strings.HasPrefix(path, library+"/")
}

// houseFiles parses every Go file of this module; folders that are modules of their own are left out.
func houseFiles(t *testing.T) []sourceFile {
	t.Helper()
	const root = ".."
	var files []sourceFile
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (entry.Name()[0] == '.' || entry.Name() == "testdata" || hasModule(path)):
			return fs.SkipDir
		case entry.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		files = append(files, parseSource(t, relative, string(source)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 2 {
		t.Fatalf("%d Go files found: this test looks in the wrong place", len(files))
	}
	return files
}

func hasModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func parseSource(t *testing.T, path, source string) sourceFile {
	t.Helper()
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, path, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return sourceFile{path: filepath.ToSlash(path), lines: strings.Count(source, "\n"), set: set, tree: tree}
}
