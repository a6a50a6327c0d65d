package store

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchkey-api/latchkey/fault"
)

func openTemp(t testing.TB) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{URL: "sqlite:" + filepath.Join(t.TempDir(), "latchkey.db"), Environment: "development"})
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

func TestSQLitePlaceholdersMeanTheirNumber(t *testing.T) {
	s := openTemp(t)
	var got string
	row := s.db.read.QueryRowContext(t.Context(), "SELECT $2 || $1 || $3 || $1", "one ", "two ", "three ")
	if err := row.Scan(&got); err != nil || got != "two one three one " {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestSQLiteConnectionsAreSetUp(t *testing.T) {
	s := openTemp(t)
	want := map[string]map[string]string{
		"writer": {
			"journal_mode": "wal", "synchronous": "2", "busy_timeout": "2000", "foreign_keys": "1", "temp_store": "2", "query_only": "0",
		},
		"reader": {
			"journal_mode": "wal", "busy_timeout": "2000", "foreign_keys": "1", "temp_store": "2", "query_only": "1",
		},
	}
	for pool, db := range map[string]*sql.DB{"writer": s.db.write, "reader": s.db.read} {
		// Each connection, not only the first.
		for range db.Stats().MaxOpenConnections {
			conn, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for pragma, value := range want[pool] {
				var got string
				if err := conn.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != value {
					t.Errorf("%s: %s is %q, %v, want %q", pool, pragma, got, err, value)
				}
			}
		}
	}
	if writers := s.db.write.Stats().MaxOpenConnections; writers != 1 {
		t.Errorf("%d connections write", writers)
	}
}

func TestSQLiteErrors(t *testing.T) {
	tests := []struct {
		name  string
		spoil string // run on the one connection that writes
		want  fault.Code
	}{
		{"nothing", "SELECT 1", fault.Code(255)},
		{"full", "PRAGMA max_page_count = 1", fault.Unavailable},
		{"read-only", "PRAGMA query_only = ON", fault.Unavailable},
		{"a table is missing", "DROP TABLE storyspaces; DROP TABLE accounts", fault.Internal},
		{
			"a constraint that is not unique",
			"CREATE TRIGGER t BEFORE INSERT ON accounts BEGIN SELECT RAISE(ABORT, 'UNIQUE'); END", fault.Internal,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := openTemp(t)
			if _, err := s.db.write.ExecContext(t.Context(), tt.spoil); err != nil {
				t.Fatal(err)
			}
			// The row fits into the pages in use.
			_, err := s.CreateAccount(t.Context(), Account{Username: "ada", Email: strings.Repeat("x", 1<<20)})
			if tt.name == "nothing" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if got := fault.CodeOf(err); got != tt.want || errors.Unwrap(err) == nil {
				t.Errorf("got %v, want %v with its cause", err, tt.want)
			}
			if tt.want == fault.Unavailable {
				if err := s.Ready(t.Context()); err != nil {
					t.Errorf("reading is not affected: %v", err)
				}
			}
		})
	}
}

func TestSQLiteReadersCannotWrite(t *testing.T) {
	s := openTemp(t)
	_, err := s.db.read.ExecContext(t.Context(), insertAccount, "1", "ada", "", "", "", "")
	if code := s.db.classify(err); code != fault.Unavailable {
		t.Errorf("got %v, %v", err, code)
	}
}

func TestSQLiteForeignKeysHold(t *testing.T) {
	s := openTemp(t)
	_, err := s.write(t.Context(), "INSERT INTO storyspaces (id, account_id, name) VALUES ($1, $2, $3)", "1", "nobody", "x")
	if err == nil || fault.CodeOf(err) != fault.Internal {
		t.Errorf("a storyspace of nobody: %v", err)
	}
}

// hang takes every slot of a pool until the test ends, as a driver that hangs does.
func hang(t *testing.T, p *pool) (release func()) {
	t.Helper()
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	return func() {
		for range cap(p.slots) {
			<-p.slots
		}
	}
}

func TestPoolWaitForAPlaceEnds(t *testing.T) {
	tests := []struct {
		name string
		ctx  func(context.Context) (context.Context, context.CancelFunc)
		want error
	}{
		{"with a timer", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Minute)
		}, context.DeadlineExceeded},
		{"with a deadline that nothing watches", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return timeOnly{ctx, time.Now().Add(time.Minute)}, func() {}
		}, context.DeadlineExceeded},
		{"when the store is closed", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return ctx, func() {}
		}, errClosed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				closing := make(chan struct{})
				p := newPool(nil, 1, closing)
				if err := p.acquire(t.Context()); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := tt.ctx(context.Background())
				defer cancel()
				ended := make(chan error, 1)
				go func() { ended <- p.acquire(ctx) }()
				synctest.Wait()
				if len(ended) != 0 {
					t.Fatalf("it did not wait: %v", <-ended)
				}
				if errors.Is(tt.want, errClosed) {
					close(closing)
				} else {
					time.Sleep(time.Minute)
				}
				if got := <-ended; !errors.Is(got, tt.want) {
					t.Errorf("got %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// timeOnly is a context with a deadline and without a timer.
type timeOnly struct {
	context.Context
	deadline time.Time
}

func (c timeOnly) Deadline() (time.Time, bool) { return c.deadline, true }

func TestReadyReturnsWhileTheDriverHangs(t *testing.T) {
	s := openTemp(t)
	release := hang(t, s.reader)
	before := runtime.NumGoroutine()
	for range 100 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if err := s.Ready(ctx); fault.CodeOf(err) != fault.Unavailable {
			t.Fatalf("ready while the driver hangs: %v", err)
		}
		cancel()
	}
	if more := runtime.NumGoroutine() - before; more > 5 {
		t.Errorf("100 checks left %d goroutines", more)
	}
	release()
	// The hung check ends, and the next one is new.
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("after the driver came back: %v", err)
	}
}

func TestReadySharesARunningCheckOnly(t *testing.T) {
	var f flight
	hold := make(chan struct{})
	runs := 0
	run := func() error { runs++; <-hold; return nil }
	first := f.join(run)
	if second := f.join(run); second != first {
		t.Error("a second check runs beside the first")
	}
	close(hold)
	<-first.done
	if third := f.join(run); third == first {
		t.Error("an old answer was given again")
	} else {
		<-third.done
	}
	if runs != 2 {
		t.Errorf("%d runs, want 2", runs)
	}
}

func TestCloseDoesNotWaitForeverForADriverThatHangs(t *testing.T) {
	t.Parallel()
	s := openTemp(t)
	defer hang(t, s.reader)()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	_, err := s.AccountByUsername(t.Context(), "ada")
	if fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("after Close: %v", err)
	}
}
