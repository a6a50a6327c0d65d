package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

func auditAppended(t *testing.T, s *store.Store) {
	must(t, s.AppendEvents(t.Context(), nil))
	isAudit(t, s, store.AuditFilter{})
	want := []keys.Event{
		newEvent(keys.ActionCreate, "E1"),
		{At: at(0), Actor: keys.Actor{Key: "cli"}, Action: keys.ActionRevoke, Target: "E1", Count: 1},
		{At: at(9), Actor: keys.Actor{Key: "E2", Address: "2001:db8::1"}, Action: keys.ActionRefused, Target: "GET /service/keys", Count: 41},
		{At: at(9), Action: "日本語 '; DROP TABLE audit; --"},
	}
	must(t, s.AppendEvents(t.Context(), want[:3]))
	given := want[3]
	given.At = given.At.In(time.FixedZone("east", 3600)).Add(999)
	must(t, s.AppendEvents(t.Context(), []keys.Event{given}))
	isAudit(t, s, store.AuditFilter{}, want...)
	isVersion(t, s, 0)
}

func auditFiltered(t *testing.T, s *store.Store) {
	var all []keys.Event
	for i := range 60 {
		e := newEvent(keys.ActionDisable, fmt.Sprint("E", i%4))
		e.Actor.Key = fmt.Sprint("E", i%3) // 0, 1 and 2 act, also on themselves
		e.At, e.Count = at(i/5*10), i
		if i%10 == 9 {
			e.At = at(i - 30) // written late, or by a clock that is behind
		}
		all = append(all, e)
	}
	must(t, s.AppendEvents(t.Context(), all[:33]))
	must(t, s.AppendEvents(t.Context(), all[33:]))
	for _, key := range []string{"", "E0", "E3", "nobody", "e0", "%"} {
		for _, since := range []time.Time{
			{}, time.Unix(0, 0), at(-21), at(0), at(50), at(51), at(50).Add(999), at(110), at(111),
		} {
			want := []keys.Event{}
			for _, e := range all {
				if (key == "" || e.Target == key || e.Actor.Key == key) && !e.At.Before(since.Truncate(time.Microsecond)) {
					want = append(want, e)
				}
			}
			if since.UnixMicro() != 0 && !since.IsZero() { // in the order of their times
				slices.SortStableFunc(want, func(a, b keys.Event) int { return a.At.Compare(b.At) })
			}
			for _, size := range []int{1, 7, max(1, len(want)), len(want) + 1} {
				got := pages(t, store.ListAudit, size, func(page store.Page) ([]keys.Event, store.Cursor, error) {
					return s.Audit(t.Context(), store.AuditFilter{Key: key, Since: since}, page)
				})
				same(t, fmt.Sprintf("key %q since %v, size %d", key, since, size), got, want)
			}
		}
	}
	if got, _, err := s.Audit(t.Context(), store.AuditFilter{Key: "\xff"}, store.Page{Size: 1}); err != nil || got == nil || len(got) != 0 {
		t.Errorf("a key that nobody can have: got %#v, %v", got, err)
	}
}

func auditFollowed(t *testing.T, s *store.Store) {
	const writers, each = 4, 25
	done := make(chan struct{})
	go func() {
		defer close(done)
		together(writers, func(i int) {
			for n := range each {
				e := newEvent(keys.ActionRefused, fmt.Sprint(i))
				e.Count = n
				if err := s.AppendEvents(t.Context(), []keys.Event{e, e}); err != nil {
					t.Error(err)
				}
			}
		})
	}()
	// Following pages also returns rows that were written meanwhile, once and in order.
	seen := make([]int, writers)
	count := func(rows []keys.Event) {
		for _, e := range rows {
			var i int
			if _, err := fmt.Sscan(e.Target, &i); err != nil || e.Count != seen[i]/2 {
				t.Errorf("row %+v after %d rows of its writer", e, seen[i])
			}
			seen[i]++
		}
	}
	page := store.Page{Size: 10}
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		rows, next, err := s.Audit(t.Context(), store.AuditFilter{}, page)
		must(t, err)
		if !next.IsZero() {
			count(rows)
			page.After, running = next, true
		} else if !running {
			count(rows)
		}
	}
	for i, n := range seen {
		if n != 2*each {
			t.Errorf("writer %d: %d rows, want %d", i, n, 2*each)
		}
	}
}

