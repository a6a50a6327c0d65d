package store_test

import (
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/latchkey-api/latchkey/store"
	"github.com/latchkey-api/latchkey/store/storetest"
)

func TestPostgresKeepsTheContract(t *testing.T) {
	postgresURL(t)
	storetest.Exercise(t, func(t *testing.T) *store.Store { return openURL(t, newDatabase(t)) })
}

// postgresURL is the server that the tests may use. Without one they fail where CI=true, and are skipped elsewhere.
func postgresURL(t testing.TB) *url.URL {
	t.Helper()
	text := os.Getenv("TEST_POSTGRES_URL")
	if text == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI=true: TEST_POSTGRES_URL names no PostgreSQL server")
		}
		t.Skip("NOT TESTED: TEST_POSTGRES_URL names no PostgreSQL server, for example postgres://postgres:secret@localhost/postgres")
	}
	server, err := url.Parse(text)
	if err != nil {
		t.Fatal("TEST_POSTGRES_URL is not a URL") // the error repeats it
	}
	return server
}

// newDatabase makes an empty database and gives its URL. It is removed when the test ends.
func newDatabase(t testing.TB) string {
	t.Helper()
	return newDatabaseWith(t, "ENCODING 'UTF8'")
}

func newDatabaseWith(t testing.TB, with string) string {
	t.Helper()
	server := postgresURL(t)
	name := "latchkey_" + strings.ToLower(rand.Text())
	admin := rawPostgres(t, server.String())
	if _, err := admin.Exec("CREATE DATABASE " + name + " TEMPLATE template0 " + with); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.Exec(fmt.Sprintf("DROP DATABASE %s WITH (FORCE)", name)); err != nil {
			t.Error(err)
		}
	})
	server.Path = "/" + name
	return server.String()
}

// databaseName is how sentences name a database.
func databaseName(t *testing.T, databaseURL string) string {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%q on the PostgreSQL server %s", strings.TrimPrefix(u.Path, "/"), u.Host)
}

// rawPostgres is one connection beside the store, as another program has it.
func rawPostgres(t testing.TB, databaseURL string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

// openURL opens a store that is closed when the test ends.
func openURL(t testing.TB, databaseURL string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{URL: databaseURL, Environment: "development"})
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

func BenchmarkPostgresPointRead(b *testing.B) {
	s := openURL(b, newDatabase(b))
	if err := s.InsertDemo(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Run("store", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.AccountByUsername(b.Context(), "stevenm"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := s.AccountByUsername(b.Context(), "stevenm"); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

// As with SQLite, a write ends when it is on the disk of the server.
func BenchmarkPostgresWrite(b *testing.B) {
	s := openURL(b, newDatabase(b))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.CreateAccount(b.Context(), store.Account{Username: rand.Text()}); err != nil {
			b.Fatal(err)
		}
	}
}

func TestPostgresSaysWhenItBegan(t *testing.T) {
	databaseURL := newDatabase(t)
	var want time.Time
	if err := rawPostgres(t, databaseURL).QueryRow("SELECT pg_postmaster_start_time()").Scan(&want); err != nil {
		t.Fatal(err)
	}
	changes, err := openURL(t, databaseURL).KeyChanges(t.Context(), 0, 1000)
	if err != nil || !changes.ServerStarted.Equal(want) {
		t.Errorf("it began %v, %v, and the server says %v", changes.ServerStarted, err, want)
	}
}
