package store_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

func newKey(id string) keys.Record {
	return keys.Record{ID: id, State: keys.Enabled, Material: []byte{1}, CreatedAt: time.UnixMicro(1).UTC()}
}

func revoke(r *keys.Record) (bool, error) {
	r.State = keys.Revoked
	return true, nil
}

func TestKeysOfALockedOrClosedStore(t *testing.T) {
	past, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()
	// Enough for the reads. One of the writes waits for the lock, and the others wait for it.
	soon, cancelSoon := context.WithTimeout(t.Context(), time.Second)
	defer cancelSoon()
	tests := []struct {
		name  string
		ctx   context.Context
		spoil func(t *testing.T, s *store.Store, file string)
		reads bool // reads work although writes fail
	}{
		{"another process holds the write lock", soon, func(t *testing.T, _ *store.Store, file string) {
			if _, err := rawSQLite(t, file).Exec("BEGIN IMMEDIATE"); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"the store is closed", t.Context(), func(t *testing.T, s *store.Store, _ string) { closeNow(t, s) }, false},
		{"the time is over", past, func(*testing.T, *store.Store, string) {}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := newFile(t)
			s := openAt(t, file)
			if _, err := s.CreateKey(t.Context(), newKey("E1"), keys.Event{}); err != nil {
				t.Fatal(err)
			}
			tt.spoil(t, s, file)
			var wait sync.WaitGroup
			for name, run := range keyCalls(s) {
				wait.Go(func() {
					err := run(tt.ctx)
					if tt.reads && strings.HasPrefix(name, "read ") {
						if err != nil {
							t.Errorf("%s: %v", name, err)
						}
						return
					}
					isCode(t, name, err, fault.Unavailable)
				})
			}
			wait.Wait()
		})
	}
}

// keyCalls are all methods for keys, each with a call that succeeds with a key E1.
func keyCalls(s *store.Store) map[string]func(context.Context) error {
	page := store.Page{Size: 1}
	return map[string]func(context.Context) error{
		"read a key":     func(ctx context.Context) error { _, err := s.Key(ctx, "E1"); return err },
		"read keys":      func(ctx context.Context) error { _, _, err := s.Keys(ctx, store.KeyFilter{}, page); return err },
		"read changes":   func(ctx context.Context) error { _, err := s.KeyChanges(ctx, 0, 1000); return err },
		"read sealed":    func(ctx context.Context) error { _, err := s.SealedKeys(ctx); return err },
		"read in use":    func(ctx context.Context) error { _, err := s.SealedInUse(ctx, 1); return err },
		"read usable":    func(ctx context.Context) error { _, err := s.HasKeys(ctx); return err },
		"read the audit": func(ctx context.Context) error { _, _, err := s.Audit(ctx, store.AuditFilter{}, page); return err },
		"read instances": func(ctx context.Context) error { _, err := s.Instances(ctx, time.Hour); return err },

		"create": func(ctx context.Context) error { _, err := s.CreateKey(ctx, newKey("E2"), keys.Event{}); return err },
		"change": func(ctx context.Context) error { _, err := s.ChangeKey(ctx, "E1", keys.Event{}, revoke); return err },
		"rotate": func(ctx context.Context) error {
			_, _, err := s.RotateKey(ctx, "E1", keys.Event{}, func(*keys.Record) (keys.Record, error) { return newKey("E3"), nil })
			return err
		},
		"touch":  func(ctx context.Context) error { return s.TouchKeys(ctx, map[string]time.Time{"E1": time.Unix(1, 0)}) },
		"append": func(ctx context.Context) error { return s.AppendEvents(ctx, []keys.Event{{}}) },
		"prune":  func(ctx context.Context) error { return s.PruneEvents(ctx, time.Unix(1, 0)) },
		"beat":   func(ctx context.Context) error { _, err := s.Heartbeat(ctx, "one", 1, time.Minute); return err },
		"divide": func(ctx context.Context) error {
			if _, err := s.Heartbeat(ctx, "one", 1, time.Minute); err != nil {
				return err
			}
			return s.UpdateShares(ctx, "one", time.Hour, func(map[string]keys.Instance) (string, bool) { return "", true })
		},
		"leave": func(ctx context.Context) error { return s.Leave(ctx, "one") },
	}
}

func TestKeysCallsSucceed(t *testing.T) {
	for name := range keyCalls(nil) {
		s := openAt(t, newFile(t))
		if _, err := s.CreateKey(t.Context(), newKey("E1"), keys.Event{}); err != nil {
			t.Fatal(err)
		}
		if err := keyCalls(s)[name](t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The command line opens the store while a server runs.
func TestKeysChangedByTwoStoresOnOneFile(t *testing.T) {
	file := newFile(t)
	stores := []*store.Store{openAt(t, file), openAt(t, file)}
	const rounds = 20
	for round := range rounds {
		id := fmt.Sprint("old", round)
		made, err := stores[round%2].CreateKey(t.Context(), newKey(id), keys.Event{Target: id})
		if err != nil {
			t.Fatal(err)
		}
		if made.Version != int64(2*round+1) {
			t.Errorf("version %d in round %d", made.Version, round)
		}
		var wait sync.WaitGroup
		errs := make([]error, len(stores))
		for i, s := range stores {
			wait.Go(func() {
				_, _, errs[i] = s.RotateKey(t.Context(), id, keys.Event{Target: id}, func(*keys.Record) (keys.Record, error) {
					return newKey(fmt.Sprint("new", round, "-", i)), nil
				})
			})
		}
		wait.Wait()
		lost := 0
		if errs[0] == nil {
			lost = 1
		}
		if errs[1-lost] != nil {
			t.Errorf("nobody rotated: %v, %v", errs[0], errs[1])
		}
		isCode(t, "the second rotation", errs[lost], fault.Conflict)
		for _, s := range stores {
			changes, err := s.KeyChanges(t.Context(), made.Version, 1000)
			if err != nil || changes.Version != made.Version+1 || len(changes.Keys) != 2 {
				t.Errorf("version %d and %d changes, %v, want %d and 2", changes.Version, len(changes.Keys), err, made.Version+1)
			}
		}
	}
	if events, _, err := stores[0].Audit(t.Context(), store.AuditFilter{}, store.Page{Size: 200}); err != nil || len(events) != 2*rounds {
		t.Errorf("%d rows of the audit, %v, want %d", len(events), err, 2*rounds)
	}
}
