package middleware

import (
	"testing"
	"time"
)

func TestLineBudgetInAnySecond(t *testing.T) {
	flushed := make(chan int, 1)
	budget := newLineBudget(100, func(n int) { flushed <- n })
	begin := time.Now()
	written := []time.Time{}
	// Every millisecond for three seconds, a line that is made now and one whose time was taken a while ago.
	for i := range 3000 {
		now := begin.Add(time.Duration(i) * time.Millisecond)
		for _, at := range []time.Time{now, now.Add(-700 * time.Millisecond)} {
			if budget.allow(at) {
				written = append(written, now)
			}
		}
	}
	if len(written) < 300 {
		t.Errorf("%d lines in 3 seconds, want 100 in each", len(written))
	}
	for i := range len(written) - 100 {
		if apart := written[i+100].Sub(written[i]); apart < time.Second {
			t.Fatalf("lines %d and %d are %v apart", i, i+100, apart)
		}
	}
	if got := <-flushed; got != 6000-len(written) {
		t.Errorf("%d lines were counted instead of written, want %d", got, 6000-len(written))
	}
}
