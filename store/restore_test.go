package store_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

var restoring = keys.Event{At: time.UnixMicro(7).UTC(), Actor: keys.Actor{Key: "cli"}, Action: keys.ActionRestore, Count: 1}

func restore(t *testing.T, file, backup string, revive bool) (store.Restored, error) {
	t.Helper()
	event := restoring
	if revive {
		event.Action = keys.ActionRevive
	}
	return store.Restore(t.Context(), options(file), store.Backed{File: backup, Revive: revive, Event: event})
}

func restored(t *testing.T, file, backup string, revive bool) store.Restored {
	t.Helper()
	done, err := restore(t, file, backup, revive)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// twoStores are a store and a backup of it, and what the store became after the backup: it has another account and another
// key, one key was revoked, and one rotated.
func twoStores(t *testing.T) (file, backup string) {
	t.Helper()
	file, backup = newFile(t), filepath.Join(t.TempDir(), "backup.db")
	s, err := store.Open(t.Context(), serving(file))
	if err != nil {
		t.Fatal(err)
	}
	made := keys.Event{Action: keys.ActionCreate, Count: 1}
	create(t, s, "ada")
	for _, id := range []string{"revoked", "rotated", "narrowed"} {
		if _, err := s.CreateKey(t.Context(), newKey(id), made); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Heartbeat(t.Context(), "dead", 1, time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := store.Backup(t.Context(), options(file), backup); err != nil {
		t.Fatal(err)
	}
	create(t, s, "late")
	if _, err := s.CreateKey(t.Context(), newKey("late"), made); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ChangeKey(t.Context(), "revoked", keys.Event{Action: keys.ActionRevoke, Target: "revoked", Count: 1}, revoke); err != nil {
		t.Fatal(err)
	}
	_, _, err = s.RotateKey(t.Context(), "rotated", keys.Event{Action: keys.ActionRotate, Count: 1}, func(old *keys.Record) (keys.Record, error) {
		old.ExpiresAt = time.UnixMicro(2).UTC()
		return newKey("successor"), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	closeNow(t, s)
	tamper(t, file, "UPDATE keys SET scopes = 'accounts:read', last_used_at = 5 WHERE id = 'narrowed'")
	return file, backup
}

func create(t *testing.T, s *store.Store, username string) {
	t.Helper()
	if _, err := s.CreateAccount(t.Context(), store.Account{Username: username}); err != nil {
		t.Fatal(err)
	}
}

// texts are the values of a query of one column.
func texts(t *testing.T, file, query string) []string {
	t.Helper()
	db := rawSQLite(t, file)
	defer db.Close()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	found := []string{}
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		found = append(found, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

const (
	everyKey     = `SELECT json_array(seq, id, scopes, state, rotated_to, rotated_from, expires_at, last_used_at, version) FROM keys ORDER BY seq`
	everyRow     = `SELECT json_array(seq, at, actor, action, target, count) FROM audit ORDER BY seq`
	everyAccount = `SELECT username FROM accounts ORDER BY seq`
	integrity    = `SELECT integrity_check FROM pragma_integrity_check`
)

func isOne(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestRestoreKeepsTheKeysAndTheAudit(t *testing.T) {
	file, backup := twoStores(t)
	theKeys, rows := texts(t, file, everyKey), texts(t, file, everyRow)
	version := texts(t, file, "SELECT value FROM key_version")
	before := texts(t, file, "PRAGMA user_version")
	done := restored(t, file, backup, false)
	if len(done.Revived) != 0 || done.LeftOut != 0 || done.Copied || len(done.Migrations) != 0 {
		t.Errorf("it says %+v", done)
	}
	isOne(t, "the accounts", texts(t, file, everyAccount), "ada")
	isOne(t, "the keys", texts(t, file, everyKey), theKeys...)
	isOne(t, "the version", texts(t, file, "SELECT value FROM key_version"), version...)
	isOne(t, "the instances", texts(t, file, "SELECT id FROM instances"))
	isOne(t, "integrity", texts(t, file, integrity), "ok")
	after := texts(t, file, everyRow)
	if len(after) != len(rows)+1 || !slices.Equal(after[:len(rows)], rows) || !strings.Contains(after[len(rows)], `,7,"cli","restore","",1]`) {
		t.Errorf("the audit was %q, and is %q", rows, after)
	}
	if slices.Equal(texts(t, file, "PRAGMA user_version"), before) {
		t.Error("the incarnation is the one before")
	}
	if left := names(t, filepath.Dir(file)); !slices.Equal(left, []string{"latchkey.db", "latchkey.db-incarnation"}) {
		t.Errorf("left %q", left)
	}
	if header := read(t, file)[18:20]; header[0] != 1 || header[1] != 1 {
		t.Errorf("the store is in the mode of a log: %v", header)
	}
	s, err := store.Open(t.Context(), serving(file))
	if err != nil {
		t.Fatal(err)
	}
	defer closeNow(t, s)
	if made, err := s.CreateKey(t.Context(), newKey("next"), keys.Event{}); err != nil || made.Version <= 6 {
		t.Errorf("the next key has version %d, %v", made.Version, err)
	}
}

// names are the files in a folder, but for the reserve of a server.
func names(t *testing.T, folder string) (all []string) {
	t.Helper()
	found, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range found {
		if !strings.HasSuffix(entry.Name(), "-reserve") {
			all = append(all, entry.Name())
		}
	}
	return all
}

func ids(records []keys.Record) (all []string) {
	for _, r := range records {
		all = append(all, r.ID)
	}
	return all
}

func TestRestoreRevivesKeysOnlyIfAsked(t *testing.T) {
	file, backup := twoStores(t)
	rows := texts(t, file, everyRow)
	theKeys := texts(t, backup, everyKey)
	done := restored(t, file, backup, true)
	// A key that stays accepted is not reported.
	isOne(t, "revived", ids(done.Revived), "revoked", "rotated")
	isOne(t, "the keys", texts(t, file, everyKey), theKeys...)
	isOne(t, "the accounts", texts(t, file, everyAccount), "ada")
	after := texts(t, file, everyRow)
	if len(after) != len(rows)+3 || !slices.Equal(after[:len(rows)], rows) {
		t.Fatalf("the audit was %q, and is %q", rows, after)
	}
	for i, target := range []string{"", "revoked", "rotated"} {
		if !strings.Contains(after[len(rows)+i], `,7,"cli","revive","`+target+`",1]`) {
			t.Errorf("a row is %s", after[len(rows)+i])
		}
	}
	if version := texts(t, file, "SELECT value FROM key_version"); version[0] != "6" {
		t.Errorf("the version fell to %s", version[0])
	}
}

func TestRestoreCountsKeysThatTheStoreNeverHad(t *testing.T) {
	_, backup := twoStores(t)
	fresh := newFile(t)
	s, err := store.Open(t.Context(), serving(fresh))
	if err != nil {
		t.Fatal(err)
	}
	closeNow(t, s)
	if done := restored(t, fresh, backup, false); done.LeftOut != 3 {
		t.Errorf("it says %+v", done)
	}
	isOne(t, "the keys", texts(t, fresh, everyKey))
	// Numbers of rows that the store never had begin where the backup's end.
	isOne(t, "the numbers", texts(t, fresh, "SELECT seq FROM sqlite_sequence WHERE name = 'keys'"), "3")
}

// Without a readable store, only the backup has keys.
func TestRestoreWithoutAReadableStoreNeedsRevive(t *testing.T) {
	everything := func(content []byte) []byte {
		for i := 4 << 10; i < len(content); i++ {
			content[i] = 0xa5
		}
		return content
	}
	tests := []struct {
		name, says string
		spoil      func(t *testing.T, file string)
	}{
		{"no folder", "there is no store at", func(t *testing.T, file string) { removeAll(t, filepath.Dir(file)) }},
		{"no file", "there is no store at", func(t *testing.T, file string) { removeAll(t, file) }},
		{"an empty file", "there is no store at", func(t *testing.T, file string) { write(t, file, "") }},
		{"an empty database", "there is no store at", func(t *testing.T, file string) {
			write(t, file, "")
			tamper(t, file, "PRAGMA user_version = 1; CREATE TABLE gone (a); DROP TABLE gone")
		}},
		{"damaged", "is damaged", func(t *testing.T, file string) { write(t, file, string(everything(read(t, file)))) }},
		{"cut off", "is damaged", func(t *testing.T, file string) { write(t, file, string(read(t, file)[:9000])) }},
		{"no database", "is damaged", func(t *testing.T, file string) { write(t, file, strings.Repeat("text\n", 2000)) }},
		{"a newer major version", `its schema has major version "2"`, func(t *testing.T, file string) {
			tamper(t, file, "UPDATE meta SET value = '2' WHERE name = 'schema_major'")
		}},
		{"a foreign log", "does not belong to the log beside it", func(t *testing.T, file string) {
			copied := filepath.Join(t.TempDir(), "copy.db")
			if err := store.Backup(t.Context(), options(file), copied); err != nil {
				t.Fatal(err)
			}
			killedWhileServing(t, file)
			write(t, file, string(read(t, copied)))
		}},
		{"a journal without its file", "there is no store at", func(t *testing.T, file string) {
			removeAll(t, file)
			write(t, file+"-journal", "a journal")
		}},
		{"a log without its file", "there is no store at", func(t *testing.T, file string) {
			killedWhileServing(t, file)
			removeAll(t, file)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file, backup := twoStores(t)
			tt.spoil(t, file)
			var before map[string]string
			if tt.name != "no folder" {
				before = contents(t, filepath.Dir(file))
			}
			_, err := restore(t, file, backup, false)
			isSentence(t, err, file, tt.says, "--revive")
			if before != nil {
				isSame(t, before, contents(t, filepath.Dir(file)))
			} else if _, err := os.Stat(filepath.Dir(file)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("something was made: %v", err)
			}
			done := restored(t, file, backup, true)
			for _, name := range names(t, filepath.Dir(file)) {
				if name != "latchkey.db" && name != "latchkey.db-incarnation" {
					t.Errorf("%s was left", name)
				}
			}
			isOne(t, "revived", ids(done.Revived), "revoked", "rotated", "narrowed")
			isOne(t, "the accounts", texts(t, file, everyAccount), "ada")
			isOne(t, "integrity", texts(t, file, integrity), "ok")
			s, err := store.Open(t.Context(), serving(file))
			if err != nil {
				t.Fatal(err)
			}
			closeNow(t, s)
		})
	}
}

func removeAll(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func isSame(t *testing.T, before, after map[string]string) {
	t.Helper()
	if len(before) != len(after) {
		t.Errorf("there were %d files, and there are %d", len(before), len(after))
	}
	for name, content := range before {
		if after[name] != content {
			t.Errorf("%s was changed", name)
		}
	}
}

func TestRestoreMigratesAnOldBackup(t *testing.T) {
	file, _ := twoStores(t)
	backup := filepath.Join(t.TempDir(), "old.db")
	write(t, backup, testdata(t, "release-1.db"))
	tamper(t, backup, "UPDATE meta SET value = 'development' WHERE name = 'environment'")
	done := restored(t, file, backup, false)
	if len(done.Migrations) == 0 || !strings.HasPrefix(done.Migrations[0], "00004_") {
		t.Errorf("it says %+v", done)
	}
	isOne(t, "the accounts", texts(t, file, everyAccount), "stevenm", "foobar", "ada")
	isOne(t, "the indexes", texts(t, file, "SELECT name FROM sqlite_schema WHERE name LIKE 'audit_of_%_by_time' ORDER BY name"),
		"audit_of_actor_by_time", "audit_of_target_by_time")
}

// A copy of a stopped server's file can be restored, and is reported as a copy.
func TestRestoreOfACopyOfAStoppedStore(t *testing.T) {
	file, _ := twoStores(t)
	copied := filepath.Join(t.TempDir(), "copy.db")
	write(t, copied, string(read(t, file)))
	s := openAt(t, file)
	create(t, s, "later")
	closeNow(t, s)
	if done := restored(t, file, copied, false); !done.Copied {
		t.Errorf("it says %+v", done)
	}
	isOne(t, "the accounts", texts(t, file, everyAccount), "ada", "late")
	if header := read(t, file)[18:20]; header[0] != 1 || header[1] != 1 {
		t.Errorf("the store is in the mode of a log: %v", header)
	}
}

func TestRestoreFromAReader(t *testing.T) {
	file, backup := twoStores(t)
	content := string(read(t, backup))
	for name, text := range map[string]string{"is empty": "", "is damaged": content[:len(content)-100], "is no SQLite database": "text"} {
		_, err := store.Restore(t.Context(), options(file), store.Backed{Input: strings.NewReader(text), Event: restoring})
		isSentence(t, err, "the backup on standard input "+name)
	}
	if _, err := store.Restore(t.Context(), options(file), store.Backed{Input: strings.NewReader(content), Event: restoring}); err != nil {
		t.Fatal(err)
	}
	isOne(t, "the accounts", texts(t, file, everyAccount), "ada")
}
