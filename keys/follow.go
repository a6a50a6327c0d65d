package keys

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	pollInterval = 250 * time.Millisecond
	// minPollInterval is the shortest time between two polls, however many notifications come.
	minPollInterval = 25 * time.Millisecond
	// maxChanges is how many changed keys one poll reads. An instance that is further behind empties its cache instead: it
	// would not catch up by reading.
	maxChanges = 1000
)

// pollLoop polls until ctx ends: every pollInterval, and at once after a notification.
func (k *Keyring) pollLoop(ctx context.Context) {
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	pause := time.NewTimer(minPollInterval)
	defer pause.Stop()
	failing := false
	for {
		pause.Reset(minPollInterval)
		select {
		case <-k.notified: // this poll sees what was notified until now
		default:
		}
		changed, err := k.Poll(ctx)
		if changed {
			signal(k.versionChanged)
		}
		if ctx.Err() == nil && failing != (err != nil) {
			failing = err != nil
			if failing {
				k.logger.Error("polling the store for changes of keys fails", "error", err)
			} else {
				k.logger.Info("polling the store for changes of keys works again")
			}
		}
		select {
		case <-poll.C:
		case <-k.notified:
		case <-ctx.Done():
			return
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
	}
}

// signal sends without blocking: one signal that waits is enough.
func signal(to chan<- struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// listenLoop asks for a poll at every notification of the store, until ctx ends. After a failure it listens again, with
// exponential backoff and jitter: instances should not all come at once to a server that has just started.
func (k *Keyring) listenLoop(ctx context.Context) {
	const minBackoff, maxBackoff = 100 * time.Millisecond, 5 * time.Second
	backoff := minBackoff
	for {
		start := time.Now()
		err := k.store.Listen(ctx, func() { signal(k.notified) })
		if err == nil {
			return
		}
		if time.Since(start) > maxBackoff { // it had listened
			backoff = minBackoff
		}
		if backoff == minBackoff {
			k.logger.Warn("listening for notifications of the store fails; changes are found by polling", "error", err)
		}
		timer := time.NewTimer(backoff/2 + rand.N(backoff)) //nolint:gosec // jitter need not be hard to guess
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// Poll takes over the changes since the last poll, and reports whether there were any. Then the cache is as new as the
// store was when Poll was called, or newer.
func (k *Keyring) Poll(ctx context.Context) (changed bool, err error) {
	start := k.monotonic()
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	since := k.version.Load()
	changes, err := k.store.KeyChanges(ctx, since, maxChanges)
	if err != nil {
		return false, err
	}
	// The cache cannot be brought up to date change by change where
	//   - it is the first poll: what is cached was read at an unknown version;
	//   - the version went back, or another server answers: changes may be lost, and their versions given to others;
	//   - too many keys have changed.
	if since == neverPolled || changes.Version < since || !changes.ServerStarted.Equal(k.serverStarted) || changes.TooMany {
		k.forget()
	} else if len(changes.Keys) > 0 {
		k.applyChanges(changes.Keys)
	}
	k.serverStarted = changes.ServerStarted
	k.version.Store(changes.Version)
	k.snapshotAt.Store(int64(start))
	if k.epoch != changes.Epoch {
		k.epoch = changes.Epoch
		signal(k.fleetChanged)
	}
	return changes.Version != since, nil
}

// applyChanges takes over what other processes have changed, and measures how long revocations took to get here.
func (k *Keyring) applyChanges(changed []Change) {
	records := make([]Record, len(changed))
	for i, change := range changed {
		records[i] = change.Record
	}
	k.apply(records...)
	if k.propagated == nil {
		return
	}
	for _, change := range changed {
		if change.State != Enabled && change.Age >= 0 {
			k.propagated(change.Age)
		}
	}
}
