package keys

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	pollEvery = 250 * time.Millisecond
	// pollPause is the least time between two polls: anybody in the database can tell of changes, as often as he likes.
	pollPause = 25 * time.Millisecond
	// maxChanges is how many changed keys a poll takes over one by one. An instance that is further behind would go on
	// being so; it forgets all keys instead, and reads those that are used.
	maxChanges = 1000
)

// follow polls the store for changes, at once where it tells that there are some.
func (k *Keyring) follow(ctx context.Context) {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	pause := time.NewTimer(pollPause)
	defer pause.Stop()
	failing := false
	for {
		pause.Reset(pollPause)
		select {
		case <-k.woken: // what it tells of is what is asked for now
		default:
		}
		changed, err := k.Poll(ctx)
		if changed {
			signal(k.moved)
		}
		if ctx.Err() == nil && failing != (err != nil) {
			failing = err != nil
			if failing {
				k.logger.Error("the store cannot be asked for changes of keys", "error", err)
			} else {
				k.logger.Info("the store can be asked for changes of keys again")
			}
		}
		select {
		case <-poll.C:
		case <-k.woken:
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

// signal says something that need not be said twice.
func signal(to chan<- struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// listen hears of changes before the next poll would, where the store tells of them.
func (k *Keyring) listen(ctx context.Context) {
	const firstPause, lastPause = 100 * time.Millisecond, 5 * time.Second
	pause := firstPause
	for {
		began := time.Now()
		err := k.store.Listen(ctx, func() { signal(k.woken) })
		if err == nil {
			return
		}
		if time.Since(began) > lastPause { // it had listened
			pause = firstPause
		}
		if pause == firstPause {
			k.logger.Warn("the store does not tell of changes; they are asked for instead", "error", err)
		}
		// By chance, so that instances do not all come at once to a server that has just started.
		timer := time.NewTimer(pause/2 + rand.N(pause)) //nolint:gosec // it need not be hard to guess
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		pause = min(2*pause, lastPause)
	}
}

// Poll takes over the changes since the last time and says whether there were any. From then on, what the keyring holds
// is the store's state at the moment of the call or a later one.
func (k *Keyring) Poll(ctx context.Context) (changed bool, err error) {
	asked := k.monotonic()
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	since := k.version.Load()
	changes, err := k.store.KeyChanges(ctx, since, maxChanges)
	if err != nil {
		return false, err
	}
	if since == unasked || changes.Version < since || !changes.Began.Equal(k.began) || changes.TooMany {
		// What was read until now was read of an unknown version: a change between then and this moment would never
		// be heard of. Or the store may have lost changes, as when a server that was behind takes another one's place,
		// and have given their versions to others. Or there are more changes than are worth reading.
		k.forget()
	} else if len(changes.Keys) > 0 {
		k.hear(changes.Keys)
	}
	k.began = changes.Began
	k.version.Store(changes.Version)
	k.viewed.Store(int64(asked))
	if k.turn != changes.Turn {
		k.turn = changes.Turn
		signal(k.turned)
	}
	return changes.Version != since, nil
}

// hear takes over what other processes have changed, and tells how long ago they ended what a key could do.
func (k *Keyring) hear(changed []Change) {
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
