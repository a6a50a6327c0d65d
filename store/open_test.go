package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/store"
)

func TestOpenRefusesURLs(t *testing.T) {
	t.Chdir(t.TempDir())
	tests := []struct{ url, says string }{
		{"", "must be sqlite:<path>"},
		{"sqlite", "must be sqlite:<path>"},
		{"sqlite:", "must be sqlite:<path>"},
		{"sqlite://data/latchkey.db", "must be sqlite:<path>"},
		{"sqlite:///data/latchkey.db", "must be sqlite:<path>"},
		{"SQLITE:latchkey.db", "must be sqlite:<path>"},
		{"latchkey.db", "must be sqlite:<path>"},
		{"file:latchkey.db", "must be sqlite:<path>"},
		{"mysql://root:hunter2@db/latchkey", "must be sqlite:<path>"},
		{"sqlite:a\x00b", "must be sqlite:<path>"},
		{"sqlite::memory:", "must name a file"},
		{"postgres://latchkey:hunter2@db/latchkey", "this version serves sqlite:<path> only"},
		{"postgresql://latchkey:hunter2@db/latchkey", "this version serves sqlite:<path> only"},
	}
	for _, tt := range tests {
		s, err := store.Open(t.Context(), store.Options{URL: tt.url, Environment: "development"})
		if s != nil {
			t.Fatalf("%q was opened", tt.url)
		}
		isSentence(t, err, "DATABASE_URL", tt.says)
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the password is told: %v", err)
		}
	}
	if left, err := os.ReadDir("."); err != nil || len(left) != 0 {
		t.Errorf("refused URLs left %v, %v", left, err)
	}
}

func TestOpenRefusesAnUnknownEnvironment(t *testing.T) {
	for _, environment := range []string{"", "staging", "Production"} {
		_, err := store.Open(t.Context(), store.Options{URL: "sqlite:" + newFile(t), Environment: environment})
		isSentence(t, err, fmt.Sprintf("%q", environment), "development", "production")
	}
}

