package keys

import (
	"context"
	"errors"
	"sync"
	"time"
)

// storeTimeout is how long one call of the store may take that no request waits for.
const storeTimeout = 2 * time.Second

// Start polls the store and joins the fleet. From then on the cache is as new as the store.
func (k *Keyring) Start(ctx context.Context) error {
	_, err := k.Poll(ctx)
	if err == nil {
		err = k.heartbeat(ctx)
	}
	if err == nil {
		err = k.UpdateShares(ctx)
	}
	if err == nil {
		k.countUnusable(ctx)
	}
	return err
}

// Run follows the store until ctx ends. It
//   - takes over what other processes change;
//   - writes the heartbeat of this instance;
//   - shares limits with the other instances;
//   - writes when keys were last used and who was refused, removes rows of the audit older than retention, and counts the
//     hs256 keys that cannot be decrypted.
//
// It returns when all that was noted is written, at the latest after three times flushTimeout.
func (k *Keyring) Run(ctx context.Context, retention time.Duration) {
	var loops sync.WaitGroup
	loops.Go(func() { k.pollLoop(ctx) })
	loops.Go(func() { k.listenLoop(ctx) })
	loops.Go(func() { k.heartbeatLoop(ctx) })
	loops.Go(func() { k.sharingLoop(ctx) })
	loops.Go(func() { k.usageLoop(ctx, retention) })
	loops.Wait()
}

// report logs when writing something begins to fail, and when it works again. Not every failure: a write is tried every
// second, and the lines would fill a disk, which may be full already.
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
