package keys

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// How often the keyring talks to the store by itself.
const (
	pollEvery = 250 * time.Millisecond
	// pollPause is the least time between two polls: anybody in the database can tell of changes, as often as he likes.
	pollPause = 25 * time.Millisecond
	// maxChanges is how many changed keys a poll takes over one by one. An instance that is further behind would go on
	// being so; it forgets all keys instead, and reads those that are used.
	maxChanges = 1000
	beatEvery  = time.Second
	noteEvery  = time.Second
	touchEvery = 5 * time.Second
	pruneEvery = time.Hour
	countEvery = time.Minute
	// storeLimit is how long one such talk may take.
	storeLimit = 2 * time.Second
	// noteLimit is how long writing notesAtOnce may take. At the end of the process there is one call that has begun,
	// the time in which others begin, and the last of them: three times as long altogether.
	noteLimit   = time.Second
	notesAtOnce = 200
)

// Start asks the store what there is, and joins the other instances. What is held from then on is as new as the store.
func (k *Keyring) Start(ctx context.Context) error {
	_, err := k.Poll(ctx)
	if err == nil {
		err = k.beat(ctx)
	}
	if err == nil {
		err = k.Divide(ctx)
	}
	if err == nil {
		k.countUnusable(ctx)
	}
	return err
}

// Run follows the store until ctx ends: it takes over what other processes change, says that this instance is alive,
// divides limits with the others, and writes down what was used and refused. Rows of the audit older than retention are
// removed, and hs256 keys that cannot be opened counted. It returns once everything noted is written, or after three seconds without the rest.
func (k *Keyring) Run(ctx context.Context, retention time.Duration) {
	var loops sync.WaitGroup
	loops.Go(func() { k.follow(ctx) })
	loops.Go(func() { k.listen(ctx) })
	loops.Go(func() { k.beats(ctx) })
	loops.Go(func() { k.divides(ctx) })
	loops.Go(func() { k.write(ctx, retention) })
	loops.Wait()
}

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
				k.Logger.Error("the store cannot be asked for changes of keys", "error", err)
			} else {
				k.Logger.Info("the store can be asked for changes of keys again")
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
		err := k.Store.Listen(ctx, func() { signal(k.woken) })
		if err == nil {
			return
		}
		if time.Since(began) > lastPause { // it had listened
			pause = firstPause
		}
		if pause == firstPause {
			k.Logger.Warn("the store does not tell of changes; they are asked for instead", "error", err)
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

// beats says that this instance is alive and what it has seen, every second and after each change. It is apart from
// follow because it writes: waiting for other writers must not keep this instance from hearing of a revocation.
func (k *Keyring) beats(ctx context.Context) {
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for {
		k.report("that this instance is alive", k.beat(ctx))
		select {
		case <-beat.C:
		case <-k.moved:
		case <-ctx.Done():
			k.leave(context.WithoutCancel(ctx))
			return
		}
	}
}

// Poll takes over the changes since the last time and says whether there were any. From then on, what the keyring holds
// is the store's state at the moment of the call or a later one.
func (k *Keyring) Poll(ctx context.Context) (changed bool, err error) {
	asked := k.monotonic()
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	since := k.version.Load()
	changes, err := k.Store.KeyChanges(ctx, since, maxChanges)
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
	if k.Propagated == nil {
		return
	}
	for _, change := range changed {
		if change.State != Enabled && change.Age >= 0 {
			k.Propagated(change.Age)
		}
	}
}

func (k *Keyring) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	version := k.version.Load()
	if version == unasked {
		version = 0 // whoever asks who has seen a change waits for the first poll: what is said here outlasts it
	}
	fleet, err := k.Store.Beat(ctx, k.Instance, version, dividedFor)
	if err != nil {
		return err
	}
	k.mu.RLock()
	news := fleet.Others != k.instances-1 || fleet.Dividing || len(k.parts) > 0
	k.mu.RUnlock()
	if news {
		signal(k.turned)
	}
	return nil
}

func (k *Keyring) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	if err := k.Store.Leave(ctx, k.Instance); err != nil {
		k.Logger.Warn("this instance could not be signed off", "error", err)
	}
}

// write is the one writer of what is noted, so that no request writes.
func (k *Keyring) write(ctx context.Context, retention time.Duration) {
	note := time.NewTicker(noteEvery)
	defer note.Stop()
	var touched, pruned, counted time.Time
	for {
		now := time.Now()
		if ctx.Err() != nil {
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteLimit)
			defer cancel()
			k.report("refused calls", k.flushRefused(last, true))
			k.report("when keys were last used", k.flushUsed(last))
			return
		}
		k.report("refused calls", k.flushRefused(ctx, false))
		if now.Sub(touched) >= touchEvery {
			touched = now
			k.report("when keys were last used", k.flushUsed(ctx))
		}
		if now.Sub(pruned) >= pruneEvery {
			pruned = now
			k.report("the age of the audit", k.prune(ctx, retention))
		}
		if now.Sub(counted) >= countEvery {
			counted = now
			k.countUnusable(ctx)
		}
		select {
		case <-note.C:
		case <-ctx.Done():
		}
	}
}

// report tells the log when something cannot be written any more, and when it can again: what is tried every second would
// fill a disk with lines, one that is full already as well.
func (k *Keyring) report(what string, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	if err != nil {
		if _, known := k.failing.LoadOrStore(what, true); !known {
			k.Logger.Warn("could not write "+what, "error", err)
		}
	} else if _, failed := k.failing.LoadAndDelete(what); failed {
		k.Logger.Info("can write " + what + " again")
	}
}

func (k *Keyring) prune(ctx context.Context, retention time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	return k.Store.PruneEvents(ctx, k.Now().Add(-retention))
}
