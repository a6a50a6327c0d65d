package store_test

import (
	"context"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

func TestOpenExplainsWhyAServerCannotBeUsed(t *testing.T) {
	t.Parallel()
	good, err := url.Parse(newDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	tests := []struct {
		name   string
		change func(u *url.URL)
		says   []string
	}{
		{"nobody listens", func(u *url.URL) { u.Host = "127.0.0.1:" + freePort(t) }, []string{"connection refused"}},
		{"no such host", func(u *url.URL) { u.Host = "no.such.host.invalid:5432" }, []string{"no.such.host.invalid"}},
		{"no answer", func(u *url.URL) { u.Host = silent.Addr().String() }, []string{"does not answer in time"}},
		{"another user", func(u *url.URL) { u.User = url.UserPassword("nobody-here", "hunter2") }, []string{"nobody-here"}},
		{"no such database", func(u *url.URL) { u.Path = "/no-such-database" }, []string{`"no-such-database"`, "does not exist"}},
		{"no schema", func(u *url.URL) { u.RawQuery += "&search_path=nowhere" }, []string{"search_path"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := *good
			if _, given := u.User.Password(); !given {
				u.User = url.UserPassword(u.User.Username(), "hunter2")
			}
			tt.change(&u)
			began := time.Now()
			s, err := store.Open(t.Context(), store.Options{URL: u.String(), Environment: "development"})
			if s != nil {
				t.Fatal("it was opened")
			}
			isSentence(t, err, append(tt.says, "the store", "cannot be opened")...)
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "postgres://") {
				t.Errorf("the URL is shown: %v", err)
			}
			if took := time.Since(began); took > answerTimeout {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestOpenRefusesADatabaseThatCannotHoldTheStore(t *testing.T) {
	latin := newDatabaseWith(t, "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
	_, err := store.Open(t.Context(), store.Options{URL: latin, Environment: "development"})
	isSentence(t, err, "LATIN1", "UTF8")

	others := newDatabase(t)
	execute(t, rawPostgres(t, others), "CREATE TABLE accounts (name TEXT)")
	_, err = store.Open(t.Context(), store.Options{URL: others, Environment: "development"})
	isSentence(t, err, "database of another program")
	var tables int
	const count = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
	if err := rawPostgres(t, others).QueryRow(count).Scan(&tables); err != nil || tables != 1 {
		t.Errorf("%d tables, %v", tables, err)
	}

	closed := newDatabase(t)
	u, err := url.Parse(closed)
	if err != nil {
		t.Fatal(err)
	}
	role := "guest_" + strings.TrimPrefix(u.Path, "/latchkey_")
	admin := rawPostgres(t, postgresURL(t).String())
	if _, err := admin.Exec("CREATE ROLE " + role + " LOGIN PASSWORD 'hunter2'"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := admin.Exec("DROP ROLE " + role); err != nil {
			t.Error(err)
		}
	}()
	execute(t, rawPostgres(t, closed), "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
	u.User = url.UserPassword(role, "hunter2")
	_, err = store.Open(t.Context(), store.Options{URL: u.String(), Environment: "development"})
	isSentence(t, err, "the user "+role+" may not create tables", "public")
}

func TestOpenAndMigrateEndWithTheirContext(t *testing.T) {
	databaseURL := newDatabase(t)
	o := store.Options{URL: databaseURL, Environment: "development"}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := store.Open(canceled, o)
	isSentence(t, err, "context canceled")

	// Another process migrates, and goes on doing so.
	other := rawPostgres(t, databaseURL)
	if _, err := other.Exec("SELECT pg_advisory_lock($1)", int64(0x6c617463686b6579)); err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = store.Open(soon, o)
	isSentence(t, err, "does not answer in time")
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	closeNow(t, openURL(t, databaseURL))
}

func TestBackupOfPostgresNamesTheTool(t *testing.T) {
	file := filepath.Join(t.TempDir(), "copy")
	err := store.Backup(t.Context(), store.Options{URL: "postgres://u:hunter2@127.0.0.1/x", Environment: "development"}, file)
	isSentence(t, err, "pg_dump")
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the password is shown: %v", err)
	}
}

func TestPostgresBeginsNothingAfterTheDeadlineOrTheEnd(t *testing.T) {
	s := openURL(t, newDatabase(t))
	if _, err := s.CreateKey(t.Context(), newKey("E1"), keys.Event{}); err != nil {
		t.Fatal(err)
	}
	past := time.Unix(1, 0)
	ended, cancel := context.WithDeadline(t.Context(), past)
	defer cancel()
	canceled, cancelNow := context.WithCancel(t.Context())
	cancelNow()
	for name, ctx := range map[string]context.Context{
		"ended": ended, "canceled": canceled, "without a timer": timeOnly{t.Context(), past},
	} {
		for call, run := range keyCalls(s) {
			isCode(t, name+": "+call, run(ctx), fault.Unavailable)
		}
	}
	for call, run := range keyCalls(s) {
		if err := run(t.Context()); err != nil && fault.CodeOf(err) != fault.Conflict {
			t.Errorf("%s: %v", call, err)
		}
	}
	closeNow(t, s)
	for call, run := range keyCalls(s) {
		isCode(t, "closed: "+call, run(t.Context()), fault.Unavailable)
	}
	closeNow(t, s)
}
