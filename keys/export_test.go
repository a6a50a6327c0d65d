package keys

import (
	"context"
	"time"
)

// SetCapacity sets how many keys are cached.
func (k *Keyring) SetCapacity(n int) { k.capacity = n }

// SetMonotonic replaces the monotonic clock.
func (k *Keyring) SetMonotonic(clock func() time.Duration) { k.monotonic = clock }

// Unknown is how many unknown ids are cached.
func (k *Keyring) Unknown() int {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return len(k.unknown)
}

// Share is the share of a key.
func (k *Keyring) Share(id string) float64 {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.share(id)
}

// SetDemand makes the demand of a key as high as its rate, until the next measurement.
func (k *Keyring) SetDemand(id string) {
	k.limits.mu.Lock()
	defer k.limits.mu.Unlock()
	if k.limits.measured == nil {
		k.limits.measured = map[string]*limit{}
	}
	k.limits.measured[id] = &limit{id: id, rate: 1, demand: 1}
}

// ClearDemand makes the demand of a key 0.
func (k *Keyring) ClearDemand(id string) {
	k.limits.mu.Lock()
	defer k.limits.mu.Unlock()
	delete(k.limits.measured, id)
}

// WriteRefused writes the refusals that are due.
func (k *Keyring) WriteRefused(ctx context.Context) error { return k.flushRefused(ctx, false) }

// Refusals is how many rows of refusals wait to be written, and how many callers have a span.
func (k *Keyring) Refusals() (rows, callers int) {
	k.usage.mu.Lock()
	defer k.usage.mu.Unlock()
	return len(k.usage.refused), len(k.usage.spans)
}

// Waiting is how many keys wait to be read.
func (k *Keyring) Waiting() int {
	k.lookups.mu.Lock()
	defer k.lookups.mu.Unlock()
	return len(k.lookups.waiting)
}
