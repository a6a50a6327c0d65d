package keys_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

// breaking is a store whose connection for notifications is lost as soon as it is made.
type breaking struct {
	keys.Store

	calls chan time.Time
}

func (b *breaking) Listen(_ context.Context, notified func()) error {
	notified()
	b.calls <- time.Now()
	return fault.Wrap(fault.Unavailable, errors.New("lost"))
}

func TestListenBacksOff(t *testing.T) {
	store := &breaking{openStore(t), make(chan time.Time, 1000)}
	during(t, newRing(t, store), func() {
		first := <-store.calls
		var last time.Time
		for range 4 {
			last = <-store.calls
		}
		// The shortest pauses of an exponential backoff. Without it, the sum could be 0.2 s.
		if least := 750 * time.Millisecond; last.Sub(first) < least {
			t.Errorf("listened five times within %v, want at least %v", last.Sub(first), least)
		}
	})
}

// An instance that is far behind takes over the version without reading the changes.
func TestPollFarBehindEmptiesCache(t *testing.T) {
	const many = 1001
	s := openStore(t)
	most := 0
	bounded := &counted{Store: s, polled: func(changes keys.Changes) { most = max(most, len(changes.Keys)) }}
	ring, admin := newRing(t, bounded), newRing(t, s)
	poll(t, ring)
	kept, _ := create(t, admin)
	record, _ := create(t, admin)
	poll(t, ring)
	for _, id := range []string{kept.ID, record.ID} {
		if err := call(ring, id); err != nil {
			t.Fatal(err)
		}
	}
	held, _ := ring.Find(record.ID)
	wantCall(t, ring, "E0123456789a", fault.KeyNotAcceptable)
	revoke(t, admin, record.ID)
	for i := range many - 1 {
		r := kept
		if r.ID = fmt.Sprintf("E%011d", i); i == 0 {
			r.ID = "E0123456789a"
		}
		if _, err := s.CreateKey(t.Context(), r, keys.Event{}); err != nil {
			t.Fatal(err)
		}
	}
	poll(t, ring)
	if !held.Stale() {
		t.Error("the cached key is not stale")
	}
	wantCall(t, ring, record.ID, fault.APITokenIncorrect)
	for _, id := range []string{kept.ID, "E0123456789a"} {
		if err := call(ring, id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	if most > 1000 {
		t.Errorf("a poll read %d keys", most)
	}
	// Then it has caught up, and the next poll reads one change.
	most = 0
	revoke(t, admin, kept.ID)
	poll(t, ring)
	wantCall(t, ring, kept.ID, fault.APITokenIncorrect)
	if most != 1 {
		t.Errorf("after one change a poll read %d keys", most)
	}
}

// counted is a store that shows the answers to polls, and whose notifications come from the test.
type counted struct {
	keys.Store

	polled func(keys.Changes)
	notify func(ctx context.Context, notified func())
}

func (c *counted) KeyChanges(ctx context.Context, since int64, most int) (keys.Changes, error) {
	changes, err := c.Store.KeyChanges(ctx, since, most)
	c.polled(changes)
	return changes, err
}

func (c *counted) Listen(ctx context.Context, notified func()) error {
	c.notify(ctx, notified)
	return nil
}

// Everybody who has access to the database can notify, as often as they like.
func TestPollIntervalUnderNotifications(t *testing.T) {
	const enough = 40
	var polls atomic.Int64
	store := &counted{
		Store:  openStore(t),
		polled: func(keys.Changes) { polls.Add(1) },
		notify: func(ctx context.Context, notified func()) {
			for ctx.Err() == nil {
				notified()
			}
		},
	}
	var took time.Duration
	during(t, newRing(t, store), func() {
		began, before := time.Now(), polls.Load()
		within(t, 60*time.Second, "it polls", func() bool { return polls.Load()-before >= enough })
		took = time.Since(began)
	})
	if least := (enough - 2) * 25 * time.Millisecond; took < least {
		t.Errorf("%d polls within %v, want at least %v", enough, took, least)
	}
}

// replaced is a store whose server can be replaced.
type replaced struct {
	keys.Store

	began time.Time
}

func (r *replaced) KeyChanges(ctx context.Context, since int64, most int) (keys.Changes, error) {
	changes, err := r.Store.KeyChanges(ctx, since, most)
	changes.ServerStarted = r.began
	return changes, err
}

// The store loses its last changes, as after a restore or a failover to a server that was behind. Then it gives their versions
// to other changes, in one case before this instance polls again.
func TestPollAfterServerIsReplaced(t *testing.T) {
	for name, pollsBetween := range map[string]bool{"polled before new changes": true, "polled after new changes": false} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "latchkey.db")
			s, err := store.Open(context.Background(), store.Options{URL: "sqlite:" + file, Environment: "development"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			server := &replaced{s, time.Unix(1, 0)}
			ring, admin := newRing(t, server), newRing(t, s)
			record, _ := create(t, admin)
			for _, state := range []keys.State{keys.Disabled, keys.Enabled} { // the changes that will be lost
				if _, err := admin.SetState(t.Context(), cli(), record.ID, state); err != nil {
					t.Fatal(err)
				}
			}
			poll(t, ring)
			if err := call(ring, record.ID); err != nil {
				t.Fatal(err)
			}

			other, err := sql.Open("sqlite", file)
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			if _, err := other.Exec("UPDATE keys SET version = 1; UPDATE key_version SET value = 1"); err != nil {
				t.Fatal(err)
			}
			if pollsBetween {
				poll(t, ring)
			} else {
				server.began = time.Unix(2, 0)
			}
			revoke(t, admin, record.ID)
			create(t, admin)
			poll(t, ring)
			wantCall(t, ring, record.ID, fault.APITokenIncorrect)
		})
	}
}

