package client_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestImportsAreFew checks the direct and indirect imports of client against this list: a client needs no store, no keyring, no cache
// and no web framework.
func TestImportsAreFew(t *testing.T) {
	list, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f",
		`{{if or (not .Standard) (eq .ImportPath "database/sql")}}{{.ImportPath}}{{end}}`, ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Fields(string(list))
	slices.Sort(got)
	want := []string{
		"github.com/golang-jwt/jwt/v5",
		"github.com/latchkey-api/latchkey/client",
		"github.com/latchkey-api/latchkey/fault",
		"github.com/latchkey-api/latchkey/internal/strictjson",
		"github.com/latchkey-api/latchkey/keys/keystring",
		"github.com/latchkey-api/latchkey/token",
	}
	if !slices.Equal(got, want) {
		t.Errorf("importing client brings along\n%s", strings.Join(got, "\n"))
	}
}
