package keys_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
)

// breaking is a store that tells of changes, but whose connection for that is lost as soon as it is made.
type breaking struct {
	keys.Store

	calls chan time.Time
}

func (b *breaking) Listen(_ context.Context, heard func()) error {
	heard()
	b.calls <- time.Now()
	return fault.Wrap(fault.Unavailable, errors.New("lost"))
}

func TestWhoCannotListenAsksLessAndLessOften(t *testing.T) {
	store := &breaking{openStore(t), make(chan time.Time, 1000)}
	during(t, newRing(t, store), func() {
		first := <-store.calls
		var last time.Time
		for range 4 {
			last = <-store.calls
		}
		// The shortest pauses, were each twice the one before; were they all like the first, it could be 0.2 s.
		if least := 750 * time.Millisecond; last.Sub(first) < least {
			t.Errorf("listened five times within %v, want at least %v", last.Sub(first), least)
		}
	})
}

// An instance that is far behind takes the new version over, and not each of the changes up to it.
func TestAnInstanceFarBehindForgetsWhatItHolds(t *testing.T) {
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
		t.Error("what was held is not stale")
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
	// From then on it has caught up: the next change is one.
	most = 0
	revoke(t, admin, kept.ID)
	poll(t, ring)
	wantCall(t, ring, kept.ID, fault.APITokenIncorrect)
	if most != 1 {
		t.Errorf("after one change a poll read %d keys", most)
	}
}

// counted is a store that tells what a poll was answered, and in which somebody else tells of changes.
type counted struct {
	keys.Store

	polled func(keys.Changes)
	tell   func(ctx context.Context, heard func())
}

func (c *counted) KeyChanges(ctx context.Context, since int64, most int) (keys.Changes, error) {
	changes, err := c.Store.KeyChanges(ctx, since, most)
	c.polled(changes)
	return changes, err
}

func (c *counted) Listen(ctx context.Context, heard func()) error {
	c.tell(ctx, heard)
	return nil
}

// Anybody in the database can tell of changes, and as often as he likes.
func TestAFloodOfNewsIsNoFloodOfPolls(t *testing.T) {
	const enough = 40
	var polls atomic.Int64
	store := &counted{
		Store:  openStore(t),
		polled: func(keys.Changes) { polls.Add(1) },
		tell: func(ctx context.Context, heard func()) {
			for ctx.Err() == nil {
				heard()
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
