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

func TestCacheRefusesReadFromBeforeChange(t *testing.T) {
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

func TestCacheMissUnderConstantChangesIsUsedOnce(t *testing.T) {
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

func TestCacheIsEmptiedByFirstPoll(t *testing.T) {
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
		t.Error("the cached key is not stale")
	}
}

func TestSnapshotAgeNeedsFreshRead(t *testing.T) {
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

func TestSnapshotAge(t *testing.T) {
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
		t.Errorf("a snapshot of 5 s: %v", err)
	}
	now.Add(1) // as in a process that was paused and goes on
	wantCall(t, ring, record.ID, fault.Unavailable)
	poll(t, ring)
	if err := call(ring, record.ID); err != nil {
		t.Errorf("after a new poll: %v", err)
	}
	// The age counts from the beginning of the poll: the answer may have taken long.
	s.afterChanges = func() { now.Add(int64(6 * time.Second)) }
	poll(t, ring)
	wantCall(t, ring, record.ID, fault.Unavailable)
}

func TestCacheOfUnknownIDsIsBounded(t *testing.T) {
	s := openStore(t)
	ring := newRing(t, s)
	poll(t, ring)
	for i := range 10_200 {
		wantCall(t, ring, fmt.Sprintf("E%011d", i), fault.KeyNotAcceptable)
	}
	if got := ring.Unknown(); got == 0 || got > 10_000 {
		t.Errorf("%d unknown ids are cached", got)
	}
}

// A key that was evicted is revoked, while a cached token still points at it.
func TestCacheEvictedKeysAreStale(t *testing.T) {
	s := openStore(t)
	ring := newRing(t, s)
	ring.SetCapacity(2)
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

func TestCacheForgetsUnknownIDOfNewKey(t *testing.T) {
	s := openStore(t)
	maker, ring := newRing(t, s), newRing(t, s)
	poll(t, ring)
	record, _ := create(t, maker)
	if err := call(ring, record.ID); err != nil {
		t.Errorf("made by another process: %v", err)
	}
	// A request used the id before the key was made. A poll that finds the key removes the id from the unknown ones.
	wantCall(t, ring, "E0123456789a", fault.KeyNotAcceptable)
	unknown := record
	unknown.ID = "E0123456789a"
	if _, err := s.CreateKey(t.Context(), unknown, keys.Event{At: time.Now(), Actor: cli(), Action: keys.ActionCreate, Target: unknown.ID, Count: 1}); err != nil {
		t.Fatal(err)
	}
	poll(t, ring)
	if err := call(ring, unknown.ID); err != nil {
		t.Errorf("after the poll: %v", err)
	}
}

func TestSnapshotAgeOverMaximumAsksStore(t *testing.T) {
	s := openStore(t)
	admin, ring := newRing(t, s), newRing(t, s) // ring never polls
	record, _ := create(t, admin)
	for range 3 {
		if err := call(ring, record.ID); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.reads.Load(); got < 3 {
		t.Errorf("three calls with an old snapshot cost %d reads", got)
	}
	if _, err := admin.SetState(t.Context(), cli(), record.ID, keys.Revoked); err != nil {
		t.Fatal(err)
	}
	wantCall(t, ring, record.ID, fault.APITokenIncorrect)

	good, _ := create(t, admin)
	if err := call(ring, good.ID); err != nil {
		t.Fatal(err)
	}
	s.fail.Store(true)
	wantCall(t, ring, good.ID, fault.Unavailable)
	wantCall(t, ring, "E0123456789a", fault.Unavailable) // never 401 because of the store
	s.fail.Store(false)
	poll(t, ring)
	if err := call(ring, good.ID); err != nil {
		t.Fatal(err)
	}
	s.fail.Store(true)
	if err := call(ring, good.ID); err != nil {
		t.Errorf("with a fresh snapshot nothing is read: %v", err)
	}
}

// A key is revoked while many requests read it for the first time. A request that begins after SetState has returned is
// refused.
func TestRevokeRacesLookups(t *testing.T) {
	s := openStore(t)
	admin := newRing(t, s)
	rounds := 2000
	if testing.Short() {
		rounds = 100
	}
	ring := newRing(t, s)
	poll(t, ring)
	for round := range rounds {
		record, _ := create(t, admin)
		var readers sync.WaitGroup
		var held atomic.Pointer[keys.Key]
		for range 2 {
			readers.Go(func() {
				if key, err := ring.Find(record.ID); err == nil {
					held.Store(key)
				}
			})
		}
		if _, err := ring.SetState(t.Context(), cli(), record.ID, keys.Revoked); err != nil {
			t.Fatal(err)
		}
		if err := call(ring, record.ID); fault.CodeOf(err) != fault.APITokenIncorrect || err == nil {
			t.Fatalf("round %d: after the revocation: %v", round, err)
		}
		readers.Wait()
		if key := held.Load(); key != nil {
			if _, err := ring.Admit(key); fault.CodeOf(err) != fault.APITokenIncorrect || err == nil {
				t.Fatalf("round %d: a key read during the revocation: %v", round, err)
			}
		}
		if err := call(ring, record.ID); fault.CodeOf(err) != fault.APITokenIncorrect || err == nil {
			t.Fatalf("round %d: after the readers ended: %v", round, err)
		}
	}
}
