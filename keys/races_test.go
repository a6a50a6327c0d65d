package keys_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
)

func revoke(t *testing.T, ring *keys.Keyring, id string) {
	t.Helper()
	if _, err := ring.SetState(t.Context(), cli(), id, keys.Revoked); err != nil {
		t.Error(err)
	}
}

func TestWhatWasReadBeforeAChangeIsNotKept(t *testing.T) {
	s := openStore(t)
	ring := newRing(t, s)
	poll(t, ring)
	record, _ := create(t, ring)
	var once sync.Once
	s.afterRead = func() { once.Do(func() { revoke(t, ring, record.ID) }) }
	wantCall(t, ring, record.ID, fault.APITokenIncorrect)
	if got := s.reads.Load(); got != 2 {
		t.Errorf("read %d times, want again after the change", got)
	}
	s.afterRead = nil
	wantCall(t, ring, record.ID, fault.APITokenIncorrect)
}

func TestWhatCannotBeKeptIsUsedOnce(t *testing.T) {
	s := openStore(t)
	ring := newRing(t, s)
	poll(t, ring)
	record, _ := create(t, ring)
	other, _ := create(t, ring)
	states := []keys.State{keys.Disabled, keys.Enabled}
	n := 0
	s.afterRead = func() { // something changes each time
		n++
		if _, err := ring.SetState(t.Context(), cli(), other.ID, states[n%2]); err != nil {
			t.Error(err)
		}
	}
	key, err := ring.Find(record.ID)
	if err != nil || !key.Stale() {
		t.Fatalf("read while everything changes: %v, stale %v", err, key.Stale())
	}
	s.afterRead = nil
	if err := call(ring, record.ID); err != nil {
		t.Error(err)
	}
}

func TestWhatWasReadBeforeTheFirstPollIsForgotten(t *testing.T) {
	s := openStore(t)
	ring, admin := newRing(t, s), newRing(t, s)
	record, _ := create(t, admin)
	if err := call(ring, record.ID); err != nil {
		t.Fatal(err)
	}
	held, _ := ring.Find(record.ID)
	revoke(t, admin, record.ID)
	poll(t, ring)
	wantCall(t, ring, record.ID, fault.APITokenIncorrect)
	if !held.Stale() {
		t.Error("what was held is not stale")
	}
}

func TestAnOldViewDoesNotJoinAnOldRead(t *testing.T) {
	s := openStore(t)
	ring := newRing(t, s) // it never polls
	record, _ := create(t, ring)
	held, err := ring.Find(record.ID)
	if err != nil {
		t.Fatal(err)
	}
	read, release := make(chan struct{}), make(chan struct{})
	var begun atomic.Bool
	s.afterRead = func() {
		if begun.CompareAndSwap(false, true) {
			close(read)
			<-release
		}
	}
	var early sync.WaitGroup
	early.Go(func() { _, _ = ring.Admit(held) })
	<-read
	revoke(t, ring, record.ID)
	if _, err := ring.Admit(held); fault.CodeOf(err) != fault.APITokenIncorrect || err == nil {
		t.Errorf("a request after the revocation: %v", err)
	}
	close(release)
	early.Wait()
}

func TestTheAgeOfTheView(t *testing.T) {
	s := openStore(t)
	ring := newRing(t, s)
	var now atomic.Int64
	ring.SetMonotonic(func() time.Duration { return time.Duration(now.Load()) })
	poll(t, ring)
	record, _ := create(t, ring)
	if err := call(ring, record.ID); err != nil {
		t.Fatal(err)
	}
	s.fail.Store(true)
	now.Store(int64(5 * time.Second))
	if err := call(ring, record.ID); err != nil {
		t.Errorf("a view of 5 s: %v", err)
	}
	now.Add(1) // as in a process that was paused and goes on
	wantCall(t, ring, record.ID, fault.Unavailable)
	poll(t, ring)
	if err := call(ring, record.ID); err != nil {
		t.Errorf("after a new poll: %v", err)
	}
	// What counts is when the question was asked: the answer may have been long under way.
	s.afterChanges = func() { now.Add(int64(6 * time.Second)) }
	poll(t, ring)
	wantCall(t, ring, record.ID, fault.Unavailable)
}

func TestUnknownIDsAreRememberedWithinBounds(t *testing.T) {
	s := openStore(t)
	ring := newRing(t, s)
	poll(t, ring)
	for i := range 10_200 {
		wantCall(t, ring, fmt.Sprintf("E%011d", i), fault.KeyNotAcceptable)
	}
	if got := ring.Unknown(); got == 0 || got > 10_000 {
		t.Errorf("%d unknown ids are remembered", got)
	}
}

// TestEvictedKeysAreStale revokes a key that the keyring no longer holds, while somebody holds on to what it was.
func TestEvictedKeysAreStale(t *testing.T) {
	s := openStore(t)
	ring := newRing(t, s)
	ring.HoldAtMost(2)
	poll(t, ring)
	first, _ := create(t, ring)
	held, err := ring.Find(first.ID)
	if err != nil {
		t.Fatal(err)
	}
	for range 200 { // any of the held keys gives way, this one sooner or later
		if held.Stale() {
			break
		}
		other, _ := create(t, ring)
		if err := call(ring, other.ID); err != nil {
			t.Fatal(err)
		}
	}
	if !held.Stale() {
		t.Fatal("an evicted key is not stale")
	}
	if _, err := ring.Admit(held); err != nil {
		t.Errorf("an evicted key that is in force: %v", err)
	}
	again, err := ring.Find(first.ID)
	if err != nil || again == held {
		t.Fatalf("evicted, and still held: %v", err)
	}
	if _, err := ring.SetState(t.Context(), cli(), first.ID, keys.Revoked); err != nil {
		t.Fatal(err)
	}
	for _, key := range []*keys.Key{held, again} {
		if _, err := ring.Admit(key); fault.CodeOf(err) != fault.APITokenIncorrect || err == nil {
			t.Errorf("revoked after the eviction: %v", err)
		}
	}
}
