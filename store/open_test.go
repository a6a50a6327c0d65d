package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
		{"Postgres://latchkey:hunter2@db/latchkey", "must be sqlite:<path>"},
		{"postgres://latchkey:hunter2@db:port/latchkey", "must be postgres://"},
		{"postgres://latchkey:hunter2@db/latchkey?sslmode=hunter2", "the parameter sslmode"},
		{"postgres://latchkey:hunter2@db/latchkey?pool_max_conns=0", "the parameter pool_max_conns"},
		{"postgresql://latchkey:hunter2@db/latchkey?password=%zz", "must be postgres://"},
		{"postgres://latchkey:hunter2@db/latchkey?sslmode=verify-full&sslrootcert=/no/such/file", "/no/such/file"},
		{"postgres://latchkey:hunter2@db/latchkey?default_query_exec_mode=simple_protocol", "simple protocol"},
	}
	for _, tt := range tests {
		s, err := store.Open(t.Context(), store.Options{URL: tt.url, Environment: "development"})
		if s != nil {
			t.Fatalf("%q was opened", tt.url)
		}
		isSentence(t, err, "DATABASE_URL", tt.says)
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the password is shown: %v", err)
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
		{"a folder", "is no file", func(t *testing.T, file string) {
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

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// tamper changes the file as another program would.
func tamper(t *testing.T, file, statements string) {
	t.Helper()
	execute(t, rawSQLite(t, file), statements)
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	for _, path := range []string{t.TempDir(), os.DevNull} {
		_, err := store.Open(t.Context(), options(path))
		isSentence(t, err, path+" is no file")
	}
}
