package keys

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// limit is a key's limit as one instance keeps it: its part of the rate, and of the burst what falls to each instance.
// It lives on through the states of its key.
type limit struct {
	id    string
	rate  float64 // of the key, in requests a second
	burst int     // of the key
	here  *rate.Limiter

	counted atomic.Int64 // requests since they were last measured
	limits  *limits
	// asked is what the key is asked for here, as a fraction of its rate; limits.mu guards it.
	asked float64
}

// newLimit is the limit of a record, nil without one; before is the key's limit until now.
func newLimit(r *Record, before *limit, all *limits) *limit {
	if r.Rate <= 0 {
		return nil
	}
	if before != nil && before.rate == r.Rate && before.burst == r.Burst {
		return before
	}
	return &limit{id: r.ID, rate: r.Rate, burst: r.Burst, here: rate.NewLimiter(rate.Limit(r.Rate), r.Burst), limits: all}
}

// set takes over the part of the rate and how many instances share the burst.
func (l *limit) set(part float64, instances int) {
	if perSecond := rate.Limit(l.rate * part); perSecond != l.here.Limit() {
		l.here.SetLimit(perSecond)
	}
	if burst := max(1, l.burst/instances); burst != l.here.Burst() {
		l.here.SetBurst(burst)
	}
}

// Quota is what a key's limit says of one request.
type Quota struct {
	// Limited is false for a key without a limit; the rest means nothing then.
	Limited bool
	// Allowed says whether the request may go on.
	Allowed bool
	// Burst is how many requests may come at once, and Window how long it takes to earn them all anew, over all
	// instances.
	Burst  int
	Window time.Duration
	// Remaining is how many may come now to this instance, Wait how long until the next one may, and Reset how long
	// until all may that it lets through at once.
	Remaining   int
	Wait, Reset time.Duration
}

// redivided is how soon an instance that is asked for more has its part of the limit, at the latest.
const redivided = 2 * time.Second

// Take counts one request against the limit of the caller's key.
func (p *Principal) Take() Quota {
	if p.key == nil || p.key.limit == nil {
		return Quota{}
	}
	l, now := p.key.limit, time.Now()
	if l.counted.Add(1) == 1 {
		l.limits.note(l)
	}
	q := Quota{Limited: true, Allowed: l.here.AllowN(now, 1), Burst: l.burst, Window: earn(float64(l.burst), l.rate)}
	left, perSecond, here := l.here.TokensAt(now), float64(l.here.Limit()), float64(l.here.Burst())
	q.Remaining = max(0, int(left))
	// With a small part it would be long, but whoever asks gets a larger one.
	q.Wait = min(earn(1-left, perSecond), earn(1, l.rate)+redivided)
	q.Reset = min(earn(here-left, perSecond), q.Window+redivided)
	return q
}

// earn is how long it takes until so many requests may come.
func earn(requests, perSecond float64) time.Duration {
	return time.Duration(math.Ceil(max(0, requests) / perSecond * float64(time.Second)))
}

// limits measures what keys with a limit are asked for.
type limits struct {
	mu       sync.Mutex
	noted    []*limit          // those with requests since the last measurement
	measured map[string]*limit // those that are asked for anything, by key
	at       time.Duration     // when that was, on the monotonic clock
}

func (l *limits) note(one *limit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.noted = append(l.noted, one)
}

// measure counts the requests since it was last called at the monotonic time now. What a key is asked for is an average
// that forgets: within about a second, or, where requests are seldom, in the time of a few of them.
func (l *limits) measure(now time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	took := (now - l.at).Seconds()
	if took <= 0 {
		return
	}
	l.at = now
	if l.measured == nil {
		l.measured = map[string]*limit{}
	}
	for _, one := range l.noted {
		l.measured[one.id] = one
	}
	l.noted = nil
	for id, one := range l.measured {
		const fewRequests, seconds, least = 4, 1, 1e-3
		memory := max(seconds, fewRequests/one.rate)
		now := float64(one.counted.Swap(0)) / took / one.rate
		one.asked += (now - one.asked) * (1 - math.Exp(-took/memory))
		if one.asked < least {
			one.asked = 0
			delete(l.measured, id)
		}
	}
}

// asked is what each key is asked for here, as a fraction of its rate, at most 1.
func (l *limits) asked() map[string]float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make(map[string]float64, len(l.measured))
	for id, one := range l.measured {
		all[id] = min(1, one.asked)
	}
	return all
}
