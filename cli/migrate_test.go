package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// olderStore copies the store of the first release, made in production, into a folder.
func olderStore(t *testing.T, dir string) (url string) {
	t.Helper()
	content, err := os.ReadFile("../store/testdata/release-1.db")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "latchkey.db")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return "sqlite:" + file
}

// TestMigrationIsPrintedByCommands: a server of an older version may be running. Commands that only read do not migrate.
func TestMigrationIsPrintedByCommands(t *testing.T) {
	const says = "00008_key_level.sql"
	url := olderStore(t, t.TempDir())
	inEmptyFolder(t)
	settings := []string{"--app-env=production", "--database-url=" + url}
	code, stdout, stderr := run(t, append([]string{"keys", "list"}, settings...)...)
	if code != 1 || stdout != "" || !strings.Contains(stderr, "latchkey migrate") || strings.Contains(stderr, says) {
		t.Errorf("%d\n%s\n%s", code, stdout, stderr)
	}
	create := append([]string{"keys", "create", "--client=acme", "--scope=accounts:read"}, settings...)
	if _, stderr := makeKey(t, create...); !strings.Contains(stderr, says) {
		t.Errorf("it says %s", stderr)
	}
	if _, stderr := makeKey(t, create...); strings.Contains(stderr, ".sql") {
		t.Errorf("again: %s", stderr)
	}
	if _, stderr := makeKey(t, create[:4]...); strings.Contains(stderr, ".sql") {
		t.Errorf("a new store is no news: %s", stderr)
	}
}
