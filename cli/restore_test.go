package cli

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/handlers"
)

// withInput gives the commands of a test a standard input.
func withInput(t *testing.T, text string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	input, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	before := os.Stdin
	os.Stdin = input
	t.Cleanup(func() {
		os.Stdin = before
		_ = input.Close()
	})
}

func TestRestore(t *testing.T) {
	dir := inEmptyFolder(t)
	var revoked, made handlers.NewKey
	decodeJSON(t, &revoked, "keys", "create", "--client=acme", "--scope=accounts:read")
	code, backup, stderr := run(t, "backup", "-")
	if code != 0 || stderr != "" || !strings.HasPrefix(backup, "SQLite format 3") {
		t.Fatalf("backup to standard output: %d %.100q %q", code, backup, stderr)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "data")); err != nil || len(left) != 1 {
		t.Errorf("a backup leaves %v beside the store, %v", left, err)
	}
	decodeJSON(t, &made, "keys", "create", "--client=acme", "--scope=accounts:read")
	if code, _, stderr := run(t, "keys", "revoke", revoked.Key.ID); code != 0 {
		t.Fatal(stderr)
	}

	state := func(id string) string {
		t.Helper()
		var shown handlers.ListedKey
		if code, _, _ := run(t, "keys", "show", id, "--json"); code != 0 {
			return "none"
		}
		decodeJSON(t, &shown, "keys", "show", id)
		return shown.State
	}
	withInput(t, backup)
	code, stdout, stderr := run(t, "restore", "-")
	if code != 0 || stdout != "" || stderr != "The backup is restored. Keys and the audit are those of the store before.\n" {
		t.Errorf("restore: %d %q %q", code, stdout, stderr)
	}
	if state(revoked.Key.ID) != "revoked" || state(made.Key.ID) != "enabled" {
		t.Errorf("the keys are %s and %s", state(revoked.Key.ID), state(made.Key.ID))
	}
	file := filepath.Join(dir, "backup.db")
	if err := os.WriteFile(file, []byte(backup), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join("data", "latchkey.db")); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr = run(t, "restore", file)
	if code != 1 || stdout != "" || !strings.Contains(stderr, "there is no store at "+filepath.Join(dir, "data", "latchkey.db")) ||
		!strings.Contains(stderr, "--revive") {
		t.Errorf("restore without a store: %d %q %q", code, stdout, stderr)
	}
	code, stdout, stderr = run(t, "restore", file, "--revive")
	if code != 0 || stdout != "" || !strings.Contains(stderr, "  "+revoked.Key.ID+" for acme: ed25519, accounts:read") || strings.Contains(stderr, made.Key.ID) {
		t.Errorf("restore --revive: %d %q %q", code, stdout, stderr)
	}
	if state(revoked.Key.ID) != "enabled" || state(made.Key.ID) != "none" {
		t.Errorf("the keys are %s and %s", state(revoked.Key.ID), state(made.Key.ID))
	}
	var rows []handlers.Event
	decodeJSON(t, &rows, "keys", "audit", "--key="+revoked.Key.ID)
	if last := rows[len(rows)-1]; last.Action != "revive" || last.Actor != "cli" {
		t.Errorf("the audit of the key ends with %+v", last)
	}
	code, _, stderr = run(t, "restore", file, "--revive")
	if code != 0 || !strings.Contains(stderr, "None is enabled by it.") {
		t.Errorf("restore --revive again: %d %q", code, stderr)
	}
	for _, args := range [][]string{{"restore"}, {"restore", file, file}, {"restore", "--no-such-flag", file}} {
		if code, _, _ := run(t, args...); code != 2 {
			t.Errorf("%v: exit code %d, want 2", args, code)
		}
	}
	withInput(t, "")
	for what, args := range map[string][]string{
		"is empty":    {"restore", "-"},
		"is a folder": {"restore", "data"},
		"PostgreSQL":  {"restore", file, "--database-url=postgres://user:hunter2@localhost/name"},
		"production":  {"restore", file, "--revive", "--app-env=production", "--database-url=sqlite:other.db"},
	} {
		if code, stdout, stderr := run(t, args...); code != 1 || stdout != "" || !strings.Contains(stderr, what) || strings.Contains(stderr, "hunter2") {
			t.Errorf("%v: %d %q %q", args, code, stdout, stderr)
		}
	}
	if _, err := os.Stat("other.db"); !os.IsNotExist(err) {
		t.Errorf("a refused restore left a store: %v", err)
	}
}

func TestRestoreBesideAServer(t *testing.T) {
	dir := inEmptyFolder(t)
	_, stop := startServer(t)
	copied := filepath.Join(dir, "copy.db")
	if code, _, stderr := run(t, "backup", copied); code != 0 {
		t.Fatal(stderr)
	}
	code, _, stderr := run(t, "restore", copied)
	if code != 1 || !strings.Contains(stderr, "is in use: stop the server") {
		t.Errorf("beside a server: %d %s", code, stderr)
	}
	if code, stderr := stop(); code != 0 {
		t.Errorf("the server: %d %s", code, stderr)
	}
	if code, _, stderr := run(t, "restore", copied); code != 0 {
		t.Errorf("after it: %d %s", code, stderr)
	}
}

func TestRestoreCanBeInterrupted(t *testing.T) {
	reader, writer := io.Pipe()
	defer writer.Close()
	ctx, cancel := context.WithCancel(t.Context())
	read := interruptible(ctx, reader)
	cancel()
	if _, err := io.ReadAll(read); err == nil || err.Error() != "interrupted" {
		t.Errorf("got %v", err)
	}
}
