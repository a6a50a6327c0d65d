package store_test

import (
	"database/sql"
	"fmt"
	"os"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/store"
)

// place is an empty database for a store, of one engine.
type place struct {
	engine string // "sqlite" or "postgres", as the folders of migrations
	url    string
	named  string // its name in sentences
	raw    func(t *testing.T) *sql.DB
}

// onEachEngine runs a test for each engine; newPlace returns a new place.
func onEachEngine(t *testing.T, test func(t *testing.T, newPlace func(t *testing.T) place)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		test(t, func(t *testing.T) place {
			file := newFile(t)
			return place{"sqlite", "sqlite:" + file, file, func(t *testing.T) *sql.DB { return rawSQLite(t, file) }}
		})
	})
	t.Run("postgres", func(t *testing.T) {
		postgresURL(t)
		test(t, func(t *testing.T) place {
			databaseURL := newDatabase(t)
			return place{"postgres", databaseURL, databaseName(t, databaseURL), func(t *testing.T) *sql.DB {
				return rawPostgres(t, databaseURL)
			}}
		})
	})
}

func (p place) options() store.Options { return store.Options{URL: p.url, Environment: "development"} }

func (p place) open(t *testing.T) *store.Store { return openURL(t, p.url) }

// tamper runs statements on the store, as another program would.
func (p place) tamper(t *testing.T, statements string) {
	t.Helper()
	execute(t, p.raw(t), statements)
}

// migrations are the names of the files that make the newest schema.
func (p place) migrations(t *testing.T) []string {
	t.Helper()
	files, err := os.ReadDir("migrations/" + p.engine)
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var names []string
	for _, file := range files {
		names = append(names, file.Name())
	}
	return names
}

// takeBackNewest undoes the newest migration, and returns its name.
func (p place) takeBackNewest(t *testing.T) string {
	t.Helper()
	all := p.migrations(t)
	newest := all[len(all)-1]
	text, err := os.ReadFile("migrations/" + p.engine + "/" + newest)
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	for _, made := range []struct{ made, gone string }{
		{`CREATE (?:UNIQUE )?INDEX (?:IF NOT EXISTS )?(\w+)`, "DROP INDEX $1"},
		{`CREATE FUNCTION (\w+)`, "DROP FUNCTION $1 CASCADE"},
		{`CREATE TABLE (\w+)`, "DROP TABLE $1"},
		{`CREATE INDEX (\w+)`, "DROP INDEX IF EXISTS $1"}, // one of a table that was dropped is gone
		{`ALTER TABLE (\w+) ADD COLUMN (\w+)`, "ALTER TABLE $1 DROP COLUMN $2"},
		{`CREATE VIEW (\w+)`, "DROP VIEW $1"},
	} {
		expression := regexp.MustCompile(made.made)
		for _, found := range expression.FindAllString(string(text), -1) {
			p.tamper(t, expression.ReplaceAllString(found, made.gone))
			taken++
		}
	}
	if taken == 0 {
		t.Fatalf("%s makes nothing that this test knows: it has to know how to take it back", newest)
	}
	p.tamper(t, "DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version)")
	return newest
}

