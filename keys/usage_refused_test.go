package keys_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

// refusals are the rows of one caller.
func refusals(t *testing.T, s *store.Store, caller string) (rows []keys.Event) {
	t.Helper()
	events, next, err := s.Audit(t.Context(), store.AuditFilter{Key: caller}, store.Page{Size: 200})
	if err != nil || next != (store.Cursor{}) {
		t.Fatalf("more than one page, or %v", err)
	}
	return events
}

// A client that goes on with the token of a revoked key must not fill the store.
func TestUsageRefusalsThatGoOnAreFewRows(t *testing.T) {
	const dead, other, hours = "E0123456789a", "E0123456789b", 2
	s, now := openStore(t), newClock()
	ring := newRing(t, s, func(o *keys.Options) { o.Now = now.now })
	write := func() {
		t.Helper()
		if err := ring.WriteRefused(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(caller string) {
		ring.Refused(keys.Actor{Key: caller, RequestID: "r"}, "POST /service/keys")
	}
	calls := 0
	second := func() {
		refused(dead)
		calls++
		now.forward(time.Second)
		write()
	}
	second()
	if rows := refusals(t, s.Store, dead); len(rows) != 1 || rows[0].Count != 1 {
		t.Errorf("after a second: %v", rows)
	}
	for range hours * 3600 {
		second()
	}
	// Each caller has a span of its own.
	refused(other)
	now.forward(time.Second)
	write()
	if rows := refusals(t, s.Store, other); len(rows) != 1 {
		t.Errorf("another caller: %v", rows)
	}
	rows := refusals(t, s.Store, dead)
	if most := 10 + hours*6; len(rows) > most || len(rows) < hours*6 {
		t.Errorf("%d rows in %d hours, want at most %d, and one in ten minutes", len(rows), hours, most)
	}
	for i := 1; i < len(rows); i++ {
		if gap, before := rows[i].At.Sub(rows[i-1].At), rows[i-1].Count; gap != min(600*time.Second, time.Second<<(i-1)) || before != int(gap/time.Second) {
			t.Errorf("row %d is %v after a row of %d calls", i, gap, before)
		}
	}
	// A stop writes what is left.
	during(t, ring, func() {})
	counted := 0
	for _, row := range refusals(t, s.Store, dead) {
		counted += row.Count
	}
	if counted != calls {
		t.Errorf("%d calls are counted, there were %d", counted, calls)
	}
	// After a long pause, and after the clock was set back, a caller starts again with a short span.
	for name, pause := range map[string]time.Duration{"a pause": 21 * time.Minute, "a clock set back": -24 * time.Hour} {
		now.forward(pause)
		write()
		before := len(refusals(t, s.Store, dead))
		second()
		if rows := refusals(t, s.Store, dead); len(rows) != before+1 || rows[before].Count != 1 {
			t.Errorf("after %s: %v", name, rows[before:])
		}
	}
	if rows, callers := ring.Refusals(); rows != 0 || callers > 2 {
		t.Errorf("%d rows and %d callers wait", rows, callers)
	}
}

// The number of refusals that wait is bounded, and later callers are counted all the same.
func TestUsageRefusalsOfManyCallers(t *testing.T) {
	const most = 10_000
	s, now := openStore(t), newClock()
	ring := newRing(t, s, func(o *keys.Options) { o.Now = now.now })
	next := func(after time.Duration) {
		t.Helper()
		now.forward(after)
		if err := ring.WriteRefused(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 { // until each of them is written every 8 s
		refuse(ring, most+100)
		next(8 * time.Second)
	}
	refuse(ring, most+100)
	if rows, callers := ring.Refusals(); rows != most || callers != most {
		t.Errorf("%d rows and %d callers wait, want at most %d", rows, callers, most)
	}
	next(time.Second)
	ring.Refused(keys.Actor{Key: "late"}, "POST /service/keys")
	next(time.Second)
	if rows := refusals(t, s.Store, "late"); len(rows) != 1 {
		t.Errorf("a late caller: %v", rows)
	}
	seconds := map[string]bool{}
	for _, row := range refusals(t, s.Store, fmt.Sprintf("E%011d", 1)) {
		if at := row.At.Format(time.RFC3339); seconds[at] {
			t.Errorf("two rows at %s", at)
		} else {
			seconds[at] = true
		}
	}
}

// A write fails while the same caller is refused again.
func TestUsageRefusalsSurviveFailedWrite(t *testing.T) {
	const caller = "E0123456789a"
	s, now := &notebook{Store: openStore(t).Store}, newClock()
	ring := newRing(t, s, func(o *keys.Options) { o.Now = now.now })
	for range 30 {
		ring.Refused(keys.Actor{Key: caller}, "POST /service/keys")
		now.forward(time.Second)
		if err := ring.WriteRefused(t.Context()); err != nil && fault.CodeOf(err) != fault.Unavailable {
			t.Fatal(err)
		}
	}
	s.appends.Store(10)
	during(t, ring, func() {})
	counted := 0
	for _, row := range refusals(t, s.Store, caller) {
		counted += row.Count
	}
	if counted != 30 {
		t.Errorf("%d of 30 calls are counted", counted)
	}
}

// interrupted is a store that fails to write a row of the audit, and another refusal comes meanwhile.
type interrupted struct {
	keys.Store

	meanwhile func()
}

func (i *interrupted) AppendEvents(ctx context.Context, events []keys.Event) error {
	if i.meanwhile != nil {
		i.meanwhile()
		return fault.New(fault.Unavailable)
	}
	return i.Store.AppendEvents(ctx, events)
}

func TestUsageRefusalsDuringWriteAreCountedOnce(t *testing.T) {
	const caller = "E0123456789a"
	s, now := openStore(t), newClock()
	store := &interrupted{Store: s}
	ring := newRing(t, store, func(o *keys.Options) { o.Now = now.now })
	call := func() { ring.Refused(keys.Actor{Key: caller}, "POST /service/keys") }
	store.meanwhile = call
	call()
	during(t, ring, func() {})
	store.meanwhile = nil
	during(t, ring, func() {})
	if rows := refusals(t, s.Store, caller); len(rows) != 1 || rows[0].Count != 2 {
		t.Errorf("two calls are %v", rows)
	}
}
