package store_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
	"github.com/latchkey-api/latchkey/store/storetest"
)

// pgBouncer is a PgBouncer of a test's own before the server of TEST_POSTGRES_URL.
type pgBouncer struct{ address string }

// pgBouncerServers is how many connections it has to the server for each database: fewer than a store has to it, but for
// a session, which keeps one.
var pgBouncerServers = map[string]int{"transaction": 5, "session": 20}

func startPgBouncer(t testing.TB, mode string) pgBouncer {
	t.Helper()
	server := postgresURL(t)
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer" // where Debian keeps it
	}
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI=true: there is no pgbouncer")
		}
		t.Skip("NOT TESTED: there is no pgbouncer")
	}
	serverPort := server.Port()
	if serverPort == "" {
		serverPort = "5432"
	}
	password, given := server.User.Password()
	if given {
		password = " password='" + strings.ReplaceAll(password, "'", "''") + "'"
	}
	port := freePort(t)
	folder := t.TempDir()
	file := filepath.Join(folder, "pgbouncer.ini")
	text := fmt.Sprintf(`[databases]
* = host=%s port=%s user=%s%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = any
pool_mode = %s
default_pool_size = %d
log_connections = 0
log_disconnections = 0
`, server.Hostname(), serverPort, server.User.Username(), password, port, mode, pgBouncerServers[mode])
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{file}
	if os.Getuid() == 0 { // it refuses to run as root, and reads the file before it is somebody else
		args = []string{"-u", "nobody", file}
	}
	var log bytes.Buffer
	command := exec.CommandContext(context.Background(), program, args...)
	command.Stdout, command.Stderr = &log, &log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	b := pgBouncer{"127.0.0.1:" + port}
	until(t, "pgbouncer accepts", func() bool {
		conn, err := net.Dial("tcp", b.address)
		return err == nil && conn.Close() == nil
	})
	return b
}

// before is the URL of a database through the pooler, without parameters.
func (b pgBouncer) before(t testing.TB, databaseURL string) string {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	u.Host, u.RawQuery = b.address, ""
	return u.String()
}

func TestPgBouncerKeepsTheContract(t *testing.T) {
	b := startPgBouncer(t, "transaction")
	storetest.Exercise(t, func(t *testing.T) *store.Store { return openURL(t, b.before(t, newDatabase(t))) })
}

func TestPgBouncerInSessionMode(t *testing.T) {
	crowd(t, openURL(t, startPgBouncer(t, "session").before(t, newDatabase(t))))
}

// crowd runs more operations at once than the store has connections. Each call that fails fails the test.
func crowd(t *testing.T, s *store.Store) {
	t.Helper()
	var all sync.WaitGroup
	defer all.Wait()
	for range 24 {
		all.Go(func() {
			for range 5 {
				id := rand.Text()
				isNil := func(what string, err error) {
					if err != nil {
						t.Errorf("%s: %v", what, err)
					}
				}
				_, err := s.CreateKey(t.Context(), newKey(id), keys.Event{Target: id})
				isNil("create", err)
				_, err = s.Key(t.Context(), id)
				isNil("read", err)
				_, err = s.KeyChanges(t.Context(), 0, 1000)
				isNil("changes", err)
				isNil("touch", s.TouchKeys(t.Context(), map[string]time.Time{id: time.Unix(1, 0)}))
				_, err = s.Heartbeat(t.Context(), id, 1, time.Minute)
				isNil("beat", err)
				_, err = s.ChangeKey(t.Context(), id, keys.Event{Target: id}, revoke)
				isNil("revoke", err)
				isNil("leave", s.Leave(t.Context(), id))
			}
		})
	}
}

