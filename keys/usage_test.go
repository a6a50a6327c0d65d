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
	"github.com/latchkey-api/latchkey/store"
)

// notebook is the real store. It watches the calls that write usage.
type notebook struct {
	*store.Store

	// touches and appends are how many calls succeed before the others fail.
	touches, appends atomic.Int64
	// slow is how long a call takes.
	slow time.Duration
	// most is the highest number of rows in a call; unlimited counts calls without a timeout of their own.
	begun, most, unlimited atomic.Int64
}

func (n *notebook) write(ctx context.Context, left *atomic.Int64, notes int, do func() error) error {
	n.begun.Add(1)
	for most := n.most.Load(); int64(notes) > most && !n.most.CompareAndSwap(most, int64(notes)); most = n.most.Load() {
	}
	if end, limited := ctx.Deadline(); !limited || time.Until(end) > 2*time.Second {
		n.unlimited.Add(1)
	}
	if left.Add(-1) < 0 {
		return fault.Wrap(fault.Unavailable, errors.New("it takes no more"))
	}
	if n.slow > 0 {
		select {
		case <-time.After(n.slow):
		case <-ctx.Done():
			return fault.Wrap(fault.Unavailable, ctx.Err())
		}
	}
	return do()
}

func (n *notebook) TouchKeys(ctx context.Context, used map[string]time.Time) error {
	return n.write(ctx, &n.touches, len(used), func() error { return n.Store.TouchKeys(ctx, used) })
}

func (n *notebook) AppendEvents(ctx context.Context, events []keys.Event) error {
	return n.write(ctx, &n.appends, len(events), func() error { return n.Store.AppendEvents(ctx, events) })
}

// refuse refuses that many callers.
func refuse(ring *keys.Keyring, callers int) {
	for i := range callers {
		ring.Refused(keys.Actor{Key: fmt.Sprintf("E%011d", i)}, "POST /service/keys")
	}
}

// audited counts the rows of each caller.
func audited(t *testing.T, s *store.Store) map[string]int {
	t.Helper()
	rows := map[string]int{}
	var page store.Page
	for page.Size = 200; ; {
		events, next, err := s.Audit(t.Context(), store.AuditFilter{}, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.Action == keys.ActionRefused {
				rows[e.Actor.Key]++
			}
		}
		if next == (store.Cursor{}) {
			return rows
		}
		page.After = next
	}
}

func TestUsageIsWrittenInBatches(t *testing.T) {
	const many, step = 250, 200
	s, now := &notebook{Store: openStore(t).Store}, newClock()
	ring := newRing(t, s, func(o *keys.Options) { o.Now = now.now })
	var ids []string
	for i := range many {
		id := fmt.Sprintf("E%011d", i)
		record := keys.Record{ID: id, Kind: "ed25519", Environment: "test", State: keys.Enabled, Material: make([]byte, 32)}
		if _, err := s.CreateKey(t.Context(), record, keys.Event{}); err != nil {
			t.Fatal(err)
		}
		if err := call(ring, id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	refuse(ring, many)
	touched := func() (n int) {
		t.Helper()
		for _, id := range ids {
			r, err := s.Key(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if !r.LastUsedAt.IsZero() {
				n++
			}
		}
		return n
	}
	// What was written before a failure is not written again, and the rest is not lost.
	s.touches.Store(1)
	s.appends.Store(1)
	during(t, ring, func() {})
	if used, refused := touched(), audited(t, s.Store); used > step || len(refused) > step {
		t.Errorf("%d keys and %d callers after one batch of %d", used, len(refused), step)
	}
	s.touches.Store(many)
	s.appends.Store(many)
	within(t, 20*time.Second, "everything is written", func() bool {
		during(t, ring, func() {})
		return touched() == many && len(audited(t, s.Store)) == many
	})
	for caller, rows := range audited(t, s.Store) {
		if rows != 1 {
			t.Errorf("%s has %d rows", caller, rows)
		}
	}
	if most, unlimited := s.most.Load(), s.unlimited.Load(); most != step || unlimited != 0 {
		t.Errorf("up to %d rows in a call, %d calls without a timeout of their own", most, unlimited)
	}
}

// However much waits to be written and however slow the store is, the process stops in time.
func TestUsageSlowStoreDelaysNoStop(t *testing.T) {
	t.Parallel()
	s, now := &notebook{Store: openStore(t).Store, slow: 400 * time.Millisecond}, newClock()
	s.appends.Store(1000)
	ring := newRing(t, s, func(o *keys.Options) { o.Now = now.now })
	refuse(ring, 10_000)
	now.forward(time.Second)
	var stopped time.Time
	during(t, ring, func() {
		within(t, 10*time.Second, "it writes", func() bool { return s.begun.Load() > 0 })
		stopped = time.Now()
	})
	if took := time.Since(stopped); took > 6*time.Second {
		t.Errorf("it took %v to stop", took)
	}
	if len(audited(t, s.Store)) == 0 {
		t.Error("nothing was written")
	}
}

func TestUsageLastUseIsWrittenOnceAMinute(t *testing.T) {
	s, now := openStore(t), newClock()
	ring := newRing(t, s, func(o *keys.Options) { o.Now = now.now })
	record, _ := create(t, ring)
	unused, _ := create(t, ring)
	during(t, ring, func() {
		for range 1000 {
			if err := call(ring, record.ID); err != nil {
				t.Fatal(err)
			}
		}
	})
	read, err := s.Store.Key(t.Context(), record.ID)
	if want := now.now().Truncate(time.Minute); err != nil || !read.LastUsedAt.Equal(want) {
		t.Errorf("last used %v, want %v: %v", read.LastUsedAt, want, err)
	}
	if read.Version != record.Version {
		t.Error("being used counts as a change: every instance would read the key again")
	}
	if read, _ := s.Store.Key(t.Context(), unused.ID); !read.LastUsedAt.IsZero() {
		t.Errorf("a key that was not used was used at %v", read.LastUsedAt)
	}
}

func TestUsageRefusalsOfOneSecondAreOneRow(t *testing.T) {
	s, now := openStore(t), newClock()
	ring := newRing(t, s, func(o *keys.Options) { o.Now = now.now })
	during(t, ring, func() {
		for _, actor := range []string{"E0123456789a", "E0123456789b"} {
			for range 500 {
				ring.Refused(keys.Actor{Key: actor, RequestID: "r", Address: "a"}, "POST /service/keys")
			}
		}
		now.forward(time.Second)
		ring.Refused(keys.Actor{Key: "E0123456789a"}, "GET /service/keys")
	})
	events, _, err := s.Audit(t.Context(), store.AuditFilter{}, store.Page{Size: 10})
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, event := range events {
		if event.Action != keys.ActionRefused {
			t.Errorf("action %q", event.Action)
		}
		counts[event.Actor.Key+" "+event.Target] = event.Count
	}
	if len(events) != 3 || counts["E0123456789a POST /service/keys"] != 500 || counts["E0123456789b POST /service/keys"] != 500 || counts["E0123456789a GET /service/keys"] != 1 {
		t.Errorf("the audit has %v", counts)
	}
}
