package keys

import (
	"context"
	"time"
)

const beatEvery = time.Second

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
	fleet, err := k.store.Beat(ctx, k.instance, version, dividedFor)
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
	if err := k.store.Leave(ctx, k.instance); err != nil {
		k.logger.Warn("this instance could not be signed off", "error", err)
	}
}