func TestRevokeReachesRunningInstance(t *testing.T) {
	s := openStore(t)
	admin, ring := newRing(t, s), newRing(t, s)
	during(t, ring, func() {
		for range 5 {
			record, _ := create(t, admin)
			within(t, time.Second, "the new key is accepted", func() bool { return call(ring, record.ID) == nil })
			if _, err := admin.SetState(t.Context(), cli(), record.ID, keys.Revoked); err != nil {
				t.Fatal(err)
			}
			within(t, time.Second, "the revoked key is refused", func() bool { return call(ring, record.ID) != nil })
		}
	})
}

func TestPollAppliesChanges(t *testing.T) {
	s := openStore(t)
	admin, ring := newRing(t, s), newRing(t, s)
	poll(t, ring)
	record, _ := create(t, admin)
	if err := call(ring, record.ID); err != nil {
		t.Fatal(err)
	}
	held, _ := ring.Find(record.ID)
	if _, err := admin.SetState(t.Context(), cli(), record.ID, keys.Revoked); err != nil {
		t.Fatal(err)
	}
	poll(t, ring)
	if !held.Stale() {
		t.Error("the old state is not stale")
	}
	if _, err := ring.Admit(held); fault.CodeOf(err) != fault.APITokenIncorrect || err == nil {
		t.Errorf("a request with the old state: %v", err)
	}
	wantCall(t, ring, record.ID, fault.APITokenIncorrect)
}

func TestPollOldChangeKeepsNewerOne(t *testing.T) {
	s := openStore(t)
	ring, admin := newRing(t, s), newRing(t, s)
	poll(t, ring)
	record, _ := create(t, admin)
	poll(t, ring)
	if err := call(ring, record.ID); err != nil {
		t.Fatal(err)
	}
	for _, state := range []keys.State{keys.Disabled, keys.Enabled} {
		if _, err := admin.SetState(t.Context(), cli(), record.ID, state); err != nil {
			t.Fatal(err)
		}
	}
	// This process revokes the key after the poll has read that it is enabled.
	s.afterChanges = func() { revoke(t, ring, record.ID) }
	poll(t, ring)
	s.afterChanges = nil
	wantCall(t, ring, record.ID, fault.APITokenIncorrect)
}
