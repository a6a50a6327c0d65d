package store_test

import (
	"crypto/rand"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

// alterDatabase changes a default of new sessions.
func alterDatabase(t *testing.T, databaseURL, setting string) {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	execute(t, rawPostgres(t, postgresURL(t).String()), "ALTER DATABASE "+strings.TrimPrefix(u.Path, "/")+" SET "+setting)
}

// A single statement is a transaction, too. A serializable one can fail to read because of concurrent writes.
func TestPostgresIsolationOfEveryTransaction(t *testing.T) {
	databaseURL := newDatabase(t)
	alterDatabase(t, databaseURL, "default_transaction_isolation = 'serializable'")
	s := openURL(t, databaseURL)
	if _, err := s.CreateKey(t.Context(), newKey("E1"), keys.Event{}); err != nil {
		t.Fatal(err)
	}
	// Who asks the store's clock is asked for the isolation.
	execute(t, rawPostgres(t, databaseURL), `
		CREATE FUNCTION checked() RETURNS BIGINT LANGUAGE plpgsql AS $$ BEGIN
			IF current_setting('transaction_isolation') <> 'read committed' THEN
				RAISE EXCEPTION 'the isolation is %', current_setting('transaction_isolation');
			END IF;
			RETURN 1;
		END $$;
		CREATE OR REPLACE VIEW store_clock AS SELECT checked() AS micros, 0::BIGINT AS began`)
	if changes, err := s.KeyChanges(t.Context(), 0, 1000); err != nil || len(changes.Keys) != 1 {
		t.Errorf("a read: %+v, %v", changes, err)
	}
	if _, err := s.ChangeKey(t.Context(), "E1", keys.Event{}, revoke); err != nil {
		t.Errorf("a transaction: %v", err)
	}
}

func TestPostgresTextsAreUTF8WhateverIsAskedFor(t *testing.T) {
	databaseURL := newDatabase(t)
	byURL := openURL(t, databaseURL+"&client_encoding=latin1")
	alterDatabase(t, databaseURL, "client_encoding = 'latin1'")
	byDatabase := openURL(t, databaseURL)
	other := rawPostgres(t, databaseURL+"&client_encoding=UTF8")
	const name = "Zoë €"
	for what, s := range map[string]*store.Store{"by the URL": byURL, "by the database": byDatabase} {
		a, err := s.CreateAccount(t.Context(), store.Account{Username: rand.Text(), FirstName: name})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		var kept string
		if err := other.QueryRow("SELECT first_name FROM accounts WHERE id = $1", a.ID).Scan(&kept); err != nil || kept != name {
			t.Errorf("%s: kept as %q, %v", what, kept, err)
		}
		if read, err := s.AccountByID(t.Context(), a.ID); err != nil || read.FirstName != name {
			t.Errorf("%s: read as %q, %v", what, read.FirstName, err)
		}
	}
}

// Sessions that began while the database was read-only stay read-only.
func TestPostgresWritesAgainAfterReadOnly(t *testing.T) {
	t.Parallel()
	databaseURL := newDatabase(t)
	s := openURL(t, databaseURL)
	register := func() error {
		_, err := s.CreateAccount(t.Context(), store.Account{Username: rand.Text()})
		return err
	}
	// together counts how many of as many as there are connections fail.
	together := func(do func() error) (failed int) {
		errs := make(chan error, 16)
		var all sync.WaitGroup
		for range cap(errs) {
			all.Go(func() { errs <- do() })
		}
		all.Wait()
		for range cap(errs) {
			if <-errs != nil {
				failed++
			}
		}
		return failed
	}
	alterDatabase(t, databaseURL, "default_transaction_read_only = on")
	execute(t, rawPostgres(t, databaseURL), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	until(t, "every connection is a new one", func() bool {
		return together(func() error { _, err := s.HasKeys(t.Context()); return err }) == 0
	})
	isCode(t, "while it is read-only", register(), fault.Unavailable)
	alterDatabase(t, databaseURL, "default_transaction_read_only = off")
	until(t, "every connection writes", func() bool { return together(register) == 0 })
}
