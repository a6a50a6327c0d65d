package keys_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
)

// busy is the real store. Its queries for keys hang until they are released.
type busy struct {
	*watched

	begun, release chan struct{}
	now, most      atomic.Int64
}

func newBusy(t *testing.T) *busy {
	t.Helper()
	return &busy{watched: openStore(t), begun: make(chan struct{}, 10_000), release: make(chan struct{})}
}

func (b *busy) KeysByID(ctx context.Context, ids []string) ([]keys.Record, error) {
	n := b.now.Add(1)
	defer b.now.Add(-1)
	for most := b.most.Load(); n > most && !b.most.CompareAndSwap(most, n); most = b.most.Load() {
	}
	b.begun <- struct{}{}
	<-b.release
	return b.watched.KeysByID(ctx, ids)
}

// fill starts eight queries that hang.
func (b *busy) fill(ring *keys.Keyring, callers *sync.WaitGroup) {
	for i := range 8 {
		callers.Go(func() { _, _ = ring.Find(fmt.Sprintf("E1%010d", i)) })
		<-b.begun
	}
}

// strangers sends n requests with made-up ids, and counts those that failed for another reason than an unknown id.
func strangers(ring *keys.Keyring, n int, callers *sync.WaitGroup) *atomic.Int64 {
	var failed atomic.Int64
	for i := range n {
		callers.Go(func() {
			if _, err := ring.Find(fmt.Sprintf("E2%010d", i)); fault.CodeOf(err) != fault.KeyNotAcceptable {
				failed.Add(1)
			}
		})
	}
	return &failed
}

// The first use of a key waits for a few queries at most, however many requests have made-up ids.
func TestLookupOfMadeUpIDsDelaysNoFirstUse(t *testing.T) {
	const many = 2500
	s := newBusy(t)
	record, _ := create(t, newRing(t, s))
	ring := newRing(t, s)
	poll(t, ring)
	var callers sync.WaitGroup
	s.fill(ring, &callers)
	failed := strangers(ring, many, &callers)
	within(t, 20*time.Second, "all of them wait", func() bool { return ring.Waiting() == many })
	var err error
	callers.Go(func() { err = call(ring, record.ID) })
	within(t, 20*time.Second, "the key waits, too", func() bool { return ring.Waiting() == many+1 })
	close(s.release)
	callers.Wait()
	if err != nil || failed.Load() != 0 {
		t.Errorf("the key: %v; %d strangers had another error than an unknown id", err, failed.Load())
	}
	// Some hundred ids a query, and a few queries of one id.
	if got := s.reads.Load() - 8; got > many/100 {
		t.Errorf("%d ids took %d queries", many+1, got)
	}
	if got := s.ids.Load(); got != many+9 {
		t.Errorf("%d ids were read, want each once", got)
	}
	if got := s.most.Load(); got != 8 {
		t.Errorf("there were %d queries at once", got)
	}
}

func TestLookupTimeout(t *testing.T) {
	const many = 100
	s := newBusy(t)
	record, _ := create(t, newRing(t, s))
	ring := newRing(t, s)
	poll(t, ring)
	var callers sync.WaitGroup
	s.fill(ring, &callers)
	failed := strangers(ring, many, &callers)
	callers.Wait() // each for a second
	if got := failed.Load(); got != many {
		t.Errorf("%d of %d had another error than a store that does not answer", many-got, many)
	}
	close(s.release)
	if err := call(ring, record.ID); err != nil {
		t.Errorf("when it answers again: %v", err)
	}
	within(t, 20*time.Second, "nobody waits", func() bool { return ring.Waiting() == 0 })
	if got := s.ids.Load(); got > 9 {
		t.Errorf("%d ids were read, also some that no request waited for", got)
	}
}

// When a query fails, all requests of its batch are Unavailable, and no id counts as unknown.
func TestLookupFailureIsUnavailable(t *testing.T) {
	const many = 50
	s := newBusy(t)
	ring := newRing(t, s)
	poll(t, ring)
	var callers sync.WaitGroup
	s.fill(ring, &callers)
	var unavailable atomic.Int64
	for i := range many {
		callers.Go(func() {
			if _, err := ring.Find(fmt.Sprintf("E2%010d", i)); fault.CodeOf(err) == fault.Unavailable {
				unavailable.Add(1)
			}
		})
	}
	within(t, 20*time.Second, "all of them wait", func() bool { return ring.Waiting() == many })
	s.fail.Store(true)
	close(s.release)
	callers.Wait()
	if got := unavailable.Load(); got != many || ring.Unknown() != 0 {
		t.Errorf("%d of %d are Unavailable, %d ids count as unknown", got, many, ring.Unknown())
	}
	s.fail.Store(false)
	wantCall(t, ring, fmt.Sprintf("E2%010d", 1), fault.KeyNotAcceptable)
}

