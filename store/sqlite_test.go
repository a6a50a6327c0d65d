package store_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/store"
	"github.com/latchkey-api/latchkey/store/storetest"
)

func TestSQLiteKeepsTheContract(t *testing.T) {
	storetest.Exercise(t, func(t *testing.T) *store.Store { return openAt(t, newFile(t)) })
}

func TestSQLiteRowsSurviveARestart(t *testing.T) {
	file := newFile(t)
	s := openAt(t, file)
	want, err := s.CreateAccount(t.Context(), store.Account{Username: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := openAt(t, file).AccountByUsername(t.Context(), "ada"); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestSQLitePathsWithEveryCharacter(t *testing.T) {
	for _, name := range []string{
		"with space.db", "what?.db", "a?mode=ro&vfs=none", "half#.db", "100%.db", "%2e%00.db",
		"a&b=c;d+e.db", "naïve-日本.db", "quote'\".db",
	} {
		t.Run(name, func(t *testing.T) {
			needsName(t, name)
			folder := filepath.Join(t.TempDir(), name)
			s := openAt(t, filepath.Join(folder, name))
			if err := s.InsertDemo(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			files, err := os.ReadDir(folder)
			if err != nil || len(files) != 1 || files[0].Name() != name {
				t.Errorf("the folder has %v, %v, want only %q", files, err, name)
			}
		})
	}
}

func TestSQLiteRelativePathStaysInTheWorkingDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	s, err := store.Open(t.Context(), store.Options{URL: "sqlite:data/latchkey.db", Environment: "development"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := os.Stat("data/latchkey.db"); err != nil {
		t.Error(err)
	}
}

func TestSQLiteLockedOrClosedIsUnavailable(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, s *store.Store, file string)
	}{
		{"another process holds the write lock", func(t *testing.T, _ *store.Store, file string) {
			other := rawSQLite(t, file)
			if _, err := other.Exec("BEGIN IMMEDIATE"); err != nil {
				t.Fatal(err)
			}
		}},
		{"the store is closed", func(t *testing.T, s *store.Store, _ string) {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file := newFile(t)
			s := openAt(t, file)
			tt.spoil(t, s, file)
			_, err := s.CreateAccount(t.Context(), store.Account{Username: "ada"})
			isCode(t, "create", err, fault.Unavailable)
			isCode(t, "demo rows", s.InsertDemo(t.Context()), fault.Unavailable)
		})
	}
}

func TestSQLiteReadersDoNotWaitForAWriter(t *testing.T) {
	file := newFile(t)
	s := openAt(t, file)
	if err := s.InsertDemo(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := rawSQLite(t, file)
	if _, err := other.Exec("BEGIN IMMEDIATE; DELETE FROM storyspaces"); err != nil {
		t.Fatal(err)
	}
	rows, _, err := s.Storyspaces(t.Context(), "stevenm", store.Page{Size: 50})
	if err != nil || len(rows) != 2 {
		t.Errorf("got %v, %v beside an open transaction", rows, err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

// timeOnly is a context with a deadline and without a timer.
type timeOnly struct {
	context.Context
	deadline time.Time
}

func (c timeOnly) Deadline() (time.Time, bool) { return c.deadline, true }

func TestSQLiteBeginsNothingAfterTheDeadline(t *testing.T) {
	s := openAt(t, newFile(t))
	past := time.Unix(1, 0)
	ended, cancel := context.WithDeadline(t.Context(), past)
	defer cancel()
	canceled, cancelNow := context.WithCancel(t.Context())
	cancelNow()
	for name, ctx := range map[string]context.Context{
		"ended": ended, "canceled": canceled, "without a timer": timeOnly{t.Context(), past},
	} {
		_, err := s.AccountByUsername(ctx, "ada")
		isCode(t, name+": account", err, fault.Unavailable)
		_, err = s.CreateAccount(ctx, store.Account{Username: "ada"})
		isCode(t, name+": create account", err, fault.Unavailable)
		_, _, err = s.Storyspaces(ctx, "ada", store.Page{Size: 1})
		isCode(t, name+": storyspaces", err, fault.Unavailable)
		_, err = s.Storyspace(ctx, "1")
		isCode(t, name+": storyspace", err, fault.Unavailable)
		_, err = s.CreateStoryspace(ctx, "ada", "x")
		isCode(t, name+": create storyspace", err, fault.Unavailable)
		isCode(t, name+": demo rows", s.InsertDemo(ctx), fault.Unavailable)
	}
	_, err := s.AccountByUsername(t.Context(), "ada")
	isCode(t, "an account whose time was over", err, fault.NotFound)
}

func TestCloseWhileOthersReadAndWrite(t *testing.T) {
	for range 10 {
		s := openAt(t, newFile(t))
		if err := s.InsertDemo(t.Context()); err != nil {
			t.Fatal(err)
		}
		var begun, ended sync.WaitGroup
		for i := range 8 {
			begun.Add(1)
			ended.Go(func() {
				first := sync.OnceFunc(begun.Done)
				for {
					var err error
					if i%4 == 0 {
						_, err = s.CreateStoryspace(t.Context(), "stevenm", "x")
					} else {
						_, _, err = s.Storyspaces(t.Context(), "stevenm", store.Page{Size: 5})
					}
					first()
					if err != nil {
						isCode(t, "beside Close", err, fault.Unavailable)
						return
					}
				}
			})
		}
		begun.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		ended.Wait()
		if err := s.Close(); err != nil {
			t.Errorf("closing again: %v", err)
		}
	}
}

func TestCloseLeavesOneFile(t *testing.T) {
	file := newFile(t)
	s := openAt(t, file)
	if err := s.InsertDemo(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		if _, err := os.Stat(file + suffix); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", suffix, err)
		}
	}
}

func TestCloseBringsEverythingIntoTheFile(t *testing.T) {
	file := newFile(t)
	s := openAt(t, file)
	// Another connection stays, so closing the store does not end the write-ahead log.
	if err := rawSQLite(t, file).Ping(); err != nil {
		t.Fatal(err)
	}
	if err := s.InsertDemo(t.Context()); err != nil {
		t.Fatal(err)
	}
	closeNow(t, s)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	copied := newFile(t)
	if err := os.MkdirAll(filepath.Dir(copied), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, copied, string(content))
	if a, err := openAt(t, copied).AccountByID(t.Context(), "2112"); err != nil || a.Username != "stevenm" {
		t.Errorf("the file alone has %+v, %v", a, err)
	}
}

func TestReadyNoticesThatTheFileIsGone(t *testing.T) {
	file := newFile(t)
	s := openAt(t, file)
	if err := os.Rename(file, file+".moved"); err != nil {
		t.Skip("this platform does not move open files:", err)
	}
	isCode(t, "moved away", s.Ready(t.Context()), fault.Unavailable)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	isCode(t, "replaced", s.Ready(t.Context()), fault.Unavailable)
	if err := os.Rename(file+".moved", file); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("moved back: %v", err)
	}
}

// needsName skips a test if the system does not allow its file name.
func needsName(t *testing.T, name string) {
	t.Helper()
	if runtime.GOOS == "windows" && strings.ContainsAny(name, `?":`) {
		t.Skip("no file can have this name on Windows")
	}
}

func newFile(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "data", "latchkey.db")
}

func options(file string) store.Options {
	return store.Options{URL: "sqlite:" + file, Environment: "development"}
}

// openAt opens a store that is closed when the test ends.
func openAt(t *testing.T, file string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), options(file))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func closeNow(t *testing.T, s *store.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// rawSQLite is a connection to the file, as from another program.
func rawSQLite(t *testing.T, file string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

func isCode(t *testing.T, what string, err error, want fault.Code) {
	t.Helper()
	found, ok := errors.AsType[*fault.Error](err)
	if !ok || found.Code != want {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

// isSentence checks that an error is one plain line with all of the parts.
func isSentence(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "SQLITE_") {
		t.Errorf("not a plain sentence: %q", err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

func TestSQLiteFileThatIsGoneTakesNoWrite(t *testing.T) {
	file := newFile(t)
	s := openAt(t, file)
	if err := os.Rename(file, file+".moved"); err != nil {
		t.Skip("this platform does not move open files:", err)
	}
	_, err := s.CreateAccount(t.Context(), store.Account{Username: "ada"})
	isCode(t, "an account", err, fault.Unavailable)
	isCode(t, "ready", s.Ready(t.Context()), fault.Unavailable)
	if err := os.Rename(file+".moved", file); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateAccount(t.Context(), store.Account{Username: "ada"}); err != nil {
		t.Errorf("with the file back in its place: %v", err)
	}
}
