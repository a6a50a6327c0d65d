package keys

import (
	"context"
	"errors"
	"sync"
	"time"
)

// How often the keyring talks to the store by itself.
const (
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
