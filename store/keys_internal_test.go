package store

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
)

func record(id string) keys.Record {
	return keys.Record{ID: id, State: keys.Enabled, Material: []byte{1}, CreatedAt: time.UnixMicro(1).UTC()}
}

// keyWrites are all changes of keys: create E2; revoke E1, or rotate it to E2, for which it must exist.
func keyWrites(s *Store) map[string]func(context.Context) error {
	event := keys.Event{At: time.UnixMicro(1), Target: "E1", Count: 1}
	return map[string]func(context.Context) error{
		"create": func(ctx context.Context) error {
			_, err := s.CreateKey(ctx, record("E2"), event)
			return err
		},
		"change": func(ctx context.Context) error {
			_, err := s.ChangeKey(ctx, "E1", event, func(r *keys.Record) (bool, error) {
				r.State = keys.Revoked
				return true, nil
			})
			return err
		},
		"rotate": func(ctx context.Context) error {
			_, _, err := s.RotateKey(ctx, "E1", event, func(r *keys.Record) (keys.Record, error) {
				r.State = keys.Revoked
				return record("E2"), nil
			})
			return err
		},
	}
}

func TestKeyChangesAndTheirEventsAreOneWrite(t *testing.T) {
	tests := []struct {
		name  string
		spoil string // run on the one connection that writes
		want  fault.Code
	}{
		{
			"the event fails",
			"CREATE TRIGGER t BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'UNIQUE'); END", fault.Internal,
		},
		{
			"the key fails",
			`CREATE TRIGGER t AFTER INSERT ON keys BEGIN SELECT RAISE(ABORT, 'no'); END;
			CREATE TRIGGER u AFTER UPDATE OF state ON keys BEGIN SELECT RAISE(ABORT, 'no'); END`, fault.Internal,
		},
		{"the version is lost", "DELETE FROM key_version", fault.Internal},
		{"nothing can be written", "PRAGMA query_only = ON", fault.Unavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := openTemp(t)
			before, err := s.CreateKey(t.Context(), record("E1"), keys.Event{Target: "E1"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.db.write.ExecContext(t.Context(), tt.spoil); err != nil {
				t.Fatal(err)
			}
			for name, write := range keyWrites(s) {
				if err := write(t.Context()); err == nil || fault.CodeOf(err) != tt.want {
					t.Errorf("%s: got %v, want %v", name, err, tt.want)
				}
			}
			after, err := s.Key(t.Context(), "E1")
			if err != nil || after.State != before.State || after.RotatedTo != "" || after.Version != before.Version {
				t.Errorf("the key is %+v, %v, want %+v", after, err, before)
			}
			if _, err := s.Key(t.Context(), "E2"); fault.CodeOf(err) != fault.NotFound {
				t.Errorf("the other key: %v", err)
			}
			if events, _, err := s.Audit(t.Context(), AuditFilter{}, Page{Size: 9}); err != nil || len(events) != 1 {
				t.Errorf("the audit has %v, %v", events, err)
			}
			changes, err := s.KeyChanges(t.Context(), 0, 1000)
			version := changes.Version
			if tt.name == "the version is lost" {
				if err == nil || fault.CodeOf(err) != fault.Internal {
					t.Errorf("changes since 0: version %d, %v", version, err)
				}
			} else if err != nil || version != before.Version {
				t.Errorf("the version is %d, %v, want %d", version, err, before.Version)
			}
		})
	}
}

func TestAuditIsAppendOnly(t *testing.T) {
	s := openTemp(t)
	want := keys.Event{At: time.UnixMicro(1).UTC(), Actor: keys.Actor{Key: "cli"}, Action: keys.ActionRevoke, Target: "E1", Count: 1}
	if err := s.AppendEvents(t.Context(), []keys.Event{want}); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"UPDATE audit SET actor = 'other'", "UPDATE audit SET count = count", "UPDATE audit SET seq = 9"} {
		_, err := s.db.write.ExecContext(t.Context(), statement)
		if err == nil || !strings.Contains(err.Error(), "never changed") {
			t.Errorf("%s: %v", statement, err)
		}
	}
	if got, _, err := s.Audit(t.Context(), AuditFilter{}, Page{Size: 9}); err != nil || len(got) != 1 || got[0] != want {
		t.Errorf("the audit has %+v, %v", got, err)
	}
}

// The index of a list's order must contain its filters: rows that are read and left out cost more with every row that others add.
// TestListPlansNeitherScanNorSort checks all lists, this test their filters.
func TestListIndexes(t *testing.T) {
	s := openTemp(t)
	tests := map[string]struct {
		query string
		args  int
		want  []string
	}{
		"a key":             {selectKey, 1, []string{"sqlite_autoindex_keys_1 (id=?)"}},
		"some keys":         {selectKeysByID, 1, []string{"sqlite_autoindex_keys_1 (id=?)"}},
		"changes":           {selectKeyChanges, 2, []string{"keys_by_version (version>?)"}},
		"all keys":          {selectKeys.sqlite, 2, []string{"PRIMARY KEY (rowid>?)"}},
		"of a client":       {selectKeysOfClient.sqlite, 3, []string{"keys_of_client (client=? AND seq>?)"}},
		"in a state":        {selectKeysInState.sqlite, 3, []string{"keys_in_state (state=? AND seq>?)"}},
		"of both":           {selectKeysOfClientInState.sqlite, 4, []string{"(client=? AND state=? AND seq>?)"}},
		"audit":             {selectEvents.sqlite, 2, []string{"PRIMARY KEY (rowid>?)"}},
		"audit since":       {selectEventsSince.sqlite, 3, []string{"audit_by_time (at=? AND rowid>?)", "audit_by_time (at>?)"}},
		"audit of a key":    {selectEventsOf.sqlite, 3, []string{"(target=? AND seq>?)", "(actor=? AND seq>?)"}},
		"audit too old":     {deleteEvents, 2, []string{"audit_by_time (at<?)", "PRIMARY KEY (rowid=?)"}},
		"of a user's lists": {selectStoryspaces.sqlite, 3, []string{"storyspaces_of_account (account_id=? AND seq>?)"}},
		"audit of a key since": {selectEventsOfSince.sqlite, 4, []string{
			"(target=? AND at=? AND seq>?)", "(target=? AND at>?)", "(actor=? AND at=? AND seq>?)", "(actor=? AND at>?)",
		}},
	}
	for name, tt := range tests {
		rows, err := s.db.write.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+tt.query, []any{"1", 2, 3, 4}[:tt.args]...)
		if err != nil {
			t.Fatal(name, err)
		}
		var plan strings.Builder
		for rows.Next() {
			var id, parent, unused int
			var step string
			if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
				t.Fatal(err)
			}
			plan.WriteString(step + "\n")
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		for _, want := range tt.want {
			if !strings.Contains(plan.String(), want) {
				t.Errorf("%s: %q is not in the plan\n%s", name, want, &plan)
			}
		}
	}
}

// Each start reads the keys that need the master key: maybe a few among millions.
func TestSealedKeysUseTheirIndex(t *testing.T) {
	s := openTemp(t)
	var id, parent, unused int
	var plan string
	row := s.db.write.QueryRowContext(t.Context(), "EXPLAIN QUERY PLAN "+selectSealedInUse, 5)
	if err := row.Scan(&id, &parent, &unused, &plan); err != nil || !strings.Contains(plan, "USING INDEX keys_sealed") {
		t.Errorf("the plan is %q, %v", plan, err)
	}
}