func auditPruned(t *testing.T, s *store.Store) {
	const many = 2500 // more than is removed at once
	events := make([]keys.Event, many)
	for i := range events {
		events[i] = newEvent(keys.ActionRefused, "E1")
		events[i].At, events[i].Count = at(i), i
	}
	late := newEvent(keys.ActionRefused, "late")
	late.At = at(-1)
	must(t, s.AppendEvents(t.Context(), events))
	must(t, s.AppendEvents(t.Context(), []keys.Event{late}))
	kept := addKey(t, s, newKey("E1"))

	must(t, s.PruneEvents(t.Context(), at(-1)))
	isAudit(t, s, store.AuditFilter{Since: at(many - 1)}, events[many-1])
	isAudit(t, s, store.AuditFilter{Key: "late"}, late)
	must(t, s.PruneEvents(t.Context(), at(many-2)))
	want := []keys.Event{events[many-2], events[many-1]}
	got := pages(t, store.ListAudit, 200, func(page store.Page) ([]keys.Event, store.Cursor, error) {
		return s.Audit(t.Context(), store.AuditFilter{}, page)
	})
	same(t, "what is left", got, want)
	isKey(t, s, kept)

	// Following from a row that was removed misses nothing, in both orders.
	for _, filter := range []store.AuditFilter{{}, {Key: "E2"}, {Since: at(0)}, {Key: "E2", Since: at(0)}} {
		fresh := []keys.Event{newEvent(keys.ActionCreate, "E2"), newEvent(keys.ActionRevoke, "E2")}
		fresh[0].At, fresh[1].At = at(many+1), at(many+2)
		must(t, s.PruneEvents(t.Context(), at(many+1)))
		must(t, s.AppendEvents(t.Context(), fresh))
		_, next, err := s.Audit(t.Context(), filter, store.Page{Size: 1})
		must(t, err)
		must(t, s.PruneEvents(t.Context(), at(many+2)))
		rows, _, err := s.Audit(t.Context(), filter, store.Page{Size: 1, After: next})
		must(t, err)
		same(t, fmt.Sprintf("after a row that is gone, filter %+v", filter), rows, fresh[1:])
		must(t, s.PruneEvents(t.Context(), at(many+3)))
	}
	must(t, s.AppendEvents(t.Context(), want))

	// A row that is written after all others were removed comes after the last cursor.
	_, next, err := s.Audit(t.Context(), store.AuditFilter{}, store.Page{Size: 1})
	must(t, err)
	must(t, s.PruneEvents(t.Context(), at(many)))
	isAudit(t, s, store.AuditFilter{})
	after := newEvent(keys.ActionCreate, "E2")
	must(t, s.AppendEvents(t.Context(), []keys.Event{after}))
	rows, _, err := s.Audit(t.Context(), store.AuditFilter{}, store.Page{Size: 1, After: next})
	must(t, err)
	same(t, "after the last row", rows, []keys.Event{after})
}

// isAudit checks that the audit has exactly these rows, in this order.
func isAudit(t *testing.T, s *store.Store, filter store.AuditFilter, want ...keys.Event) {
	t.Helper()
	got, next, err := s.Audit(t.Context(), filter, store.Page{Size: 200})
	must(t, err)
	if want == nil {
		want = []keys.Event{}
	}
	same(t, "the audit", got, want)
	if !next.IsZero() {
		t.Errorf("there is a next page %q", next)
	}
}