// execute runs statements and closes the connection.
func execute(t *testing.T, db *sql.DB, statements string) {
	t.Helper()
	if _, err := db.Exec(statements); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRemembersTheEnvironment(t *testing.T) {
	onEachEngine(t, func(t *testing.T, newPlace func(*testing.T) place) {
		for _, pair := range [][2]string{{"development", "production"}, {"production", "development"}} {
			p := newPlace(t)
			for _, environment := range []string{pair[0], pair[0], pair[1], pair[0]} {
				s, err := store.Open(t.Context(), store.Options{URL: p.url, Environment: environment})
				if environment != pair[0] {
					isSentence(t, err, p.named, "made for "+pair[0], "runs for "+pair[1])
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				closeNow(t, s)
			}
		}
	})
}

func TestMigrateSaysWhatItApplied(t *testing.T) {
	onEachEngine(t, func(t *testing.T, newPlace func(*testing.T) place) {
		p := newPlace(t)
		want := p.migrations(t)
		got, err := store.Migrate(t.Context(), p.options())
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("applied %v, %v, want %v", got, err, want)
		}
		again, err := store.Migrate(t.Context(), p.options())
		if err != nil || len(again) != 0 {
			t.Errorf("the second time %v, %v", again, err)
		}
		_, err = store.Migrate(t.Context(), store.Options{URL: p.url, Environment: "production"})
		isSentence(t, err, "made for development")
	})
}

func TestMigrationsAreTheSameForBothEngines(t *testing.T) {
	if one, other := (place{engine: "sqlite"}).migrations(t), (place{engine: "postgres"}).migrations(t); !slices.Equal(one, other) {
		t.Errorf("%v and %v", one, other)
	}
}

func TestMigrateKeepsTheRowsOfAnOlderSchema(t *testing.T) {
	onEachEngine(t, func(t *testing.T, newPlace func(*testing.T) place) {
		p := newPlace(t)
		s := p.open(t)
		want, err := s.CreateAccount(t.Context(), store.Account{Username: "ada"})
		if err != nil {
			t.Fatal(err)
		}
		newest := p.takeBackNewest(t)
		isCode(t, "ready on an older schema", s.Ready(t.Context()), fault.Unavailable)

		applied, err := store.Migrate(t.Context(), p.options())
		if err != nil || !slices.Equal(applied, []string{newest}) {
			t.Fatalf("applied %v, %v", applied, err)
		}
		if err := s.Ready(t.Context()); err != nil {
			t.Errorf("ready after the migration: %v", err)
		}
		if got, err := s.AccountByUsername(t.Context(), "ada"); err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
		if _, err := s.Heartbeat(t.Context(), "one", 1, time.Minute); err != nil {
			t.Error(err)
		}
	})
}

func TestMigrateServesANewerSchemaOfTheSameMajor(t *testing.T) {
	onEachEngine(t, func(t *testing.T, newPlace func(*testing.T) place) {
		p := newPlace(t)
		s := p.open(t)
		// The statements are in use when the table changes.
		if _, err := s.CreateAccount(t.Context(), store.Account{Username: "ada"}); err != nil {
			t.Fatal(err)
		}
		p.tamper(t, `CREATE TABLE later (id TEXT); ALTER TABLE accounts ADD COLUMN later TEXT NOT NULL DEFAULT '';
			INSERT INTO goose_db_version (version_id, is_applied) VALUES (1004, true), (1005, true)`)
		for i, s := range []*store.Store{s, p.open(t)} {
			if err := s.Ready(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := s.CreateAccount(t.Context(), store.Account{Username: fmt.Sprint(i)}); err != nil {
				t.Error(err)
			}
			if _, err := s.AccountByUsername(t.Context(), "ada"); err != nil {
				t.Error(err)
			}
		}
		if applied, err := store.Migrate(t.Context(), p.options()); err != nil || len(applied) != 0 {
			t.Errorf("applied %v, %v", applied, err)
		}
	})
}

func TestMigrateRefusesAnotherMajor(t *testing.T) {
	onEachEngine(t, func(t *testing.T, newPlace func(*testing.T) place) {
		for _, major := range []string{"2", "0", "", "11"} {
			p := newPlace(t)
			s := p.open(t)
			p.tamper(t, fmt.Sprintf("UPDATE meta SET value = '%s' WHERE name = 'schema_major'", major))
			err := s.Ready(t.Context())
			isCode(t, "ready", err, fault.Unavailable)
			isSentence(t, err, fmt.Sprintf("major version %q", major), `serves major version "1"`)
			_, err = store.Open(t.Context(), p.options())
			isSentence(t, err, p.named, fmt.Sprintf("major version %q", major), `serves major version "1"`)
		}
	})
}

func TestMigrateThatFailsLeavesNothing(t *testing.T) {
	onEachEngine(t, func(t *testing.T, newPlace func(*testing.T) place) {
		p := newPlace(t)
		s := p.open(t)
		// Version 3 creates storyspaces, which is there: the migration after 2 has to fail.
		p.tamper(t, `DELETE FROM goose_db_version WHERE version_id > 1;
			DROP TABLE storyspaces; ALTER TABLE accounts RENAME TO kept; CREATE TABLE storyspaces (id TEXT)`)
		_, err := store.Open(t.Context(), p.options())
		isSentence(t, err, p.named, "cannot be opened")
		raw := p.raw(t)
		var version int
		if err := raw.QueryRow("SELECT max(version_id) FROM goose_db_version").Scan(&version); err != nil || version != 1 {
			t.Errorf("the version is %d, %v", version, err)
		}
		if _, err := raw.Exec("SELECT count(*) FROM accounts"); err == nil {
			t.Error("accounts exists: half a migration stayed")
		}
		isCode(t, "ready", s.Ready(t.Context()), fault.Unavailable)
	})
}

func TestOpenOneFreshStoreManyTimesAtOnce(t *testing.T) {
	onEachEngine(t, func(t *testing.T, newPlace func(*testing.T) place) {
		for range 10 {
			p := newPlace(t)
			var wait sync.WaitGroup
			stores, errs := make([]*store.Store, 2), make([]error, 2)
			for i := range stores {
				wait.Go(func() { stores[i], errs[i] = store.Open(t.Context(), p.options()) })
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
				closeNow(t, s)
			}
		}
	})
}
