//go:build torture

package integration

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // its database/sql driver; the tests read what is in a store

	"github.com/latchkey-api/latchkey/integration/harness"
)

// stored is the content of a SQLite store.
type stored struct {
	integrity string
	rows      map[string][]string // by table, in the order in which they were written
}

// instancesOwn are tables about running instances, and counters.
var instancesOwn = []string{"instances", "fleet", "sqlite_sequence"}

// readStore reads the store at path. SQLite may change the files beside it, so a store that is needed later is copied first.
func readStore(t *testing.T, path string) stored {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	s := stored{rows: map[string][]string{}}
	problems, err := rowsOf(db, "PRAGMA integrity_check")
	broken, err2 := rowsOf(db, "PRAGMA foreign_key_check")
	if s.integrity = strings.Join(append(problems, broken...), "; "); errors.Join(err, err2) != nil {
		s.integrity = errors.Join(err, err2).Error()
	}
	tables, err := rowsOf(db, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
	if err != nil && s.integrity == "ok" {
		s.integrity = err.Error()
	}
	for _, table := range tables {
		if s.rows[table], err = rowsOf(db, "SELECT * FROM "+table+" ORDER BY rowid"); err != nil && s.integrity == "ok" { //nolint:unqueryvet // every column there is
			s.integrity = err.Error()
		}
	}
	return s
}

// rowsOf is one text for each row.
func rowsOf(db *sql.DB, query string) (texts []string, err error) {
	rows, err := db.Query(query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return texts, err
		}
		text := make([]string, len(values))
		for i, value := range values {
			text[i] = fmt.Sprint(value)
		}
		texts = append(texts, strings.Join(text, "|"))
	}
	return texts, rows.Err()
}

// isSame demands the rows of another store.
func (s stored) isSame(found *faultsFound, want stored) {
	if s.integrity != "ok" {
		found.add("integrity: %.200s", s.integrity)
	}
	for table := range want.rows {
		if !slices.Contains(instancesOwn, table) {
			s.hasRows(found, table, want.rows[table])
		}
	}
}

// isRestored demands the rows of a backup, and the keys, their version and the audit of the store before it.
func (s stored) isRestored(found *faultsFound, saved, before stored) {
	want := stored{rows: map[string][]string{}}
	for table := range saved.rows {
		want.rows[table] = saved.rows[table]
	}
	for _, table := range []string{"keys", "key_version", "audit"} {
		want.rows[table] = before.rows[table]
	}
	audit := s.rows["audit"]
	if last := len(audit) - 1; last >= 0 && strings.Contains(audit[last], "|restore|") {
		s.rows["audit"] = audit[:last]
	} else {
		found.add("the audit does not end with the restore")
	}
	s.isSame(found, want)
}

func (s stored) hasRows(found *faultsFound, table string, want []string) {
	got := s.rows[table]
	if slices.Equal(got, want) {
		return
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			found.add("%s: %d rows, want %d; they differ from row %d on", table, len(got), len(want), i)
			return
		}
	}
}

// revokedBetween are the keys that were revoked between two states of a store.
func revokedBetween(early, late stored) []string {
	var ids []string
	enabled := map[string]bool{}
	for _, row := range early.rows["keys"] {
		enabled[strings.Split(row, "|")[1]] = strings.Contains(row, "|enabled|")
	}
	for _, row := range late.rows["keys"] {
		if id := strings.Split(row, "|")[1]; enabled[id] && strings.Contains(row, "|revoked|") {
			ids = append(ids, id)
		}
	}
	return ids
}

// addAccounts writes accounts into a store that no server uses.
func addAccounts(t *testing.T, path string, n int) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const insert = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
		INSERT INTO accounts (id, username, email, first_name, last_name, avatar_url)
		SELECT 'many-' || i, 'many-' || i, i || '@example.com', 'First', 'Last', 'https://example.com/' || i FROM n`
	if _, err := db.Exec(insert, n); err != nil {
		t.Fatal(err)
	}
}

// copyOf copies the store at path, with its log, to a folder of its own.
func copyOf(t *testing.T, path string) string {
	t.Helper()
	dir := t.TempDir()
	for _, suffix := range []string{"", "-wal", "-journal"} {
		text, err := os.ReadFile(path + suffix)
		if errors.Is(err, fs.ErrNotExist) && suffix != "" {
			continue
		}
		if err := errors.Join(err, os.WriteFile(filepath.Join(dir, filepath.Base(path)+suffix), text, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, filepath.Base(path))
}

// copyFolder copies the files of a folder to one of its own.
func copyFolder(t *testing.T, from string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range harness.ReadFolder(t, from) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
