package keys

import (
	"context"
	"time"
)

const heartbeatInterval = time.Second

// heartbeatLoop writes a heartbeat every heartbeatInterval and after each change that a poll found. It is not part of
// pollLoop because it writes: waiting for other writers must not delay the news of a revocation.
func (k *Keyring) heartbeatLoop(ctx context.Context) {
	ticker := time.NewTicker(heartbeatInterval)
	defer ticker.Stop()
	for {
		k.report("the heartbeat", k.heartbeat(ctx))
		select {
		case <-ticker.C:
		case <-k.versionChanged:
		case <-ctx.Done():
			k.leave(context.WithoutCancel(ctx))
			return
		}
	}
}

// heartbeat writes that this instance is live, and which version of keys it has seen. It asks for a look at the shares
// where there are any, or where the size of the fleet has changed.
func (k *Keyring) heartbeat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	version := k.version.Load()
	if version == neverPolled {
		version = 0 // confirms nothing
	}
	fleet, err := k.store.Heartbeat(ctx, k.instance, version, shareLease)
	if err != nil {
		return err
	}
	k.mu.RLock()
	look := fleet.Others != k.fleetSize-1 || fleet.Sharing || len(k.shares) > 0
	k.mu.RUnlock()
	if look {
		signal(k.fleetChanged)
	}
	return nil
}

// leave removes this instance from the fleet when it stops.
func (k *Keyring) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := k.store.Leave(ctx, k.instance); err != nil {
		k.logger.Warn("this instance could not leave the fleet; the others count it until its lease ends", "error", err)
	}
}