func TestTheStoreRemembersItsEnvironment(t *testing.T) {
	for _, pair := range [][2]string{{"development", "production"}, {"production", "development"}} {
		file := newFile(t)
		for _, environment := range []string{pair[0], pair[0], pair[1], pair[0]} {
			s, err := store.Open(t.Context(), store.Options{URL: "sqlite:" + file, Environment: environment})
			if environment != pair[0] {
				isSentence(t, err, file, "made for "+pair[0], "runs for "+pair[1])
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestOpenRefusesOtherFiles(t *testing.T) {
	tests := []struct {
		name, says string
		make       func(t *testing.T, file string)
	}{
		{"text", "is not a SQLite database", func(t *testing.T, file string) {
			write(t, file, strings.Repeat("this is no database\n", 100))
		}},
		{"a database of another program", "database of another program", func(t *testing.T, file string) {
			tamper(t, file, "CREATE TABLE accounts (name TEXT)")
		}},
		{"a folder", "cannot be written", func(t *testing.T, file string) {
			if err := os.MkdirAll(file, 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		{"a path below a file", "cannot be written", func(t *testing.T, file string) {
			write(t, filepath.Dir(file), "a file where the folder should be")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "latchkey.db")
			if tt.name == "a path below a file" {
				file = filepath.Join(file, "latchkey.db")
			}
			tt.make(t, file)
			before, _ := os.ReadFile(file)
			s, err := store.Open(t.Context(), options(file))
			if s != nil {
				t.Fatal("it was opened")
			}
			isSentence(t, err, file, tt.says)
			if after, _ := os.ReadFile(file); string(after) != string(before) {
				t.Error("a refused file was changed")
			}
		})
	}
}

func TestOpenRefusesALockedFile(t *testing.T) {
	t.Parallel()
	file := newFile(t)
	closeNow(t, openAt(t, file))
	if _, err := rawSQLite(t, file).Exec("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	// Longer than the busy timeout, and shorter than Open would wait by itself.
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	_, err := store.Open(ctx, options(file))
	isSentence(t, err, file, "locked by another process")
}

func TestOpenGivesUpWhenItsTimeIsOver(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, err := store.Open(ctx, options(newFile(t)))
	if s != nil {
		t.Fatal("it was opened")
	}
	isSentence(t, err, "context canceled")
}

func TestMigrateSaysWhatItApplied(t *testing.T) {
	var want []string
	files, err := os.ReadDir("migrations/sqlite")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		want = append(want, file.Name())
	}
	file := newFile(t)
	got, err := store.Migrate(t.Context(), options(file))
	if err != nil || len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("applied %v, %v, want %v", got, err, want)
	}
	again, err := store.Migrate(t.Context(), options(file))
	if err != nil || len(again) != 0 {
		t.Errorf("the second time %v, %v", again, err)
	}
	_, err = store.Migrate(t.Context(), store.Options{URL: "sqlite:" + file, Environment: "production"})
	isSentence(t, err, "made for development")
}

func TestAnOlderSchemaIsMigratedAndKeepsItsRows(t *testing.T) {
	file := newFile(t)
	s := openAt(t, file)
	want, err := s.CreateAccount(t.Context(), store.Account{Username: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	tamper(t, file, "DROP TABLE instances; DELETE FROM goose_db_version WHERE version_id = 6")
	isCode(t, "ready on an older schema", s.Ready(t.Context()), fault.Unavailable)

	applied, err := store.Migrate(t.Context(), options(file))
	if err != nil || !slices.Equal(applied, []string{"00006_instances.sql"}) {
		t.Fatalf("applied %v, %v", applied, err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("ready after the migration: %v", err)
	}
	if got, err := s.AccountByUsername(t.Context(), "ada"); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if err := s.Beat(t.Context(), "one", 1, time.Unix(1, 0)); err != nil {
		t.Error(err)
	}
}

func TestANewerSchemaOfTheSameMajorIsServed(t *testing.T) {
	file := newFile(t)
	s := openAt(t, file)
	tamper(t, file, `CREATE TABLE later (id TEXT); ALTER TABLE accounts ADD COLUMN later TEXT NOT NULL DEFAULT '';
		INSERT INTO goose_db_version (version_id, is_applied) VALUES (1004, 1), (1005, 1)`)
	for _, s := range []*store.Store{s, openAt(t, file)} {
		if err := s.Ready(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := s.CreateAccount(t.Context(), store.Account{}); err != nil && fault.CodeOf(err) != fault.Conflict {
			t.Error(err)
		}
	}
	if applied, err := store.Migrate(t.Context(), options(file)); err != nil || len(applied) != 0 {
		t.Errorf("applied %v, %v", applied, err)
	}
}

func TestAnotherMajorIsRefused(t *testing.T) {
	for _, major := range []string{"2", "0", "", "11"} {
		file := newFile(t)
		s := openAt(t, file)
		tamper(t, file, fmt.Sprintf("UPDATE meta SET value = '%s' WHERE name = 'schema_major'", major))
		err := s.Ready(t.Context())
		isCode(t, "ready", err, fault.Unavailable)
		isSentence(t, err, fmt.Sprintf("major version %q", major), `serves major version "1"`)
		_, err = store.Open(t.Context(), options(file))
		isSentence(t, err, file, fmt.Sprintf("major version %q", major), `serves major version "1"`)
	}
}

func TestAFailedMigrationLeavesNothing(t *testing.T) {
	file := newFile(t)
	s := openAt(t, file)
	// Version 3 creates storyspaces, which is there: the migration after 2 has to fail.
	tamper(t, file, `DELETE FROM goose_db_version WHERE version_id > 1;
		DROP TABLE storyspaces; ALTER TABLE accounts RENAME TO kept; CREATE TABLE storyspaces (id TEXT)`)
	_, err := store.Open(t.Context(), options(file))
	isSentence(t, err, file, "cannot be opened")
	var accounts, version int
	row := rawSQLite(t, file).QueryRow(`SELECT (SELECT count(*) FROM sqlite_schema WHERE name = 'accounts'),
		(SELECT max(version_id) FROM goose_db_version)`)
	if err := row.Scan(&accounts, &version); err != nil || accounts != 0 || version != 1 {
		t.Errorf("accounts exists %d times, the version is %d, %v: half a migration stayed", accounts, version, err)
	}
	isCode(t, "ready", s.Ready(t.Context()), fault.Unavailable)
}

func TestManyOpenOneFreshFileAtOnce(t *testing.T) {
	for range 30 {
		file := newFile(t)
		var wait sync.WaitGroup
		stores, errs := make([]*store.Store, 2), make([]error, 2)
		for i := range stores {
			wait.Go(func() { stores[i], errs[i] = store.Open(t.Context(), options(file)) })
		}
		wait.Wait()
		for i, s := range stores {
			if errs[i] != nil {
				t.Fatal(errs[i])
			}
			if _, err := s.CreateAccount(t.Context(), store.Account{ID: fmt.Sprint(i), Username: fmt.Sprint(i)}); err != nil {
				t.Error(err)
			}
			if _, err := stores[1-i].AccountByID(t.Context(), fmt.Sprint(i)); err != nil {
				t.Errorf("the other store does not see the row: %v", err)
			}
		}
		for _, s := range stores {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// tamper changes the file as another program would.
func tamper(t *testing.T, file, statements string) {
	t.Helper()
	db := rawSQLite(t, file)
	if _, err := db.Exec(statements); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