func TestPgBouncerCrowdLeavesNothingBehind(t *testing.T) {
	b := startPgBouncer(t, "transaction")
	databaseURL := newDatabase(t)
	alterDatabase(t, databaseURL, "default_transaction_isolation = 'repeatable read'")
	through := b.before(t, databaseURL)
	var log syncBuffer
	s, err := store.Open(t.Context(), store.Options{
		URL: through, Environment: "development", Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer closeNow(t, s)
	ctx, stop := context.WithCancel(t.Context())
	listened := make(chan error, 1)
	go func() { listened <- s.Listen(ctx, func() { t.Error("it is heard through a pooler") }) }()
	// Whoever asks the store's clock in a transaction is asked for the settings.
	execute(t, rawPostgres(t, databaseURL), `
		CREATE FUNCTION checked() RETURNS BIGINT LANGUAGE plpgsql AS $$ BEGIN
			IF current_setting('transaction_isolation') || current_setting('idle_in_transaction_session_timeout') <> 'read committed3s' THEN
				RAISE EXCEPTION 'isolation %, timeout %', current_setting('transaction_isolation'), current_setting('idle_in_transaction_session_timeout');
			END IF;
			RETURN 0;
		END $$;
		CREATE FUNCTION check_beat() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM checked(); RETURN NEW; END $$;
		CREATE TRIGGER check_beat BEFORE INSERT OR UPDATE ON instances FOR EACH ROW EXECUTE FUNCTION check_beat();
		CREATE TRIGGER check_key BEFORE INSERT OR UPDATE OF state ON keys FOR EACH ROW EXECUTE FUNCTION check_beat()`)
	crowd(t, s)
	until(t, "a line about the pooler", func() bool { return strings.Contains(log.String(), "there is a pooler before it") })
	stop()
	if err := <-listened; err != nil {
		t.Errorf("listening ended with %v", err)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines:\n%s", n, log.String())
	}

	// Every connection that the pooler has is looked at, all of them at the same time.
	other, err := sql.Open("pgx", through+"?default_query_exec_mode=exec")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	servers, seen := pgBouncerServers["transaction"], map[int]bool{}
	for range servers {
		tx, err := other.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback() }()
		var pid, prepared, listening int
		var timeout, isolation string
		err = tx.QueryRow(`SELECT pg_backend_pid(), (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_listening_channels()),
			current_setting('idle_in_transaction_session_timeout'), current_setting('default_transaction_isolation')`).
			Scan(&pid, &prepared, &listening, &timeout, &isolation)
		if err != nil {
			t.Fatal(err)
		}
		seen[pid] = true
		if prepared != 0 || listening != 0 || timeout != "0" || isolation != "repeatable read" {
			t.Errorf("left behind: %d prepared, %d listening, timeout %s, isolation %s", prepared, listening, timeout, isolation)
		}
	}
	if len(seen) != servers {
		t.Errorf("%d connections were seen", len(seen))
	}
}

// A pooler may be on one of several routes to the server, and may appear and go while the store is open.
func TestPgBouncerMayComeAndGo(t *testing.T) {
	b := startPgBouncer(t, "transaction")
	databaseURL := newDatabase(t)
	p, through := startProxy(t, databaseURL)
	direct := p.server
	s := openURL(t, through)
	for what, ways := range map[string][]string{"comes": {b.address}, "is one of two ways": {direct, b.address}, "is gone": {direct}} {
		t.Run(what, func(t *testing.T) {
			p.lead(ways...)
			p.reset()
			until(t, "every connection is a new one", func() bool {
				failed := make(chan bool, 32)
				var all sync.WaitGroup
				for range cap(failed) {
					all.Go(func() {
						_, err := s.Heartbeat(t.Context(), "one", 1, time.Minute)
						failed <- err != nil
					})
				}
				all.Wait()
				for range cap(failed) {
					if <-failed {
						return false
					}
				}
				return true
			})
			crowd(t, s)
		})
	}
}

// Prepared statements are outdated once a table changes, or when the server forgets them.
func TestPostgresOutdatedStatementsAreNoFault(t *testing.T) {
	databaseURL := newDatabase(t)
	s := openURL(t, databaseURL)
	raw := rawPostgres(t, databaseURL)
	execute := func(statements string) {
		if _, err := raw.Exec(statements); err != nil {
			t.Error(err)
		}
	}
	crowd(t, s)
	execute("ALTER TABLE keys ALTER COLUMN burst TYPE INTEGER")
	crowd(t, s)
	// While it goes on, too.
	changing := make(chan struct{})
	go func() {
		defer close(changing)
		for _, kind := range []string{"BIGINT", "INTEGER", "BIGINT"} {
			execute("ALTER TABLE keys ALTER COLUMN burst TYPE " + kind)
		}
	}()
	crowd(t, s)
	<-changing
	// Whoever asks the store's clock has nothing prepared any more.
	execute(`CREATE FUNCTION forget() RETURNS BIGINT LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'DEALLOCATE ALL'; RETURN 0; END $$;
		ALTER VIEW store_clock RENAME TO true_clock;
		CREATE VIEW store_clock AS SELECT micros, forget() AS began FROM true_clock`)
	// One after the other: beside it, another caller could make the fresh connection forget as well.
	for range 20 {
		if _, err := s.HasKeys(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := s.KeyChanges(t.Context(), 0, 1000); err != nil {
			t.Error(err)
		}
	}
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *syncBuffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(text)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