// picky is the real store. Queries with one of the ids fail.
type picky struct {
	*busy

	bad string
}

func (p *picky) KeysByID(ctx context.Context, ids []string) ([]keys.Record, error) {
	records, err := p.busy.KeysByID(ctx, ids)
	if slices.Contains(ids, p.bad) {
		return nil, fault.New(fault.Unavailable)
	}
	return records, err
}

// Of the keys of one batch, each request gets its own.
func TestLookupBatchAnswersEachRequest(t *testing.T) {
	const each = 40
	s := newBusy(t)
	admin := newRing(t, s)
	answer := func(err error) string {
		if err == nil {
			return "in force"
		}
		return fmt.Sprint(fault.CodeOf(err))
	}
	wants := map[string]string{}
	for i := range each {
		enabled, _ := create(t, admin)
		revoked, _ := create(t, admin)
		revoke(t, admin, revoked.ID)
		wants[enabled.ID], wants[revoked.ID] = answer(nil), fmt.Sprint(fault.APITokenIncorrect)
		wants[fmt.Sprintf("E2%010d", i)] = fmt.Sprint(fault.KeyNotAcceptable)
	}
	ring := newRing(t, s)
	poll(t, ring)
	var callers sync.WaitGroup
	s.fill(ring, &callers)
	for id, want := range wants {
		callers.Go(func() {
			if got := answer(call(ring, id)); got != want {
				t.Errorf("%s: got %s, want %s", id, got, want)
			}
		})
	}
	within(t, 20*time.Second, "all of them wait", func() bool { return ring.Waiting() == 3*each })
	close(s.release)
	callers.Wait()
	if got := s.ids.Load(); got != 3*each+8 {
		t.Errorf("%d ids were read, want each once", got)
	}
}

// A query that fails does not fail the requests of other batches.
func TestLookupFailureFailsOnlyItsBatch(t *testing.T) {
	s := &picky{newBusy(t), "E10000000000"} // the first of those that hang
	admin := newRing(t, s)
	record, _ := create(t, admin)
	ring := newRing(t, s)
	poll(t, ring)
	var callers sync.WaitGroup
	var failed, refused atomic.Int64
	for i := range 8 {
		callers.Go(func() {
			code := fault.CodeOf(call(ring, fmt.Sprintf("E1%010d", i)))
			if code == fault.Unavailable {
				failed.Add(1)
			} else if code == fault.KeyNotAcceptable {
				refused.Add(1)
			}
		})
		<-s.begun
	}
	var err error
	callers.Go(func() { err = call(ring, record.ID) })
	within(t, 20*time.Second, "the key waits", func() bool { return ring.Waiting() == 1 })
	close(s.release)
	callers.Wait()
	if err != nil || failed.Load() != 1 || refused.Load() != 7 {
		t.Errorf("the key: %v; %d of the others failed, %d are unknown", err, failed.Load(), refused.Load())
	}
}

func TestLookupOfForgedIDsIsCheap(t *testing.T) {
	s := openStore(t)
	ring := newRing(t, s)
	poll(t, ring)
	for _, id := range []string{"", "shared", "x", strings.Repeat("E", 1000), "' OR 1=1; --", "E0123456789\x00", "x0123456789a", "E012345678"} {
		wantCall(t, ring, id, fault.KeyNotAcceptable)
	}
	if got := s.reads.Load(); got != 0 {
		t.Errorf("malformed ids cost %d reads", got)
	}
	for range 1000 {
		wantCall(t, ring, "E0123456789a", fault.KeyNotAcceptable)
	}
	if got := s.reads.Load(); got > 2 { // 2 where the second was over in between
		t.Errorf("1000 calls with one unknown id cost %d reads", got)
	}
}

func TestLookupReadsKeyOnceForAll(t *testing.T) {
	s := openStore(t)
	record, _ := create(t, newRing(t, s))
	ring := newRing(t, s)
	poll(t, ring)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			for range 20 {
				if err := call(ring, record.ID); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if got := s.reads.Load(); got != 1 {
		t.Errorf("1000 calls cost %d reads", got)
	}
}
