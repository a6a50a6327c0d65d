package harness

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

// answerTimeout is for a lookup, one statement and a busy machine. It is less than REQUEST_TIMEOUT: a faulty store must not
// keep requests waiting that long.
const answerTimeout = 4 * time.Second

// RequestKind is a kind of request that the load sends again and again.
type RequestKind struct {
	Name    string
	Workers int // at each instance
	Every   time.Duration
	// Next is the request to send now; no path means none.
	Next func() Call
	// IsRight judges an answer other than 503 to a request that was sent at began.
	IsRight func(c Call, a Answer, began time.Time) bool
	// WithoutStore: the request is answered without the store.
	// RegisteredKey: the request needs a fresh snapshot of the keys.
	WithoutStore, RegisteredKey bool
}

// Phase is a part of a fault, with what was answered to the requests that were sent in it.
type Phase struct {
	Name string
	// Healthy: no 503 is right. Stale: the snapshots are too old to accept a registered key.
	Healthy, Stale bool

	began    time.Time
	statuses map[int]int
	answers  map[answerGroup]int
	refused  time.Time // when the last request was sent that was answered 503
	slowest  time.Duration
}

// answerGroup is what a phase counts by: 503 apart from other statuses.
type answerGroup struct {
	instance, kind string
	refused        bool
}

func (p *Phase) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%-22s", p.Name+":")
	for _, status := range slices.Sorted(maps.Keys(p.statuses)) {
		fmt.Fprintf(&text, " %d: %d,", status, p.statuses[status])
	}
	fmt.Fprintf(&text, " the slowest after %v", p.slowest.Round(time.Millisecond))
	if p.refused.After(p.began) {
		fmt.Fprintf(&text, ", 503 to what was sent for %v", p.refused.Sub(p.began).Round(time.Millisecond))
	}
	return text.String()
}

// FaultLoad sends all kinds of requests to several instances, and judges every answer.
type FaultLoad struct {
	T         *testing.T
	instances []*Process
	kinds     []RequestKind
	done      chan struct{}
	Workers   sync.WaitGroup
	wrong     atomic.Int64

	mu    sync.Mutex
	phase *Phase
}

// StartFaultLoad begins with a healthy phase that has no name. The load ends with the test.
func StartFaultLoad(t *testing.T, instances []*Process, errands []RequestKind) *FaultLoad {
	t.Helper()
	l := &FaultLoad{T: t, instances: instances, kinds: errands, done: make(chan struct{})}
	l.Enter(Phase{Healthy: true})
	for _, p := range instances {
		for _, e := range errands {
			for range e.Workers {
				l.Workers.Go(func() { l.work(p, e) })
			}
		}
	}
	t.Cleanup(l.Stop)
	return l
}

// Stop ends the load, and waits for pending answers.
func (l *FaultLoad) Stop() {
	if !l.Stopped() {
		close(l.done)
	}
	l.Workers.Wait()
}

// Stopped reports whether Stop was called.
func (l *FaultLoad) Stopped() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// Enter begins a phase, and logs the answers of the previous one if it has a name.
func (l *FaultLoad) Enter(next Phase) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phase != nil && l.phase.Name != "" {
		l.T.Log(l.phase)
	}
	next.began, next.statuses, next.answers = time.Now(), map[int]int{}, map[answerGroup]int{}
	l.phase = &next
}

// SetBegin changes the start of the phase, for its log line.
func (l *FaultLoad) SetBegin(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.phase.began = at
}

// WaitServed waits until, in this phase, every instance gave n answers other than 503 to each kind of request.
func (l *FaultLoad) WaitServed(t *testing.T, n int) {
	t.Helper()
	l.wait(t, n, false, func(RequestKind) bool { return true })
}

// WaitRefused waits until, in this phase, every instance answered 503 to those kinds of requests.
func (l *FaultLoad) WaitRefused(t *testing.T, those func(RequestKind) bool) {
	t.Helper()
	l.wait(t, 1, true, those)
}

func (l *FaultLoad) wait(t *testing.T, n int, refused bool, those func(RequestKind) bool) {
	t.Helper()
	for _, p := range l.instances {
		for _, e := range l.kinds {
			if !those(e) {
				continue
			}
			Eventually(t, StartTimeout, fmt.Sprintf("%s: answers from %s, 503: %v", e.Name, p.URL, refused), func() bool {
				l.mu.Lock()
				defer l.mu.Unlock()
				return l.phase.answers[answerGroup{p.URL, e.Name, refused}] >= n
			})
		}
	}
}

func (l *FaultLoad) work(p *Process, e RequestKind) {
	tick := time.NewTicker(e.Every)
	defer tick.Stop()
	for {
		select {
		case <-l.done:
			return
		case <-tick.C:
		}
		c := e.Next()
		if c.Path == "" {
			continue
		}
		c.Unready = true
		l.mu.Lock()
		in := l.phase
		l.mu.Unlock()
		began := time.Now()
		a, err := p.Try(l.T, c)
		switch {
		case err == nil:
			l.judge(p, e, in, c, a, began)
		case l.T.Context().Err() != nil:
			return // the test ended early
		default:
			l.Complain("%s: %v", e.Name, err)
		}
	}
}

// judge counts an answer in the phase in which its request was sent, and complains if it is wrong.
func (l *FaultLoad) judge(p *Process, e RequestKind, in *Phase, c Call, a Answer, began time.Time) {
	took := time.Since(began)
	refused := a.Status == http.StatusServiceUnavailable
	l.mu.Lock()
	in.statuses[a.Status]++
	in.answers[answerGroup{p.URL, e.Name, refused}]++
	in.slowest = max(in.slowest, took)
	if refused {
		in.refused = began
	}
	// An answer counts for a phase only if the phase has not ended: the next one may have changed it.
	whole := in == l.phase
	l.mu.Unlock()

	switch {
	case took > answerTimeout:
		l.Complain("%s, %s: the answer took %v", in.Name, e.Name, took)
	case refused && (e.WithoutStore || whole && in.Healthy):
		l.Complain("%s, %s: %d after %v", in.Name, e.Name, a.Status, took)
	case refused && (a.Header.Get("Retry-After") != "1" || strings.TrimSpace(a.Body) != `{"detail":"Service Unavailable"}`):
		l.Complain("%s, %s: 503 %s with Retry-After %q", in.Name, e.Name, a.Body, a.Header.Get("Retry-After"))
	case !refused && !e.IsRight(c, a, began):
		l.Complain("%s, %s: %d %s", in.Name, e.Name, a.Status, a.Body)
	case !refused && e.RegisteredKey && whole && in.Stale:
		l.Complain("%s, %s: %d, from a snapshot that is too old", in.Name, e.Name, a.Status)
	}
}

// Complain fails the test. Only the first 20 problems are logged.
func (l *FaultLoad) Complain(format string, args ...any) {
	if l.wrong.Add(1) <= 20 {
		l.T.Errorf(format, args...)
	}
}
