package keys

import (
	"context"
	"errors"
	"sync"
	"time"
)

// How often the keyring talks to the store by itself.
const (
	// storeLimit is how long one such talk may take.
	storeLimit = 2 * time.Second
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

// report tells the log when something cannot be written any more, and when it can again: what is tried every second would
// fill a disk with lines, one that is full already as well.
func (k *Keyring) report(what string, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	if err != nil {
		if _, known := k.failing.LoadOrStore(what, true); !known {
			k.logger.Warn("could not write "+what, "error", err)
		}
	} else if _, failed := k.failing.LoadAndDelete(what); failed {
		k.logger.Info("can write " + what + " again")
	}
}
