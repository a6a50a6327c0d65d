package harness

import (
	"crypto/rand"
	"database/sql"
	"errors"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
)

// NewDatabase creates a database until the test ends. It gives its URL, and a connection to it.
func NewDatabase(t *testing.T) (string, *sql.DB) {
	t.Helper()
	server := os.Getenv("TEST_POSTGRES_URL")
	if server == "" {
		Unavailable(t, "TEST_POSTGRES_URL names no PostgreSQL server")
	}
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal("TEST_POSTGRES_URL is not a URL") // the error repeats it
	}
	name := "latchkey_it_" + strings.ToLower(rand.Text())
	admin := OpenDatabase(t, server)
	if _, err := admin.Exec("CREATE DATABASE " + name + " TEMPLATE template0 ENCODING 'UTF8'"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.Exec("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	u.Path = "/" + name
	return u.String(), OpenDatabase(t, u.String())
}

// OpenDatabase opens a database until the test ends.
func OpenDatabase(t *testing.T, databaseURL string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// ReadTables reads the rows of every table as text, by table.
func ReadTables(t *testing.T, db *sql.DB) map[string]string {
	t.Helper()
	found := map[string]string{}
	for name := range strings.FieldsSeq(QueryText(t, db, "SELECT string_agg(tablename, ' ') FROM pg_tables WHERE schemaname = 'public'")) {
		found[name] = QueryText(t, db, "SELECT coalesce(string_agg(r::text, chr(10)), '') FROM "+name+" r")
	}
	// In the text of a row these bytes are hexadecimal digits.
	found["material of keys"] = QueryText(t, db, "SELECT coalesce(string_agg(encode(material, 'escape'), chr(10)), '') FROM keys")
	return found
}

// QueryText is the only value of the only row of a query.
func QueryText(t *testing.T, db *sql.DB, query string) (text string) {
	t.Helper()
	if err := db.QueryRow(query).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

// PostgresServer is a PostgreSQL server that one test controls.
type PostgresServer struct {
	control     string
	environment []string
	URL         string
}

// StartPostgres starts a server with the program at TEST_POSTGRES_CONTROL. Its verbs:
//   - up starts a server with its data in PGTEST_DIR at the port PGTEST_PORT, and prints its URL as the last line
//   - kill, stop, start, pause and resume do that to the server
func StartPostgres(t *testing.T) *PostgresServer {
	t.Helper()
	control := os.Getenv("TEST_POSTGRES_CONTROL")
	if control == "" {
		t.Skip("NOT TESTED: TEST_POSTGRES_CONTROL is not set, nothing can stop a server")
	}
	folder := t.TempDir()
	for _, open := range []string{folder, filepath.Dir(folder)} {
		if err := os.Chmod(open, 0o755); err != nil { // the server runs as another user
			t.Fatal(err)
		}
	}
	free, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(free.Addr().String())
	if err := errors.Join(err, free.Close()); err != nil {
		t.Fatal(err)
	}
	s := &PostgresServer{control: control, environment: append(os.Environ(), "PGTEST_DIR="+filepath.Join(folder, "postgres"), "PGTEST_PORT="+port)}
	t.Cleanup(func() {
		_, _ = s.run("resume") // the test may have left it paused or stopped
		_, _ = s.run("kill")
	})
	lines := strings.Split(strings.TrimSpace(s.Control(t, "up")), "\n")
	s.URL = lines[len(lines)-1]
	return s
}

// Control calls the program that controls the server with this verb.
func (s *PostgresServer) Control(t *testing.T, verb string) string {
	t.Helper()
	out, err := s.run(verb)
	if err != nil {
		t.Fatalf("%s: %v", verb, err)
	}
	return out
}

func (s *PostgresServer) run(verb string) (string, error) {
	command := exec.Command(s.control, verb)
	command.Env = s.environment
	out, err := command.Output()
	return string(out), err
}
