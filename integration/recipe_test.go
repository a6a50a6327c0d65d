package integration

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// TestRecipe applies the recipe of docs/extending.md for a new resource to a copy of the module, and tests the result.
func TestRecipe(t *testing.T) {
	dir := t.TempDir()
	copyModule(t, dir)
	changes := recipe(t)
	for _, c := range changes {
		c.apply(t, dir)
	}
	goCommand(t, dir, "vet", "./...")
	// All tests of routes and scopes.
	goCommand(t, dir, "test", "./app", "./cli", "./handlers", "./keys", "./middleware", "-run",
		"TestArch|TestRoutes|OpenAPI|Scope|SharedKey|KeysCreateRefuses|TestCreateChecksRequest")
	bin := filepath.Join(t.TempDir(), "latchkey.exe") // Windows needs .exe, the others accept it
	goCommand(t, dir, "build", "-o", bin, ".")
	t.Run("sqlite", func(t *testing.T) { checkRecipe(t, harness.StartProcess(t, bin, nil)) })
	t.Run("postgres", func(t *testing.T) {
		databaseURL, _ := harness.NewDatabase(t)
		checkRecipe(t, harness.StartProcess(t, bin, map[string]string{"DATABASE_URL": databaseURL}))
	})
}

// checkRecipe: the new resource works, and keeps the contract.
func checkRecipe(t *testing.T, p *harness.Process) {
	t.Helper()
	p.Enroll(t)
	token := p.Secrets.Token()
	p.Do(t, harness.Call{Path: "/service/notes/1", Token: token}).Is(t, http.StatusOK, `{"id":"1","text":"hello"}`)
	for _, id := range []string{"2", "%00", "%ff"} {
		p.Do(t, harness.Call{Path: "/service/notes/" + id, Token: token}).IsError(t, http.StatusNotFound)
	}
	p.Do(t, harness.Call{Path: "/service/notes/1"}).Is(t, http.StatusUnauthorized, `{"detail":"authorization header missing"}`)
	documented := slices.ContainsFunc(p.OpenAPI(t).Guarded(), func(op harness.Operation) bool { return op.ID == "getNote" })
	if !documented {
		t.Error("the new operation is not documented, or not as a guarded one")
	}
	if every := p.EveryScope(t); !slices.Contains(every, "notes:read") {
		t.Errorf("the new scope is not documented: there are %q", every)
	}
	if help, _, _ := p.CLI(t, "keys", "create", "--help"); !strings.Contains(help, "notes:read") {
		t.Errorf("the new scope is not in the help:\n%s", help)
	}
	checkWhoami(t, &p.Target)
	checkDocumentation(t, &p.Target)
	checkAcceptance(t, &p.Target)
	checkRefusals(t, &p.Target)
	checkScopes(t, &p.Target)
}

// copyModule copies the files that building and testing need.
func copyModule(t *testing.T, to string) {
	t.Helper()
	const root = ".."
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if path != root && (name[0] == '.' || name == "testdata" || name == "bin" || name == "data") {
				return fs.SkipDir
			}
			return nil
		}
		if !slices.Contains([]string{".go", ".mod", ".sum", ".sql", ".yaml", ".html"}, filepath.Ext(name)) {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		copied := filepath.Join(to, relative)
		if err := os.MkdirAll(filepath.Dir(copied), 0o750); err != nil {
			return err
		}
		return os.WriteFile(copied, content, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// change is one change of the recipe: it replaces before by after. A new file has no before.
type change struct{ path, before, after string }

// recipe is the diff in docs/extending.md. A file begins with its path; @@ continues at another place of the same file. A
// line with a plus is new; a line with a blank exists already.
func recipe(t *testing.T) []change {
	t.Helper()
	diff := harness.CodeBlock(t, "docs/extending.md", "recipe", "diff")
	var changes []change
	for line := range strings.Lines(diff) {
		switch {
		case line == "\n":
		case strings.HasPrefix(line, "@@"):
			changes = append(changes, change{path: changes[len(changes)-1].path})
		case strings.HasPrefix(line, "+"):
			changes[len(changes)-1].after += line[1:]
		case strings.HasPrefix(line, " \t"):
			changes[len(changes)-1].before += line[1:]
			changes[len(changes)-1].after += line[1:]
		default:
			changes = append(changes, change{path: strings.Fields(line)[0]})
		}
	}
	return changes
}

// apply makes the change in a copy of the module. A change that has been made is left alone, so that this test also passes
// where somebody has followed the recipe.
func (c change) apply(t *testing.T, module string) {
	t.Helper()
	path := filepath.Join(module, filepath.FromSlash(c.path))
	if folder, name := filepath.Split(path); strings.HasPrefix(name, "NNNNN") {
		migrations, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		path = folder + strings.Replace(name, "NNNNN", fmt.Sprintf("%05d", len(migrations)+1), 1)
		for _, m := range migrations {
			if strings.HasSuffix(m.Name(), strings.TrimPrefix(name, "NNNNN")) {
				path = folder + m.Name()
			}
		}
	}
	content, err := os.ReadFile(path)
	if err != nil && !(c.before == "" && os.IsNotExist(err)) {
		t.Fatal(err)
	}
	text := string(content)
	switch {
	case strings.Contains(text, c.after):
		return
	case c.before == "" && text == "":
		text = c.after
	case c.before != "" && strings.Count(text, c.before) == 1:
		text = strings.Replace(text, c.before, c.after, 1)
	default:
		t.Fatalf("%s is not as the recipe has it, with this in one place:\n%s", c.path, c.before)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// goCommand runs the go command in a module. What the module depends on is in the build cache.
func goCommand(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, harness.Tail(string(out), 4000))
	}
}
