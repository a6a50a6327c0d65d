package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

// What the first release with each engine left, in production, is in testdata: the demo rows, and ada with three
// storyspaces. The one with PostgreSQL had keys, too.
func TestMigrateFromTheFirstRelease(t *testing.T) {
	releases := map[string]struct {
		put     func(t *testing.T, p place)
		newest  string // of its migrations
		changes int64  // of keys
	}{
		"sqlite": {newest: "00003_storyspaces.sql", put: func(t *testing.T, p place) {
			file := strings.TrimPrefix(p.url, "sqlite:")
			if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, file, testdata(t, "release-1.db"))
		}},
		"postgres": {newest: "00006_instances.sql", changes: 8, put: func(t *testing.T, p place) {
			p.tamper(t, testdata(t, "release-1.sql"))
		}},
	}
	onEachEngine(t, func(t *testing.T, newPlace func(*testing.T) place) {
		p := newPlace(t)
		release := releases[p.engine]
		release.put(t, p)
		before := p.tables(t, nil)
		production := store.Options{URL: p.url, Environment: "production"}

		applied, err := store.Migrate(t.Context(), production)
		later := slices.DeleteFunc(p.migrations(t), func(name string) bool { return name <= release.newest })
		if err != nil || !slices.Equal(applied, later) {
			t.Fatalf("applied %v, %v, want what came after the first release: %v", applied, err, later)
		}
		_, err = store.Open(t.Context(), p.options())
		isSentence(t, err, "made for production")
		s, err := store.Open(t.Context(), production)
		if err != nil {
			t.Fatal(err)
		}
		defer closeNow(t, s)
		if err := s.Ready(t.Context()); err != nil {
			t.Error(err)
		}
		after := p.tables(t, before)
		for name, table := range before {
			for row, times := range table.rows {
				if after[name].rows[row] != times {
					t.Errorf("the table %s has lost %s", name, row)
				}
			}
		}
		goesOn(t, s, release.changes)
	})
}

// goesOn checks that the rows of the first release are found, and that new ones come after them.
func goesOn(t *testing.T, s *store.Store, changes int64) {
	t.Helper()
	for _, want := range []store.Account{
		{ID: "2112", Username: "stevenm"},
		{ID: "2113", Username: "foobar"},
		{
			ID: "ada", Username: "ada", Email: "ada@example.org", FirstName: "Ada", LastName: "Lovelace",
			AvatarURL: "https://example.org/ada.png",
		},
	} {
		if got, err := s.AccountByUsername(t.Context(), want.Username); err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	for username, want := range map[string][]store.Storyspace{
		"stevenm": {{ID: "1", Name: "barfood"}, {ID: "2", Name: "bazbars"}},
		"foobar":  {{ID: "2113", Name: "barfood"}},
		"ada": {
			{ID: "pbojjiuir66jczynh5jehek4rg", Name: "notes"},
			{ID: "pvwecm22yfutxeyqd4npsbu3jn", Name: "日本語"},
			{ID: "3hyw5ppakuvgmvy2ioldl3wqij", Name: ""},
		},
	} {
		got, _, err := s.Storyspaces(t.Context(), username, store.Page{Size: 200})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s has %+v, %v, want %+v", username, got, err, want)
		}
	}
	made, err := s.CreateStoryspace(t.Context(), "foobar", "later")
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := s.Storyspaces(t.Context(), "foobar", store.Page{Size: 2}); err != nil || got[1] != made {
		t.Errorf("got %+v, %v, want %+v at the end", got, err, made)
	}
	_, err = s.CreateAccount(t.Context(), store.Account{Username: "ada"})
	isCode(t, "a username of before", err, fault.Conflict)
	if has, err := s.HasKeys(t.Context()); err != nil || has != (changes > 0) {
		t.Errorf("has keys: %v, %v, after %d changes of them", has, err, changes)
	}
	if key, err := s.CreateKey(t.Context(), newKey("E1"), keys.Event{Target: "E1"}); err != nil || key.Version != changes+1 {
		t.Errorf("the next key is %+v, %v", key, err)
	}
}

func testdata(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// table is what a table holds: how often each row is there, as text.
type table struct {
	columns []string
	rows    map[string]int
}

// tables reads every table; of one that known has, only the columns that it had then.
func (p place) tables(t *testing.T, known map[string]table) map[string]table {
	t.Helper()
	db := p.raw(t)
	defer db.Close()
	rows := func(query string) table {
		found, err := db.Query(query)
		if err != nil {
			t.Fatal(err)
		}
		defer found.Close()
		columns, err := found.Columns()
		if err != nil {
			t.Fatal(err)
		}
		read := table{columns, map[string]int{}}
		values, pointers := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			pointers[i] = &values[i]
		}
		for found.Next() {
			if err := found.Scan(pointers...); err != nil {
				t.Fatal(err)
			}
			read.rows[strings.TrimSuffix(fmt.Sprintln(values...), "\n")]++
		}
		if err := found.Err(); err != nil {
			t.Fatal(err)
		}
		return read
	}
	named := map[string]string{
		"sqlite":   "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
		"postgres": "SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = current_schema()",
	}
	all := map[string]table{}
	for name := range rows(named[p.engine]).rows {
		columns := "*"
		if before, ok := known[name]; ok {
			columns = strings.Join(before.columns, ", ")
		}
		all[name] = rows("SELECT " + columns + " FROM " + name)
	}
	return all
}
