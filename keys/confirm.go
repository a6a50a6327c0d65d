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
	// After is the time from the beginning of the wait.
	After time.Duration
}

const (
	confirmTimeout  = 3 * time.Second
	confirmInterval = 25 * time.Millisecond
	// maxHeartbeatAge is how old the last heartbeat of a live instance may be. An instance with an older one has stopped, or was
	// paused or cut off for so long that its snapshot is too old: then it reads every key from the store. Nobody waits for it.
	maxHeartbeatAge = maxSnapshotAge + heartbeatInterval
)

// Confirm waits until every live instance has seen version. It returns the instances that have, and after confirmTimeout or
// when ctx ends also those that are late. An instance that leaves meanwhile is not waited for. Confirm fails if the store
// does not say which instances there are.
func (k *Keyring) Confirm(ctx context.Context, version int64) (confirmed []Confirmation, late []string, err error) {
	start := time.Now()
	var seen map[string]bool // nil until the store has answered
	ticker := time.NewTicker(confirmInterval)
	defer ticker.Stop()
	for {
		// The age is that at the start: who was live then is waited for until the end.
		instances, err := k.store.Instances(ctx, maxHeartbeatAge+time.Since(start))
		if err != nil && seen != nil && deadlinePassed(ctx) {
			return confirmed, late, nil // the caller has no time left, and gets what is known
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
			case instances[instance].Version >= version || instance == k.instance && k.snapshotFresh():
				seen[instance] = true
				confirmed = append(confirmed, Confirmation{instance, time.Since(start)})
			default:
				late = append(late, instance)
			}
		}
		if len(late) == 0 || time.Since(start) >= confirmTimeout {
			return confirmed, late, nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return confirmed, late, nil
		}
	}
}

// deadlinePassed reports whether ctx has ended or its deadline has passed. The store compares clocks itself, and may notice
// before the context does.
func deadlinePassed(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(deadline)
}
