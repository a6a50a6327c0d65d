package integration

import (
	"crypto/rand"
	"database/sql"
	"net/url"
	"os"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
)

// checkPostgres proves the program with a database of its own on the server at TEST_POSTGRES_URL.
func checkPostgres(t *testing.T, bin string) {
	databaseURL, db := newDatabase(t)
	p := startProcess(t, bin, map[string]string{"DATABASE_URL": databaseURL})
	p.files = func(t *testing.T) map[string]string { return tables(t, db) }
	p.keepsContract(t)
	if _, err := os.Stat(p.cmd.Dir + "/latchkey.db"); err == nil {
		t.Error("there is a SQLite store, too")
	}
	if code := p.stop(t); code != 0 {
		t.Errorf("the program ended with code %d", code)
	}
}

// newDatabase makes a database that is removed when the test ends. It gives its URL, and a connection to it.
func newDatabase(t *testing.T) (string, *sql.DB) {
	t.Helper()
	server := os.Getenv("TEST_POSTGRES_URL")
	if server == "" {
		unavailable(t, "TEST_POSTGRES_URL names no PostgreSQL server")
	}
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal("TEST_POSTGRES_URL is not a URL") // the error repeats it
	}
	name := "latchkey_it_" + strings.ToLower(rand.Text())
	admin := connect(t, server)
	if _, err := admin.Exec("CREATE DATABASE " + name + " TEMPLATE template0 ENCODING 'UTF8'"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.Exec("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	u.Path = "/" + name
	return u.String(), connect(t, u.String())
}

func connect(t *testing.T, databaseURL string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// tables are the rows of every table as text, by the table's name.
func tables(t *testing.T, db *sql.DB) map[string]string {
	t.Helper()
	found := map[string]string{}
	for name := range strings.FieldsSeq(oneText(t, db, "SELECT string_agg(tablename, ' ') FROM pg_tables WHERE schemaname = 'public'")) {
		found[name] = oneText(t, db, "SELECT coalesce(string_agg(r::text, chr(10)), '') FROM "+name+" r")
	}
	// A row's text has these bytes as hexadecimal digits.
	found["material of keys"] = oneText(t, db, "SELECT coalesce(string_agg(encode(material, 'escape'), chr(10)), '') FROM keys")
	return found
}

func oneText(t *testing.T, db *sql.DB, query string) (text string) {
	t.Helper()
	if err := db.QueryRow(query).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}
