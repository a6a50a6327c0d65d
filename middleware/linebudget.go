package middleware

import (
	"sync"
	"time"
)

// lineBudget lets a number of lines through in any second, and reports how many it held back.
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

// allow says whether a line may be written now: the time of the line, not that of its request. A time earlier than the last
// one counts as that, so that no order opens the budget.
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
