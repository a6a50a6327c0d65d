package keys

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
)

// All requests for one id share a flight. A request that must see the newest state joins it only before its query begins.
func TestLookupJoinsFlight(t *testing.T) {
	l := lookups{flights: map[string]*flight{}}
	join := func(fresh, wantFirst bool) *flight {
		t.Helper()
		joined, first := l.join("E1", fresh)
		if first != wantFirst {
			t.Errorf("a query begins: %v", first)
		}
		return joined
	}
	one := join(false, true)
	if join(false, false) != one || join(true, false) != one {
		t.Error("a waiting flight is not joined")
	}
	if batch := l.take(); !slices.Equal(batch, []*flight{one}) {
		t.Fatalf("the query has %v", batch)
	}
	if join(false, false) != one {
		t.Error("a running flight is not joined")
	}
	two := join(true, true)
	if two == one || join(true, false) != two || join(false, false) != two {
		t.Error("a fresh read joins a running flight, or a later read does not join the newest flight")
	}
	l.land([]*flight{one})
	<-one.done
	if join(false, false) != two {
		t.Error("the end of the older flight ends the newer one")
	}
	if batch := l.take(); !slices.Equal(batch, []*flight{two}) {
		t.Fatalf("the next query has %v", batch)
	}
	l.land([]*flight{two})
	for range 2 { // as many queries as began find nothing more
		if batch := l.take(); batch != nil {
			t.Errorf("another query has %v", batch)
		}
	}
	if l.queries != 0 || len(l.flights) != 0 || len(l.waiting) != 0 {
		t.Errorf("in the end there are %d queries, %d flights, %d waiting", l.queries, len(l.flights), len(l.waiting))
	}
}

func TestLookupBatchTakesFlights(t *testing.T) {
	l := lookups{flights: map[string]*flight{}}
	queries := 0
	var all []*flight
	for i := range 2*lookupBatch + 10 {
		joined, first := l.join(fmt.Sprint("E", i), false)
		if all = append(all, joined); first {
			queries++
		}
	}
	if queries != lookupQueries {
		t.Errorf("%d queries may begin, want %d", queries, lookupQueries)
	}
	for i := range 20 { // everybody who waited for these has given up
		all[i].until = time.Now().Add(-1)
	}
	all[5].until = time.Now().Add(time.Minute) // somebody came later
	first := l.take()
	if want := append([]*flight{all[5]}, all[20:20+lookupBatch-1]...); !slices.Equal(first, want) {
		t.Errorf("the first query has %d keys, want the %d oldest that a request waits for", len(first), lookupBatch)
	}
	<-all[0].done
	if fault.CodeOf(all[0].err) != fault.Unavailable {
		t.Errorf("a flight that no request waits for: %v", all[0].err)
	}
	if rest := len(l.take()) + len(l.take()); len(first)+rest != len(all)-19 {
		t.Errorf("%d keys are read of %d", len(first)+rest, len(all)-19)
	}
}
