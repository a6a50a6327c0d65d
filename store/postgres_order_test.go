package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

// A row that has its number but is not committed yet must delay later rows of the same list, and no others. Otherwise a reader
// would pass it and never see it.
func TestListRowsBecomeVisibleInTheirOrder(t *testing.T) {
	databaseURL := newDatabase(t)
	s := openURL(t, databaseURL)
	if err := s.InsertDemo(t.Context()); err != nil {
		t.Fatal(err)
	}
	event := keys.Event{Target: "E1"}
	storyspace := func(ctx context.Context, username string) error {
		_, err := s.CreateStoryspace(ctx, username, "later")
		return err
	}
	tests := []struct {
		name, insert string
		waits, goes  func(context.Context) error
	}{
		{
			"storyspaces of a user", "INSERT INTO storyspaces (id, account_id, name) VALUES ('x', '2112', 'first')",
			func(ctx context.Context) error { return storyspace(ctx, "stevenm") },
			func(ctx context.Context) error { return storyspace(ctx, "foobar") },
		},
		{
			"the audit", `INSERT INTO audit (at, actor, request_id, address, action, target, count)
				VALUES (1, '', '', '', '', 'E0', 1)`,
			func(ctx context.Context) error { return s.AppendEvents(ctx, []keys.Event{event}) },
			func(ctx context.Context) error { return storyspace(ctx, "stevenm") },
		},
		{
			"keys", "UPDATE key_version SET value = value + 1",
			func(ctx context.Context) error { _, err := s.CreateKey(ctx, newKey("E1"), event); return err },
			func(ctx context.Context) error { return storyspace(ctx, "stevenm") },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tx, err := rawPostgres(t, databaseURL).Begin()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(tt.insert); err != nil {
				t.Fatal(err)
			}
			soon, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			isCode(t, "the next row of the list", tt.waits(soon), fault.Unavailable)
			if err := tt.goes(t.Context()); err != nil {
				t.Errorf("a row of another list: %v", err)
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			if err := tt.waits(t.Context()); err != nil {
				t.Errorf("the next row afterwards: %v", err)
			}
		})
	}
}

func TestRetryOfADisturbedTransaction(t *testing.T) {
	for _, state := range []string{"40001", "40P01"} {
		databaseURL := newDatabase(t)
		s := openURL(t, databaseURL)
		if _, err := s.CreateKey(t.Context(), newKey("E1"), keys.Event{}); err != nil {
			t.Fatal(err)
		}
		other := rawPostgres(t, databaseURL)
		// A sequence counts what is rolled back, too.
		disturb := func(times int) {
			t.Helper()
			statements := fmt.Sprintf(`DROP SEQUENCE IF EXISTS tries CASCADE; CREATE SEQUENCE tries;
				CREATE OR REPLACE FUNCTION disturb() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
					IF nextval('tries') <= %d THEN RAISE EXCEPTION 'disturbed' USING ERRCODE = '%s'; END IF;
					RETURN NEW;
				END $$;
				CREATE OR REPLACE TRIGGER a BEFORE INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION disturb();
				CREATE OR REPLACE TRIGGER k BEFORE UPDATE ON keys FOR EACH ROW EXECUTE FUNCTION disturb()`, times, state)
			if _, err := other.Exec(statements); err != nil {
				t.Fatal(err)
			}
		}
		tried := func() (n int) {
			t.Helper()
			if err := other.QueryRow("SELECT last_value FROM tries").Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		disturb(3)
		if _, err := s.CreateAccount(t.Context(), store.Account{Username: "ada"}); err != nil || tried() != 4 {
			t.Errorf("%s: a statement: %v after %d tries", state, err, tried())
		}
		disturb(3)
		calls := 0
		changed, err := s.ChangeKey(t.Context(), "E1", keys.Event{}, func(r *keys.Record) (bool, error) {
			calls++
			r.Material = append(r.Material, 2)
			return true, nil
		})
		if err != nil || tried() != 4 || calls != 4 || len(changed.Material) != 2 || changed.Version != 2 {
			t.Errorf("%s: a transaction: %v after %d tries and %d calls gives %+v", state, err, tried(), calls, changed)
		}
		disturb(1000)
		_, err = s.CreateAccount(t.Context(), store.Account{Username: "ben"})
		isCode(t, "a statement that is always disturbed", err, fault.Unavailable)
		if n := tried(); n < 3 || n > 20 {
			t.Errorf("%s: %d tries", state, n)
		}
	}
}

// Another program locks the same rows in another order.
func TestRetryOfADeadlock(t *testing.T) {
	databaseURL := newDatabase(t)
	alterDatabase(t, databaseURL, "deadlock_timeout = '10ms'")
	s := openURL(t, databaseURL)
	if _, err := s.CreateKey(t.Context(), newKey("E1"), keys.Event{}); err != nil {
		t.Fatal(err)
	}
	other := rawPostgres(t, databaseURL)
	if _, err := other.Exec("SET deadlock_timeout = '1h'"); err != nil { // so that not this one is ended
		t.Fatal(err)
	}
	tx, err := other.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("UPDATE keys SET client = 'other' WHERE id = 'E1'"); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	third := rawPostgres(t, databaseURL)
	calls := 0
	changed, err := s.ChangeKey(t.Context(), "E1", keys.Event{}, func(r *keys.Record) (bool, error) {
		if calls++; calls == 1 {
			go func() {
				_, err := tx.Exec("UPDATE key_version SET value = value")
				ended <- errors.Join(err, tx.Commit())
			}()
			until(t, "the other program waits", func() bool {
				var waiting bool
				const ask = `SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`
				return third.QueryRow(ask).Scan(&waiting) == nil && waiting
			})
		}
		return revoke(r)
	})
	if err != nil || calls != 2 || changed.State != keys.Revoked || changed.Client != "other" {
		t.Errorf("%v after %d calls gives %+v", err, calls, changed)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestKeyChangesDoNotWaitForResources(t *testing.T) {
	s := openURL(t, newDatabase(t))
	if _, err := s.CreateKey(t.Context(), newKey("E1"), keys.Event{}); err != nil {
		t.Fatal(err)
	}
	free := s.OccupyWriters()
	defer free()
	soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := s.CreateAccount(soon, store.Account{Username: "ada"})
	isCode(t, "a resource", err, fault.Unavailable)
	for _, call := range []string{"create", "change", "rotate", "beat", "divide", "leave"} {
		if err := keyCalls(s)[call](t.Context()); err != nil {
			t.Errorf("%s: %v", call, err)
		}
	}
}
