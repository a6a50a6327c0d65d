package store_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/store"
)

// breakRule writes a row that the schema forbids. Only a check of every row finds it.
const breakRule = "PRAGMA ignore_check_constraints = ON; INSERT INTO key_version (only_row, value) VALUES (2, 1)"

func TestRestoreRefusesBackups(t *testing.T) {
	tests := []struct {
		name string
		says []string
		make func(t *testing.T, file, backup string)
	}{
		{"none", []string{"cannot be read: "}, func(*testing.T, string, string) {}},
		{"a folder", []string{"is a folder"}, func(t *testing.T, _, backup string) {
			if err := os.Mkdir(backup, 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		{"an empty file", []string{"is empty"}, func(t *testing.T, _, backup string) { write(t, backup, "") }},
		{"a beginning", []string{"is no SQLite database"}, truncated(50)},
		{"half a page", []string{"is damaged"}, truncated(1000)},
		{"two pages", []string{"is damaged"}, truncated(8192)},
		{"all but a page", []string{"is damaged"}, truncated(-4096)},
		{"all but a byte", []string{"is damaged"}, truncated(-1)},
		{"text", []string{"is no SQLite database"}, func(t *testing.T, _, backup string) { write(t, backup, strings.Repeat("text\n", 2000)) }},
		{"an empty database", []string{"has no store of Latchkey in it"}, func(t *testing.T, _, backup string) {
			tamper(t, backup, "PRAGMA user_version = 1; CREATE TABLE gone (a); DROP TABLE gone")
		}},
		{"another program's", []string{"has no store of Latchkey in it"}, func(t *testing.T, _, backup string) {
			tamper(t, backup, "CREATE TABLE accounts (name TEXT)")
		}},
		{"damaged", []string{"is damaged"}, func(t *testing.T, file, backup string) {
			backedUp(t, file, backup)
			content := read(t, backup)
			for i := 4 << 10; i < len(content); i++ {
				content[i] = 0xa5
			}
			write(t, backup, string(content))
		}},
		{"damaged where SQLite goes on", []string{"is damaged (CHECK constraint failed in key_version)"}, changed(breakRule)},
		{"the other environment's", []string{"is of another environment", "made for production", "restore it there"}, changed(
			"UPDATE meta SET value = 'production' WHERE name = 'environment'")},
		{"of a newer major version", []string{`its schema has major version "2"`, "a latchkey of that version"}, changed(
			"UPDATE meta SET value = '2' WHERE name = 'schema_major'")},
		{"of a newer schema", []string{"one of 1000000", "the newest latchkey"}, changed(
			"INSERT INTO goose_db_version (version_id, is_applied) VALUES (1000000, 1)")},
		{"with a log", []string{"has a log beside it", "DATABASE_URL=sqlite:"}, func(t *testing.T, _, backup string) {
			killedWhileServing(t, backup)
		}},
		{"with a journal", []string{"has a log beside it", "-journal"}, func(t *testing.T, file, backup string) {
			backedUp(t, file, backup)
			write(t, backup+"-journal", "journal")
		}},
		{"the store itself", []string{"is the store itself"}, func(t *testing.T, file, backup string) {
			if err := os.Link(file, backup); err != nil {
				t.Skip(err)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file, _ := twoStores(t)
			backup := filepath.Join(t.TempDir(), "chosen.db")
			tt.make(t, file, backup)
			before := contents(t, filepath.Dir(file))
			for _, revive := range []bool{false, true} {
				done, err := restore(t, file, backup, revive)
				isSentence(t, err, append(tt.says, "the store stays as it was")...)
				if len(done.Revived) > 0 {
					t.Errorf("it says %+v", done)
				}
			}
			// It may have been brought into one file, to be read.
			if tt.name == "of a newer schema" {
				isOne(t, "the accounts", texts(t, file, everyAccount), "ada", "late")
				return
			}
			isSame(t, before, contents(t, filepath.Dir(file)))
		})
	}
}

func backedUp(t *testing.T, file, backup string) {
	t.Helper()
	if err := store.Backup(t.Context(), options(file), backup); err != nil {
		t.Fatal(err)
	}
}

// truncated makes a backup with this many bytes, or this many too few.
func truncated(n int) func(t *testing.T, file, backup string) {
	return func(t *testing.T, file, backup string) {
		t.Helper()
		backedUp(t, file, backup)
		content := read(t, backup)
		if n < 0 {
			n += len(content)
		}
		write(t, backup, string(content[:n]))
	}
}

func changed(statements string) func(t *testing.T, file, backup string) {
	return func(t *testing.T, file, backup string) {
		t.Helper()
		backedUp(t, file, backup)
		tamper(t, backup, statements)
	}
}

func TestRestoreRefusesAStoreInUse(t *testing.T) {
	for _, role := range []string{"serve", "open"} {
		for _, spoiled := range []bool{false, true} {
			file, backup := twoStores(t)
			p := startChild(t, role, file)
			if !p.lines.Scan() {
				t.Fatal("the child did not begin")
			}
			if spoiled { // a store that cannot be read may be in use as well
				if f, err := os.OpenFile(file, os.O_WRONLY, 0); err != nil {
					t.Fatal(err)
				} else if _, err := f.WriteAt(make([]byte, 16), 0); err != nil || f.Close() != nil {
					t.Fatal(err)
				}
			}
			for _, revive := range []bool{false, true} {
				_, err := restore(t, file, backup, revive)
				isSentence(t, err, file, "is in use", "stop the server")
			}
			if !spoiled && role == "serve" {
				for range 5 { // it goes on as if nothing had been
					if !p.lines.Scan() || strings.HasPrefix(p.lines.Text(), "failed") {
						t.Errorf("the server says %q", p.lines.Text())
					}
				}
			}
			kill(t, p)
			p.rest()
			restored(t, file, backup, spoiled)
			isOne(t, "the accounts", texts(t, file, everyAccount), "ada")
		}
	}
}

func TestRestoreRefusesPostgreSQL(t *testing.T) {
	_, err := store.Restore(t.Context(), store.Options{URL: "postgres://latchkey:hunter2@db/latchkey", Environment: "development"},
		store.Backed{File: "backup.db"})
	isSentence(t, err, "PostgreSQL", "pg_restore")
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the password is shown: %v", err)
	}
}
