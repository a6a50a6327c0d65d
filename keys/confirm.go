package keys

import (
	"context"
	"maps"
	"slices"
	"time"
)

// Confirmation says that an instance has seen a change.
type Confirmation struct {
	Instance string
	// After is how long it took from the question.
	After time.Duration
}

// How long, and how often, the instances are asked.
const (
	confirmFor   = 3 * time.Second
	confirmEvery = 25 * time.Millisecond
	// An instance that has not beaten for longer than this asks the store at each request, or will when it goes on:
	// nobody has to wait for it.
	liveFor = maxViewAge + beatEvery
)

// Confirm waits until every live instance has seen version, for at most 3 s or until ctx ends, and returns those that have
// and those that were late. An instance is live that had beaten within liveFor before, unless it signs off meanwhile. It
// is an error if the store could not say at all which there are.
func (k *Keyring) Confirm(ctx context.Context, version int64) (confirmed []Confirmation, late []string, err error) {
	began := time.Now()
	var seen map[string]bool // nil until the store has answered
	ticker := time.NewTicker(confirmEvery)
	defer ticker.Stop()
	for {
		instances, err := k.store.Instances(ctx, liveFor+time.Since(began))
		if err != nil && seen != nil && over(ctx) {
			return confirmed, late, nil // the caller's time is over; what is known until now is the answer
		}
		if err != nil {
			return nil, nil, err
		}
		if seen == nil {
			seen = map[string]bool{}
		}
		late = late[:0]
		for _, instance := range slices.Sorted(maps.Keys(instances)) {
			switch {
			case seen[instance]:
			case instances[instance].Version >= version || instance == k.instance && k.current():
				seen[instance] = true
				confirmed = append(confirmed, Confirmation{instance, time.Since(began)})
			default:
				late = append(late, instance)
			}
		}
		if len(late) == 0 || time.Since(began) >= confirmFor {
			return confirmed, late, nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return confirmed, late, nil
		}
	}
}

// over says whether the time of ctx is over. The store looks at the clock, and may find so before the context does.
func over(ctx context.Context) bool {
	deadline, limited := ctx.Deadline()
	return ctx.Err() != nil || limited && !time.Now().Before(deadline)
}
