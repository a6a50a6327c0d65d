package integration

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// answerLimit is what looking a key up may take, and a statement, and what a busy machine may add. It is less than
// REQUEST_TIMEOUT: nobody has to wait for that because of the store.
const answerLimit = 4 * time.Second

// errand is a kind of request that the load sends again and again.
type errand struct {
	name    string
	workers int // at each instance
	every   time.Duration
	// next is the request to send now; without a path there is none.
	next func() call
	// right says whether an answer other than 503 is right for the request, which was sent at began.
	right func(c call, a answer, began time.Time) bool
	// alone is an errand that needs no store. registered is one of a registered key, that needs a young view of them.
	alone, registered bool
}

// phase is a part of a fault, with what was answered to the requests that were sent in it.
type phase struct {
	name string
	// healthy is a phase without 503. stale is one in which the instances know nothing young enough to let a key in.
	healthy, stale bool

	began    time.Time
	statuses map[int]int
	answers  map[answered]int
	refused  time.Time // when the last request was sent that was answered 503
	slowest  time.Duration
}

// answered is what a phase counts by; 503 is apart from everything else.
type answered struct {
	instance, errand string
	refused          bool
}

func (p *phase) String() string {
	text := fmt.Sprintf("%-22s", p.name+":")
	for _, status := range slices.Sorted(maps.Keys(p.statuses)) {
		text += fmt.Sprintf(" %d: %d,", status, p.statuses[status])
	}
	text += fmt.Sprintf(" the slowest after %v", p.slowest.Round(time.Millisecond))
	if p.refused.After(p.began) {
		text += fmt.Sprintf(", 503 to what was sent for %v", p.refused.Sub(p.began).Round(time.Millisecond))
	}
	return text
}

// faultLoad sends errands to several instances and judges every answer.
type faultLoad struct {
	t         *testing.T
	instances []*process
	errands   []errand
	done      chan struct{}
	workers   sync.WaitGroup
	wrong     atomic.Int64

	mu    sync.Mutex
	phase *phase
}

// startFaultLoad begins with a healthy phase without a name. The load ends when the test does.
func startFaultLoad(t *testing.T, instances []*process, errands []errand) *faultLoad {
	t.Helper()
	l := &faultLoad{t: t, instances: instances, errands: errands, done: make(chan struct{})}
	l.enter(phase{healthy: true})
	for _, p := range instances {
		for _, e := range errands {
			for range e.workers {
				l.workers.Go(func() { l.work(p, e) })
			}
		}
	}
	t.Cleanup(l.stop)
	return l
}

// stop waits for the answers to what was sent.
func (l *faultLoad) stop() {
	if !l.stopped() {
		close(l.done)
	}
	l.workers.Wait()
}

func (l *faultLoad) stopped() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// enter begins a phase and prints what the one before it, if it has a name, had for answers.
func (l *faultLoad) enter(next phase) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phase != nil && l.phase.name != "" {
		l.t.Log(l.phase)
	}
	next.began, next.statuses, next.answers = time.Now(), map[int]int{}, map[answered]int{}
	l.phase = &next
}

// begins sets when the phase began, for what it prints.
func (l *faultLoad) begins(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.phase.began = at
}

// waitServed waits until every instance gave each errand n answers other than 503 in this phase.
func (l *faultLoad) waitServed(t *testing.T, n int) {
	t.Helper()
	l.wait(t, n, false, func(errand) bool { return true })
}

// waitRefused waits until every instance answered 503 to those errands in this phase.
func (l *faultLoad) waitRefused(t *testing.T, those func(errand) bool) {
	t.Helper()
	l.wait(t, 1, true, those)
}

func (l *faultLoad) wait(t *testing.T, n int, refused bool, those func(errand) bool) {
	t.Helper()
	for _, p := range l.instances {
		for _, e := range l.errands {
			if !those(e) {
				continue
			}
			eventually(t, startLimit, fmt.Sprintf("%s: answers from %s, 503: %v", e.name, p.url, refused), func() bool {
				l.mu.Lock()
				defer l.mu.Unlock()
				return l.phase.answers[answered{p.url, e.name, refused}] >= n
			})
		}
	}
}

func (l *faultLoad) work(p *process, e errand) {
	tick := time.NewTicker(e.every)
	defer tick.Stop()
	for {
		select {
		case <-l.done:
			return
		case <-tick.C:
		}
		c := e.next()
		if c.path == "" {
			continue
		}
		c.unready = true
		l.mu.Lock()
		in := l.phase
		l.mu.Unlock()
		began := time.Now()
		a, err := p.try(l.t, c)
		switch {
		case err == nil:
			l.judge(p, e, in, c, a, began)
		case l.t.Context().Err() != nil:
			return // the test ended early
		default:
			l.complain("%s: %v", e.name, err)
		}
	}
}

// judge counts an answer in the phase in which its request was sent, and complains if it is wrong.
func (l *faultLoad) judge(p *process, e errand, in *phase, c call, a answer, began time.Time) {
	took := time.Since(began)
	refused := a.status == http.StatusServiceUnavailable
	l.mu.Lock()
	in.statuses[a.status]++
	in.answers[answered{p.url, e.name, refused}]++
	in.slowest = max(in.slowest, took)
	if refused {
		in.refused = began
	}
	// What was sent shortly before a fault may meet it, and what was sent during one may be answered after it.
	whole := in == l.phase
	l.mu.Unlock()

	switch {
	case took > answerLimit:
		l.complain("%s, %s: the answer took %v", in.name, e.name, took)
	case refused && (e.alone || whole && in.healthy):
		l.complain("%s, %s: %d after %v", in.name, e.name, a.status, took)
	case refused && (a.header.Get("Retry-After") != "1" || strings.TrimSpace(a.body) != `{"detail":"Service Unavailable"}`):
		l.complain("%s, %s: 503 %s with Retry-After %q", in.name, e.name, a.body, a.header.Get("Retry-After"))
	case !refused && !e.right(c, a, began):
		l.complain("%s, %s: %d %s", in.name, e.name, a.status, a.body)
	case !refused && e.registered && whole && in.stale:
		l.complain("%s, %s: %d, from a view that is too old", in.name, e.name, a.status)
	}
}

// complain fails the test; what is wrong a thousand times is told a few times.
func (l *faultLoad) complain(format string, args ...any) {
	if l.wrong.Add(1) <= 20 {
		l.t.Errorf(format, args...)
	}
}
