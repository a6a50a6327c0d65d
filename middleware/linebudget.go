package middleware

import (
	"sync"
	"time"
)

// lineBudget allows a number of log lines in any second, and reports how many it suppressed.
type lineBudget struct {
	report func(suppressed int)

	mu         sync.Mutex
	times      []time.Time // of the last lines, a ring
	next       int         // the oldest of them
	last       time.Time   // the newest of them
	suppressed int
}

func newLineBudget(most int, report func(suppressed int)) *lineBudget {
	return &lineBudget{report: report, times: make([]time.Time, most)}
}

// allow reports whether a line may be written now. A time before the last line counts as the time of the last line, so that
// lines out of order do not get around the budget.
func (b *lineBudget) allow(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Before(b.last) {
		now = b.last
	}
	if oldest := b.times[b.next]; oldest.IsZero() || now.Sub(oldest) >= time.Second {
		b.times[b.next], b.last = now, now
		b.next = (b.next + 1) % len(b.times)
		return true
	}
	if b.suppressed == 0 {
		time.AfterFunc(time.Second, b.flush)
	}
	b.suppressed++
	return false
}

func (b *lineBudget) flush() {
	b.mu.Lock()
	count := b.suppressed
	b.suppressed = 0
	b.mu.Unlock()
	b.report(count)
}
