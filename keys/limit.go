package keys

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// limit is the limit of a key on this instance: its share of the rate, and an even part of the burst. All states of the key
// have the same one, so that a change does not refill it.
type limit struct {
	id    string
	rate  float64 // of the key, in requests a second
	burst int     // of the key
	here  *rate.Limiter

	requests atomic.Int64 // since the last measurement
	limits   *limits
	// demand is the requests that come here, as a fraction of the key's rate. limits.mu guards it.
	demand float64
}

// newLimit makes the limit of a key, nil for a key without one. If the limit is as before, it goes on.
func newLimit(r *Record, before *limit, all *limits) *limit {
	if r.Rate <= 0 {
		return nil
	}
	if before != nil && before.rate == r.Rate && before.burst == r.Burst {
		return before
	}
	return &limit{id: r.ID, rate: r.Rate, burst: r.Burst, here: rate.NewLimiter(rate.Limit(r.Rate), r.Burst), limits: all}
}

// setShare takes over this instance's share of the rate. The burst is divided evenly.
func (l *limit) setShare(share float64, fleetSize int) {
	if perSecond := rate.Limit(l.rate * share); perSecond != l.here.Limit() {
		l.here.SetLimit(perSecond)
	}
	if burst := max(1, l.burst/fleetSize); burst != l.here.Burst() {
		l.here.SetBurst(burst)
	}
}

// Quota is the answer of a limit to one request.
type Quota struct {
	// Limited is false for a key without a limit. Then the rest is zero.
	Limited bool
	// Allowed says whether the request may pass.
	Allowed bool
	// Burst is how many requests may come at once, and Window the time in which a used-up burst fills again; both over all
	// instances.
	Burst  int
	Window time.Duration
	// Remaining is how many requests may now come to this instance, Wait the time until the next one may, and Reset the time
	// until its part of the burst is full.
	Remaining   int
	Wait, Reset time.Duration
}

// maxReshareTime is how long it takes at most until an instance with a growing demand has a larger share.
const maxReshareTime = 2 * time.Second

// Take counts one request against the limit of the caller's key.
func (p *Principal) Take() Quota {
	if p.key == nil || p.key.limit == nil {
		return Quota{}
	}
	l, now := p.key.limit, time.Now()
	if l.requests.Add(1) == 1 {
		l.limits.noteActive(l)
	}
	q := Quota{Limited: true, Allowed: l.here.AllowN(now, 1), Burst: l.burst, Window: timeFor(float64(l.burst), l.rate)}
	tokens, perSecond, burst := l.here.TokensAt(now), float64(l.here.Limit()), float64(l.here.Burst())
	q.Remaining = max(0, int(tokens))
	// A small share makes these times long, but demand makes the share larger.
	q.Wait = min(timeFor(1-tokens, perSecond), timeFor(1, l.rate)+maxReshareTime)
	q.Reset = min(timeFor(burst-tokens, perSecond), q.Window+maxReshareTime)
	return q
}

// timeFor is the time in which a rate allows so many requests.
func timeFor(requests, perSecond float64) time.Duration {
	return time.Duration(math.Ceil(max(0, requests) / perSecond * float64(time.Second)))
}

// limits measures the demand of all keys with a limit.
type limits struct {
	mu       sync.Mutex
	active   []*limit          // those with requests since the last measurement
	measured map[string]*limit // those with a demand, by key
	at       time.Duration     // when the last measurement was, on the monotonic clock
}

func (l *limits) noteActive(one *limit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active = append(l.active, one)
}

// measure updates the demand of each key at the monotonic time now. Demand is an exponential moving average over a second
// or, for a key with a low rate, over the time of a few requests.
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
	for _, one := range l.active {
		l.measured[one.id] = one
	}
	l.active = nil
	for id, one := range l.measured {
		const minWindow, fewRequests, minDemand = 1, 4, 1e-3
		window := max(minWindow, fewRequests/one.rate)
		sample := float64(one.requests.Swap(0)) / took / one.rate
		one.demand += (sample - one.demand) * (1 - math.Exp(-took/window))
		if one.demand < minDemand {
			one.demand = 0
			delete(l.measured, id)
		}
	}
}

// demand is the demand of each key here, as a fraction of its rate, at most 1.
func (l *limits) demand() map[string]float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make(map[string]float64, len(l.measured))
	for id, one := range l.measured {
		all[id] = min(1, one.demand)
	}
	return all
}
